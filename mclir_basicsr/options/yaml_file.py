"""Option files as text: read whole as UTF-8, no key twice, and changed as ``--force_yml`` does."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import yaml

from mclir_basicsr.errors import MclirError

_MODEL_TYPE = re.compile(rb'model_type\W+(\w+)')


def parse_file(path: Path) -> dict[str, Any]:
    """Parse an option file with YAML's safe loader, whatever the locale.

    Raises:
        MclirError: There is no such file, it is no YAML mapping in UTF-8 (the message has line and column), or a key
            stands in it twice.
    """
    try:
        content = _load(path.read_bytes().decode('utf-8-sig'), str(path))
    except OSError as error:
        raise MclirError(f'There is no option file {path} that can be read ({error.strerror}).') from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b'\n') + 1
        raise MclirError(
            f'{path} is no YAML in UTF-8: line {line} has the byte 0x{error.object[error.start]:02x}. Save it as UTF-8.'
        ) from error
    except yaml.YAMLError as error:
        raise MclirError(f'{path} is no YAML: {error}') from error
    if not isinstance(content, dict):
        held = 'nothing' if content is None else type(content).__name__
        raise MclirError(f'{path} is no option file: it holds {held} instead of "key: value" lines.')
    return content


def _load(text: str, name: str) -> Any:
    """What a YAML document holds, of that name for messages."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        refuse_doubled_keys(name, node)  # before << is resolved: it adds keys to a block
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def refuse_doubled_keys(name: str, root: Any) -> None:
    """Refuse a document in which a block has a key twice: YAML would take the last one without a word.

    Args:
        name: Of the file, for the message.
        root: The root node, as PyYAML or ruamel.yaml composes it.

    Raises:
        MclirError: The message has both lines of each such key.
    """
    faults = [f'{key} stands in line {first} and again in line {again}.' for key, first, again in _doubled(root)]
    if faults:
        raise MclirError('\n  '.join([f'{name}: a key can stand only once in its block. Take one out:', *faults]))


def _doubled(root: Any) -> Iterator[tuple[str, int, int]]:
    """Path and both lines of each key that a block has twice."""
    waiting, seen = deque([('', root)]), set()
    while waiting:
        path, node = waiting.popleft()
        if node is None or id(node) in seen:  # an alias is its anchor's node once more
            continue
        seen.add(id(node))
        if node.id == 'sequence':
            waiting += [(f'{path}{i}.', item) for i, item in enumerate(node.value)]
        elif node.id == 'mapping':
            first: dict[Any, int] = {}
            for key, value in node.value:
                # A key that is a list or a block has no such name.
                name, line = (str(key.tag), str(key.value)), key.start_mark.line + 1
                if name in first:
                    yield f'{path}{key.value}', first[name], line
                first.setdefault(name, line)
                waiting.append((f'{path}{key.value}.', value))


def open_option_file(file: str, mode: str = 'r') -> IO[str]:
    """Open an option file for BasicSR, which would take the encoding of the locale, and a key's last value.

    That of a run of ours is parsed first, so that its faults are known before anything is made. One of another model
    that is no UTF-8 is opened as BasicSR does.

    Args:
        file: Its path.
        mode: As of ``open``.

    Raises:
        MclirError: As from :func:`parse_file`.
    """
    content = Path(file).read_bytes()
    if mode == 'r' and any(_is_ours(name.decode()) for name in _MODEL_TYPE.findall(content)):
        parse_file(Path(file))
    try:
        content.decode('utf-8')
    except UnicodeDecodeError:
        return open(file, mode)  # noqa: PTH123  in the encoding of the locale, as before
    return open(file, mode, encoding='utf-8')  # noqa: PTH123


def _is_ours(model_type: str) -> bool:
    from basicsr.utils.registry import MODEL_REGISTRY

    return model_type in MODEL_REGISTRY and getattr(MODEL_REGISTRY.get(model_type), 'resumes_exactly', False)


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
            block[key] = _load(value, f'--force_yml {entry}')
        except yaml.YAMLError as error:
            raise MclirError(f'--force_yml {entry}: the value is no YAML: {error}') from error
    return opt
