"""Option files as text: read whole, and changed as ``--force_yml`` does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mclir_basicsr.errors import MclirError


def parse_file(path: Path) -> dict[str, Any]:
    """Parse an option file with YAML's safe loader.

    Raises:
        MclirError: There is no such file, or it is no YAML mapping; the message has line and column.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise MclirError(f'There is no option file {path} that can be read ({error.strerror}).') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MclirError(f'{path} is no YAML: {error}') from error
    if not isinstance(content, dict):
        held = 'nothing' if content is None else type(content).__name__
        raise MclirError(f'{path} is no option file: it holds {held} instead of "key: value" lines.')
    return content


def force(opt: dict[str, Any], entries: Sequence[str]) -> dict[str, Any]:
    """Change values as BasicSR's ``--force_yml train:ema_decay=0.99`` does.

    Raises:
        MclirError: An entry is not of this form, names a block that is not there, or has a value that is no YAML.
    """
    for entry in entries:
        path, is_given, value = entry.partition('=')
        *blocks, key = path.strip().split(':')
        block: Any = opt
        for name in blocks:
            block = block.get(name) if isinstance(block, dict) else None
        if not is_given or not isinstance(block, dict):
            raise MclirError(f'--force_yml {entry}: write block:key=value, with blocks that the option file has.')
        try:
            block[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise MclirError(f'--force_yml {entry}: the value is no YAML: {error}') from error
    return opt
