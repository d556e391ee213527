"""Reading back every image of a database or folder."""

import io
import mmap
import os
import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import lmdb
import numpy as np

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.header import image_shape
from mclir_basicsr.prepare.images import ends_well
from mclir_basicsr.prepare.inventory import PREPARED, read_prepared
from mclir_basicsr.prepare.journal import PARTIAL, read_journal, visible_files
from mclir_basicsr.prepare.lmdb_pages import find_values
from mclir_basicsr.prepare.meta_info import FOLDER_META_INFO, META_INFO, Shape, read_meta_info

_DATA = 'data.mdb'
_PAIR = re.compile(r'(\S+) (\S+) \d+x\d+')
_AT_ONCE = 1000
_Item = TypeVar('_Item')


def verify(target: Path) -> list[str]:
    """Decode every image of a database, whoever wrote it, or of a folder that ``write`` made.

    Returns:
        One line for each fault: a damaged page of the database, a line of meta_info.txt that is none or comes twice, an
        image that is only in meta_info.txt or not in it, that cannot be decoded, or that has another size than
        meta_info.txt says. A folder has a hidden file in its place.

    Raises:
        MclirError: ``target`` is neither.
    """
    if (target / _DATA).is_file() or (target / META_INFO).is_file():
        return _verify_database(target)
    journal = read_journal(target)
    if journal is None:
        raise MclirError(f'{target} is neither an LMDB database nor a folder of images that was made by prepare.')
    return _verify_folder(target, journal.images)


def verify_tree(folder: Path) -> tuple[int, list[str]]:
    """Read every image below a folder that ``mclir prepare`` wrote to, or of one LMDB or folder of images.

    Where the folder was --out, or holds one that was, also what is missing there altogether is a fault, and a pairs
    file that does not fit the images.

    Returns:
        How many images were to be read, and a line for each fault.

    Raises:
        MclirError: There is nothing of the kind.
    """
    folders = [Path(path) for path, _, _ in os.walk(folder)]
    targets = {path: read_journal(path) for path in folders}
    targets = {path: journal for path, journal in targets.items() if journal or (path / META_INFO).is_file()}
    outs = [path for path in folders if (path / PREPARED).is_file()]
    if not targets and not outs:
        raise MclirError(f'{folder} holds no LMDB, and no folder of images that mclir prepare wrote.')
    images, faults = 0, []
    for path, journal in sorted(targets.items()):
        if path.suffix == PARTIAL:
            faults.append(f'{path}: unfinished; run the same mclir prepare again')
            continue
        images += journal.images if journal else len((path / META_INFO).read_bytes().splitlines())
        faults += [f'{path}: {fault}' for fault in verify(path)]
    for out in outs:
        faults += _verify_prepared(out, targets.keys())
    return images, faults


def _verify_prepared(out: Path, found: Collection[Path]) -> list[str]:
    """Faults of what was to be written below a folder, apart from those of the images that are there."""
    prepared = read_prepared(out)
    faults = [
        f'{target}: missing; run the same mclir prepare again'
        for target in map(out.joinpath, prepared.targets)
        if target not in found and target.with_name(f'{target.name}{PARTIAL}') not in found
    ]
    for name, sides in prepared.pairs.items():
        file, (lq, gt) = out / name, map(out.joinpath, sides)
        if not file.is_file():
            faults.append(f'{file}: missing; run the same mclir prepare again')
        elif lq in found and gt in found:
            faults += [f'{file}: {fault}' for fault in _verify_pairs(file, lq, gt)]
    return faults


def _verify_pairs(file: Path, lq: Path, gt: Path) -> list[str]:
    lq_keys, gt_keys = _keys(lq), _keys(gt)
    paired: set[str] = set()
    faults: list[str] = []
    for number, line in enumerate(file.read_text('ascii', errors='replace').splitlines(), 1):
        match = _PAIR.fullmatch(line)
        if match is None:
            faults.append(f'line {number}: {line!r} is not "LQ GT HEIGHTxWIDTH"')
            continue
        paired.add(match[1])
        for key, keys, target in ((match[1], lq_keys, lq), (match[2], gt_keys, gt)):
            if key not in keys:
                faults.append(f'line {number}: {key} is not in {target}')
    return faults + [f'{key}: in {lq}, but in no line' for key in sorted(lq_keys - paired)]


def _keys(target: Path) -> set[str]:
    """Keys of the images that a database or folder should hold."""
    lists = [target / name for name in (META_INFO, FOLDER_META_INFO) if (target / name).is_file()]
    names = read_meta_info(lists[0])[0] if lists else [file.name for file in visible_files(target)]
    return {name.split('.')[0] for name in names}


def _verify_folder(folder: Path, images: int) -> list[str]:
    files = {file.name: file for file in sorted(visible_files(folder))}
    shapes: dict[str, Shape] = {}
    faults: list[str] = []
    if (folder / FOLDER_META_INFO).is_file():  # the first versions wrote none
        shapes, faults = read_meta_info(folder / FOLDER_META_INFO)
        faults += [f'{name}: missing' for name in shapes if name not in files]
        faults += [f'{name}: is none of the images written' for name in files if name not in shapes]
    if len(files) != images and not faults:
        faults.append(f'{len(files)} files, but {images} were written')

    def check(name: str) -> str | None:
        try:
            return _fault(files[name].read_bytes(), name, shapes.get(name))
        except OSError as error:
            return f'{name}: cannot be read: {error.strerror}'

    return faults + _check_all(list(files), check)


def _verify_database(folder: Path) -> list[str]:
    try:
        shapes_by_name, faults = read_meta_info(folder / META_INFO)
        with lmdb.open(str(folder), readonly=True, lock=False) as environment:  # checks both meta pages
            page_bytes = environment.stat()['psize']
            least = (max(environment.info()['last_pgno'], 1) + 1) * page_bytes
        size = (folder / _DATA).stat().st_size
        if size < least:
            return [f'{_DATA} is truncated: {size} bytes of {least}']
        with (folder / _DATA).open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            values_by_key, damaged = find_values(data, page_bytes)
            values = {key.decode('ascii', 'replace'): value for key, value in values_by_key.items()}
            shapes = {name.split('.')[0]: shape for name, shape in shapes_by_name.items()}
            faults += [f'{_DATA}: {page}' for page in damaged]
            faults += [f'{key}: in {META_INFO}, but not in the database' for key in shapes if key not in values]
            faults += [f'{key}: in the database, but not in {META_INFO}' for key in values if key not in shapes]
            return faults + _check_all(
                [key for key in shapes if key in values], lambda key: _fault(data[values[key]], key, shapes[key])
            )
    except (OSError, lmdb.Error) as error:
        return [f'cannot be opened: {error}']


def _check_all(items: Sequence[_Item], check: Callable[[_Item], str | None]) -> list[str]:
    """Faults of the items, which are examined in threads, a bounded number at once."""
    faults: list[str] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), _AT_ONCE):
            faults += filter(None, pool.map(check, items[start : start + _AT_ONCE]))
    return faults


def _fault(content: bytes, name: str, shape: Shape | None) -> str | None:
    """What is wrong with an encoded image that should have a shape, if anything."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None or not ends_well(content):
        return f'{name}: cannot be decoded'
    if shape is None:
        return None
    try:
        seen = image_shape(io.BytesIO(content), name)
    except MclirError as error:
        return str(error)
    return None if seen == shape else f'{name}: {_text(seen)}, but was written as {_text(shape)}'


def _text(shape: Shape) -> str:
    return '({},{},{})'.format(*shape)
