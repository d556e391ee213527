"""Checks of the images themselves, before anything is written."""

import io
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.prepare.header import image_shape


class Examined(NamedTuple):
    """What a file turned out to be.

    Attributes:
        height: In pixels as training reads it, turned as EXIF says; 0 where the file cannot be read.
        width: In pixels.
        fault: Why training cannot use it; empty where it can.
        note: What training passes over without harm: ``grey`` or ``alpha``; empty for plain colour.
    """

    height: int
    width: int
    fault: str = ''
    note: str = ''


class Sizes(NamedTuple):
    """Sizes of many images.

    Attributes:
        pixels: (n, 2), int32: height and width; 0 where unknown.
        faults: A line per faulty file, with its name.
        notes: Number of files per note.
    """

    pixels: np.ndarray
    faults: list[str]
    notes: dict[str, int]


def examine(file: str) -> Examined:
    """Decode a whole image as training will, and see what would be lost or go wrong there."""
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        return Examined(0, 0, f'cannot be read: {error.strerror}')
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if image is None or not ends_well(content):
        return Examined(0, 0, 'cannot be decoded: it is empty, truncated, damaged or no image')
    try:
        height, width, _ = image_shape(io.BytesIO(content), 'it')
    except MclirError as error:
        return Examined(0, 0, f'cannot be used: {error}')
    if image.dtype != np.uint8:
        return Examined(
            height, width, f'has {8 * image.itemsize} bits a channel; training would cut them: save it with 8'
        )
    if image.ndim == 2:
        return Examined(height, width, note='grey')
    if image.shape[2] < 4:
        return Examined(height, width)
    if image[..., 3].min() < 255:
        return Examined(
            height, width, 'is in part transparent; training would ignore it: save it without alpha channel'
        )
    return Examined(height, width, note='alpha')


def ends_well(content: bytes) -> bool:
    """False for a truncated JPEG: OpenCV before 5 fills the missing rest with grey and says nothing."""
    if not content.startswith(b'\xff\xd8'):
        return True
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except (OSError, SyntaxError, Image.DecompressionBombError):  # SyntaxError is Pillow's for a broken header
        return False
    return True


def sizes(root: Path, paths: Sequence[str], jobs: int, bar: tqdm) -> Sizes:
    """Examine files with several threads; decoding does not hold the interpreter's lock.

    Args:
        root: Folder that the paths are relative to.
        paths: The files.
        jobs: Number of threads.
        bar: Progress, moved on by one per file.
    """
    pixels = np.zeros((len(paths), 2), np.int32)
    faults: list[str] = []
    notes: dict[str, int] = {}
    with closing(_examine_all((str(root / path) for path in paths), jobs)) as examined:
        for i, found in enumerate(examined):
            pixels[i] = found.height, found.width
            if found.fault:
                faults.append(f'{paths[i]} {found.fault}')
            elif found.note:
                notes[found.note] = notes.get(found.note, 0) + 1
            bar.update()
    return Sizes(pixels, faults, notes)


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


@dataclass(frozen=True, slots=True)
class Record:
    """A finding without faults, kept in a file so that the same images need not be examined again.

    Attributes:
        file: Where; it may be deleted.
        valid_for: A text that differs where other images, or the same in another way, are to be checked.
    """

    file: Path
    valid_for: str

    def keep(self, sizes_by_scale: Mapping[int, np.ndarray], notes: Sequence[str]) -> None:
        """Write the lq sizes and the notes."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f'x{scale}': pixels for scale, pixels in sizes_by_scale.items()}
        with whole_file(self.file) as stream:
            np.savez(stream, valid_for=np.array(self.valid_for), notes=np.array(notes, np.str_), **arrays)

    def recall(self) -> tuple[dict[int, np.ndarray], list[str]] | None:
        """What was kept; None where there is nothing, or it is for other images."""
        try:
            with np.load(self.file) as kept:
                if str(kept['valid_for']) == self.valid_for:
                    scales = [int(name[1:]) for name in kept.files if name.startswith('x')]
                    return {scale: kept[f'x{scale}'] for scale in scales}, [str(note) for note in kept['notes']]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # not there, or damaged
            pass
        return None
