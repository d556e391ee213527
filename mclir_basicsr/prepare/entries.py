"""What becomes of one source: the encoded images that go into a database or folder.

Also what the worker processes of pool.py import, so nothing heavier than OpenCV.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.decoding import decoded
from mclir_basicsr.prepare.resize import reduce
from mclir_basicsr.prepare.source import Source
from mclir_basicsr.prepare.subimages import cut


@dataclass(frozen=True, slots=True)
class Entry:
    """One image to write.

    Attributes:
        name: Key with the ending of the file format.
        content: The encoded image, or the file that holds it.
    """

    name: str
    content: bytes | Path

    @property
    def key(self) -> str:
        """The key, as BasicSR reads it from a name."""
        return self.name.split('.')[0]


def is_unchanged(source: Source) -> bool:
    """True where the bytes of the file are kept."""
    return source.window is None and source.modcrop == source.reduce == 1


def ending_of(source: Source) -> str:
    """Ending of the names of what a source becomes."""
    return Path(source.path).suffix if is_unchanged(source) else '.png'


def entries_of(source: Source) -> list[Entry]:
    """Make the images of a source: one, or its subimages row by row.

    Images are made as BasicSR's reader sees them, 8 bits and without alpha, except that grey ones keep their single
    channel.

    Raises:
        MclirError: The file cannot be read or decoded, or is too small for what is asked of it.
    """
    if is_unchanged(source):
        return [Entry(source.key + ending_of(source), Path(source.path))]
    image = _mod_crop(_decode(source.path), source)
    if source.reduce > 1:
        image = reduce(image, source.reduce)
    if source.window is None:
        return [_made(source.key, image)]
    parts = [_made(f'{source.key}_s{k:03d}', part) for k, part in enumerate(cut(image, source.window), 1)]
    if not parts:
        height, width = image.shape[:2]
        raise MclirError(
            f'{source.path}: {width}x{height} pixels are too few for subimages of {source.window.size}x'
            f'{source.window.size}. Remove the image or choose smaller subimages.'
        )
    return parts


def read_file(path: Path) -> bytes:
    """Read an image file.

    Raises:
        MclirError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise MclirError(f'{path} cannot be read: {error.strerror}.') from error


def _decode(path: str) -> np.ndarray:
    image = decoded(read_file(Path(path)), cv2.IMREAD_ANYCOLOR)
    if image is None:
        raise MclirError(f'{path} cannot be decoded: it is truncated, or no image. Remove it or fetch it again.')
    return image


def _mod_crop(image: np.ndarray, source: Source) -> np.ndarray:
    height, width = (length - length % source.modcrop for length in image.shape[:2])
    if not height or not width:
        raise MclirError(f'{source.path}: {image.shape[1]}x{image.shape[0]} pixels, less than {source.modcrop}.')
    return image[:height, :width]


def _made(key: str, image: np.ndarray) -> Entry:
    # OpenCV's own settings, level 1 with run lengths: encodes in half the time of level 1 proper (BasicSR's choice),
    # decodes a fifth faster, in every epoch, and is a tenth larger
    return Entry(f'{key}.png', cv2.imencode('.png', image)[1].tobytes())
