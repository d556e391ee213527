"""What a study compares, as facts: options that differ between arms, and the content of the files that options name."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_ALL = 2**30  # bytes up to which contents are read, a few seconds
_LOCK = 'lock.mdb'  # LMDB writes to it when it reads
_BLOCK = 2**20


def differing(options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Options that are not the same in all arms.

    Args:
        options: By arm.

    Returns:
        For each dotted option its value by arm; an arm that lacks it is left out.

    >>> differing({'plain': {'train': {'lr': 1}}, 'fast': {'train': {'lr': 2, 'every': 4}}})
    {'train.lr': {'plain': 1, 'fast': 2}, 'train.every': {'fast': 4}}
    """
    flat = {arm: dict(_flat(opt)) for arm, opt in options.items()}
    keys = dict.fromkeys(key for opt in flat.values() for key in opt)
    found = {key: {arm: opt[key] for arm, opt in flat.items() if key in opt} for key in keys}
    return {
        key: values
        for key, values in found.items()
        if len(values) < len(flat) or any(value != next(iter(values.values())) for value in values.values())
    }


def named_files(options: Iterable[Mapping[str, Any]]) -> list[str]:
    """Files (weights, lists, databases) and data folders that options name and that are there, as they name them."""
    found: dict[str, None] = {}
    for opt in options:
        for key, value in _flat(opt):
            if isinstance(value, str):
                path, of_data = Path(value).expanduser(), '.dataroot' in key
                if (path.is_file() and path.suffix) or (of_data and path.is_dir()):
                    found[value] = None
    return list(found)


def digest(place: Path) -> dict[str, str]:
    """SHA-256 of a file, or of a folder's files by name and content.

    Args:
        place: Where it is. Of a folder of more than 1 GiB the sizes are taken in place of the contents; times never
            count, so that a copy of the data has the same digest.

    Returns:
        ``sha256``, and in ``of`` what it was made from.
    """
    if place.is_file():
        return {'sha256': _sha256(place).hexdigest(), 'of': 'content'}
    files = sorted(file for file in place.rglob('*') if file.is_file() and file.name != _LOCK)
    whole = sum(file.stat().st_size for file in files) <= _ALL
    total = hashlib.sha256()
    for file in files:
        content = _sha256(file).hexdigest() if whole else str(file.stat().st_size)
        total.update(f'{file.relative_to(place).as_posix()}\0{content}\n'.encode(errors='surrogateescape'))
    return {'sha256': total.hexdigest(), 'of': f'names and {"contents" if whole else "sizes"} of {len(files)} files'}


def _sha256(file: Path) -> 'hashlib._Hash':
    total = hashlib.sha256()
    with file.open('rb') as stream:
        while block := stream.read(_BLOCK):
            total.update(block)
    return total


def _flat(value: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _flat(part, f'{prefix}.{key}' if prefix else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str) and any(isinstance(v, Mapping) for v in value):
        for i, part in enumerate(value):
            yield from _flat(part, f'{prefix}[{i}]')
    else:
        yield prefix, value
