"""Checks of the images themselves, before anything is written."""

import io
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.decoding import MOST_PIXELS, UNCHANGED, decoded, ends_well, memory_for
from mclir_basicsr.prepare.header import read_header

_UNDECODABLE = 'cannot be decoded: it is empty, truncated, damaged or no image'


class Examined(NamedTuple):
    """What a file turned out to be.

    Attributes:
        height: In pixels as training reads it, turned as EXIF says; 0 where the file cannot be read.
        width: In pixels.
        fault: Why training cannot use it; empty where it can.
        note: What training passes over without harm: ``grey`` or ``alpha``; empty for plain colour.
        orientation: How EXIF turns it, 1 to 8; 1 for not at all.
    """

    height: int
    width: int
    fault: str = ''
    note: str = ''
    orientation: int = 1


class Sizes(NamedTuple):
    """Sizes of many images.

    Attributes:
        pixels: (n, 2), int32: height and width; 0 where unknown.
        orientations: (n,), int8: how EXIF turns each.
        faults: A line per faulty file, with its name.
        notes: Number of files per note.
    """

    pixels: np.ndarray
    orientations: np.ndarray
    faults: list[str]
    notes: dict[str, int]


def examine(file: str) -> Examined:
    """Decode a whole image as training will, and see what would be lost or go wrong there."""
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        return Examined(0, 0, f'cannot be read: {error.strerror}')
    try:
        header = read_header(io.BytesIO(content), 'it')
    except MclirError:
        return Examined(0, 0, _UNDECODABLE)
    pixels = header.height * header.width
    with memory_for(pixels):
        image = decoded(content, UNCHANGED)
        if image is None and pixels > MOST_PIXELS:
            return Examined(
                0, 0, f'has {header.width}x{header.height} pixels, but OpenCV reads 2^30 at most: cut it up'
            )
        if image is None or not ends_well(content):
            return Examined(0, 0, _UNDECODABLE)
        fault, note = _pixels_seen(image)
    return Examined(header.height, header.width, fault, note, header.orientation)


def _pixels_seen(image: np.ndarray) -> tuple[str, str]:
    """Fault and note about ``(H, W)`` or ``(H, W, C)`` pixels as they are stored."""
    if image.dtype != np.uint8:
        return f'has {8 * image.itemsize} bits a channel; training would cut them: save it with 8', ''
    if image.ndim == 2:
        return '', 'grey'
    if image.shape[2] < 4:
        return '', ''
    if image[..., 3].min() < 255:
        return 'is in part transparent; training would ignore it: save it without alpha channel', ''
    return '', 'alpha'


def sizes(root: Path, paths: Sequence[str], jobs: int, bar: tqdm) -> Sizes:
    """Examine files with several threads; decoding does not hold the interpreter's lock.

    Args:
        root: Folder that the paths are relative to.
        paths: The files.
        jobs: Number of threads.
        bar: Progress, moved on by one per file.
    """
    pixels = np.zeros((len(paths), 2), np.int32)
    orientations = np.ones(len(paths), np.int8)
    faults: list[str] = []
    notes: dict[str, int] = {}
    with closing(_examine_all((str(root / path) for path in paths), jobs)) as examined:
        for i, found in enumerate(examined):
            pixels[i] = found.height, found.width
            orientations[i] = found.orientation
            if found.fault:
                faults.append(f'{paths[i]} {found.fault}')
            elif found.note:
                notes[found.note] = notes.get(found.note, 0) + 1
            bar.update()
    return Sizes(pixels, orientations, faults, notes)


def _examine_all(files: Iterator[str], jobs: int) -> Generator[Examined, None, None]:
    """Findings in order, with few files in flight, so that memory does not grow with their number."""
    with ThreadPoolExecutor(jobs) as pool:
        while block := list(islice(files, 256 * jobs)):
            yield from pool.map(examine, block)


def mismatches(gt: np.ndarray, lq: np.ndarray, scale: int, border: bool = False, remainder: bool = False) -> np.ndarray:
    """Which pairs do not fit in size.

    Args:
        gt: (n, 2), height and width of the gt image of each pair; 0 where unknown.
        lq: (n, 2), the same for lq.
        scale: How many times as large gt must be.
        border: It may be larger than that, by a border all around.
        remainder: It may be larger by less than ``scale`` pixels: BasicSR cuts them off in validation.

    Returns:
        Places of the pairs that do not fit, ascending. Pairs with an unknown size are none.
    """
    over = gt - lq * scale
    most = np.iinfo(over.dtype).max if border else scale - 1 if remainder else 0
    wrong = ((over < 0) | (over > most)).any(axis=1)
    return np.flatnonzero(wrong & gt.all(axis=1) & lq.all(axis=1))
