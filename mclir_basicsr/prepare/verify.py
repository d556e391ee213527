"""Reading back every image of a database or folder."""

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from mclir_basicsr.data.meta_info import FOLDER_META_INFO, META_INFO, Shape, key_of_name, read_meta_info
from mclir_basicsr.data.pairs_file import read_pairs
from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.inventory import PREPARED, read_prepared
from mclir_basicsr.prepare.journal import PARTIAL, read_journal, visible_files
from mclir_basicsr.prepare.stored import image_fault
from mclir_basicsr.prepare.verify_database import DATA, verify_database

_AT_ONCE = 1000


def verify(target: Path) -> list[str]:
    """Decode every image of a database, whoever wrote it, or of a folder that ``write`` made.

    Returns:
        One line for each fault: a line of meta_info.txt that is none or comes twice, an image that is only in
        meta_info.txt or not in it, that cannot be read or decoded, or that has another size than meta_info.txt says,
        and what in the database ends the process that reads it. A folder has a hidden file in place of meta_info.txt.

    Raises:
        MclirError: ``target`` is neither, or memory ran out.
    """
    if (target / DATA).is_file() or (target / META_INFO).is_file():
        return verify_database(target)
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
    faults: list[str] = []
    folders = list(_folders(folder, faults))
    targets = {path: read_journal(path) for path in folders}
    targets = {path: journal for path, journal in targets.items() if journal or (path / META_INFO).is_file()}
    outs = [path for path in folders if (path / PREPARED).is_file()]
    if not targets and not outs:
        found = ''.join(f' {fault}.' for fault in faults)
        raise MclirError(f'{folder} holds no LMDB, and no folder of images that mclir prepare wrote.{found}')
    images = 0
    for path, journal in sorted(targets.items()):
        if path.suffix == PARTIAL:
            faults.append(f'{path}: unfinished; run the same mclir prepare again')
            continue
        try:
            images += journal.images if journal else len(read_meta_info(path / META_INFO).shapes)
            faults += [f'{path}: {fault}' for fault in verify(path)]
        except OSError as error:
            faults.append(f'{path}: cannot be read: {error}')
    for out in outs:
        faults += _verify_prepared(out, targets.keys())
    return images, faults


def _folders(folder: Path, faults: list[str]) -> Iterator[Path]:
    """A folder and all below it, also behind links, each once; those that cannot be read are faults."""
    seen: set[tuple[int, int]] = set()

    def unreadable(error: OSError) -> None:
        faults.append(f'{error.filename}: cannot be read: {error.strerror}')

    for path, below, _ in os.walk(folder, onerror=unreadable, followlinks=True):
        status = Path(path).stat()
        place = status.st_dev, status.st_ino
        if place in seen:
            below.clear()
            continue
        seen.add(place)
        yield Path(path)


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
    try:
        lq_shapes, gt_shapes = _shapes(lq), _shapes(gt)
        pairs, bad = read_pairs(file)
    except OSError as error:
        return [f'cannot be read: {error}']
    faults = {line.number: [f'line {line.number}: {line.text}'] for line in bad}
    for number, pair in pairs.items():
        found = faults.setdefault(number, [])
        for key, shapes, target in ((pair.lq, lq_shapes, lq), (pair.gt, gt_shapes, gt)):
            if key not in shapes:
                found.append(f'line {number}: {key} is not in {target}')
        shape = lq_shapes.get(pair.lq)
        if shape and pair.size and shape[:2] != pair.size:
            found.append(f'line {number}: {pair.lq} has {shape[0]}x{shape[1]} pixels in {lq}')
    unpaired = sorted(lq_shapes.keys() - {pair.lq for pair in pairs.values()})
    in_order = [fault for number in sorted(faults) for fault in faults[number]]
    return in_order + [f'{key}: in {lq}, but in no line' for key in unpaired]


def _shapes(target: Path) -> dict[str, Shape | None]:
    """The images that a database or folder should hold, by key."""
    for name in (META_INFO, FOLDER_META_INFO):
        if (target / name).is_file():
            return read_meta_info(target / name).by_key()
    return {key_of_name(file.name): None for file in visible_files(target)}


def _verify_folder(folder: Path, images: int) -> list[str]:
    files = {file.name: file for file in sorted(visible_files(folder))}
    shapes: dict[str, Shape | None] = {}
    faults: list[str] = []
    if (folder / FOLDER_META_INFO).is_file():  # the first versions wrote none
        shapes, faults = read_meta_info(folder / FOLDER_META_INFO)
        faults += [f'{name}: missing' for name in shapes if name not in files]
        faults += [f'{name}: is none of the images written' for name in files if name not in shapes]
    if len(files) != images and not faults:
        faults.append(f'{len(files)} files, but {images} were written')

    def check(name: str) -> str | None:
        try:
            return image_fault(files[name].read_bytes(), name, shapes.get(name))
        except OSError as error:
            return f'{name}: cannot be read: {error.strerror}'

    with ThreadPoolExecutor() as pool:
        names = iter(files)
        while block := list(islice(names, _AT_ONCE)):
            faults += filter(None, pool.map(check, block))
    return faults
