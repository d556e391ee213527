"""Reading back every image of a database or folder."""

import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import lmdb
import numpy as np

from mclir_basicsr.data.database import META_INFO
from mclir_basicsr.data.header import image_shape
from mclir_basicsr.data.unfinished import PARTIAL, read_journal, visible_files
from mclir_basicsr.errors import MclirError

_META_LINE = re.compile(r'([^.]+)\.\S+ \((\d+),(\d+),(\d+)\) \d+')
_DATA = 'data.mdb'
_AT_ONCE = 1000
_Item = TypeVar('_Item')
_Shape = tuple[int, int, int]


def verify(target: Path) -> list[str]:
    """Decode every image of a database, whoever wrote it, or of a folder that ``write`` made.

    Returns:
        One line for each fault: a line of meta_info.txt that is none or comes twice, a key that only meta_info.txt or
        only the database has, an image that cannot be decoded or has another size than meta_info.txt says, images
        missing from or added to a folder.

    Raises:
        MclirError: ``target`` is neither.
    """
    if (target / _DATA).is_file():
        return _verify_database(target)
    journal = read_journal(target)
    if journal is None:
        raise MclirError(f'{target} is neither an LMDB database nor a folder of images that was made by prepare.')
    return _verify_folder(target, journal.images)


def verify_tree(folder: Path) -> tuple[int, list[str]]:
    """Read every image below a folder that ``mclir prepare`` wrote to, or of one LMDB or folder of images.

    Returns:
        How many images were to be read, and a line for each fault.

    Raises:
        MclirError: There is nothing of the kind.
    """
    targets = {Path(path): read_journal(Path(path)) for path, _, _ in os.walk(folder)}
    targets = {path: journal for path, journal in targets.items() if journal or (path / META_INFO).is_file()}
    if not targets:
        raise MclirError(f'{folder} holds no LMDB, and no folder of images that mclir prepare wrote.')
    images, faults = 0, []
    for path, journal in sorted(targets.items()):
        if path.suffix == PARTIAL:
            faults.append(f'{path}: unfinished; run the same mclir prepare again')
            continue
        images += journal.images if journal else len((path / META_INFO).read_bytes().splitlines())
        faults += [f'{path}: {fault}' for fault in verify(path)]
    return images, faults


def _verify_folder(folder: Path, images: int) -> list[str]:
    files = sorted(visible_files(folder))
    faults = [] if len(files) == images else [f'{len(files)} files, but {images} were written']
    return faults + _check_all(files, lambda file: _fault(file.read_bytes(), file.name))


def _verify_database(folder: Path) -> list[str]:
    try:
        lines = (folder / META_INFO).read_text('ascii', errors='replace').splitlines()
        environment = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
    except (OSError, lmdb.Error) as error:
        return [f'cannot be opened: {error}']
    with environment:
        least = (environment.info()['last_pgno'] + 1) * environment.stat()['psize']
        size = (folder / _DATA).stat().st_size
        if size < least:  # to read a page that is not there would end this process
            return [f'{_DATA} is truncated: {size} bytes of {least}']
        shapes, faults = _read_meta_info(lines)
        with environment.begin() as transaction:
            keys = {bytes(key).decode('ascii', 'replace') for key in transaction.cursor().iternext(values=False)}
        faults += [f'{key}: in {META_INFO}, but not in the database' for key in shapes if key not in keys]
        faults += [f'{key}: in the database, but not in {META_INFO}' for key in sorted(keys - shapes.keys())]

        def check(key: str) -> str | None:
            with environment.begin(buffers=True) as transaction:
                return _fault(transaction.get(key.encode()) or b'', key, shapes[key])

        return faults + _check_all([key for key in shapes if key in keys], check)


def _read_meta_info(lines: Iterable[str]) -> tuple[dict[str, _Shape], list[str]]:
    """Shapes by key, and the faults."""
    shapes: dict[str, _Shape] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        match = _META_LINE.fullmatch(line)
        if match is None:
            faults.append(f'{META_INFO} line {number}: {line!r} is not "name.png (height,width,channels) 1"')
        elif match[1] in shapes:
            faults.append(f'{match[1]}: twice in {META_INFO}')
        else:
            shapes[match[1]] = int(match[2]), int(match[3]), int(match[4])
    return shapes, faults


def _check_all(items: Sequence[_Item], check: Callable[[_Item], str | None]) -> list[str]:
    """Faults of the items, which are examined in threads, a bounded number at once."""
    faults: list[str] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), _AT_ONCE):
            faults += filter(None, pool.map(check, items[start : start + _AT_ONCE]))
    return faults


def _fault(data: bytes | memoryview, name: str, shape: _Shape | None = None) -> str | None:
    """What is wrong with an encoded image that should have a shape, if anything."""
    pixels = np.frombuffer(data, np.uint8)
    if not len(pixels) or cv2.imdecode(pixels, cv2.IMREAD_COLOR) is None:
        return f'{name}: cannot be decoded'
    if shape is not None and (seen := image_shape(io.BytesIO(data), name)) != shape:
        return f'{name}: {_text(seen)}, but {META_INFO} says {_text(shape)}'
    return None


def _text(shape: _Shape) -> str:
    return '({},{},{})'.format(*shape)
