"""TIFF files of 16 bits, of which Pillow reads some as 8 bits and some not at all, and OpenCV some wrongly."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
import tifffile

from mclir_basicsr.errors import MclirError

_MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')  # the last two of BigTIFF
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2  # TIFF 6.0, PhotometricInterpretation
_PREMULTIPLIED = 1  # TIFF 6.0, ExtraSamples
_ORIENTATION = 274


@dataclass(frozen=True)
class DeepTiff:
    """What a file holds.

    Attributes:
        values: (H, W, C) uint16 as stored, not turned; C 1 to 4: grey or RGB, and alpha that is not premultiplied.
        orientation: As of EXIF, 1 to 8.
        profile: The ICC profile; None where there is none.
    """

    values: np.ndarray
    orientation: int
    profile: bytes | None


def is_tiff(content: bytes) -> bool:
    """Whether a file begins as a TIFF does.

    >>> is_tiff(b'II*' + bytes(9)), is_tiff(b'GIF89a')
    (True, False)
    """
    return content[:4] in _MAGIC


def pages(content: bytes) -> int:
    """How many pictures a TIFF holds; thumbnails and masks do not count.

    Raises:
        tifffile.TiffFileError: It is damaged.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        return sum(not (page.is_reduced or page.is_mask) for page in map(tiff.pages.get, range(len(tiff.pages))))


def read(content: bytes) -> DeepTiff | None:
    """Read the first picture; None where it is none of 16 bits in grey or RGB.

    Raises:
        MclirError: It has more than four channels.
        tifffile.TiffFileError: It is damaged.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        page = tiff.pages.first
        if page.dtype != np.uint16 or page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            return None
        colours, extras = 3 if page.photometric == _RGB else 1, page.extrasamples
        if colours + len(extras) > colours + 1:
            raise MclirError(f'it has {colours + len(extras)} channels: save it with one alpha channel at most')
        values = _values(page, content)
        orientation = page.tags.get(_ORIENTATION)
    if page.photometric == _WHITE_IS_ZERO:
        values = np.concatenate([65535 - values[..., :1], values[..., 1:]], axis=2)
    if extras and extras[0] == _PREMULTIPLIED:
        alpha = values[..., -1:].astype(np.float64)
        plain = np.divide(values[..., :-1] * 65535.0, alpha, out=np.zeros(values[..., :-1].shape), where=alpha > 0)
        values = np.concatenate([plain.round().clip(0, 65535).astype(np.uint16), values[..., -1:]], axis=2)
    return DeepTiff(values, orientation.value if orientation else 1, page.iccprofile)


def _values(page: tifffile.TiffPage, content: bytes) -> np.ndarray:
    """(H, W, C) by tifffile; where it cannot decompress them, by OpenCV, which is wrong on separate planes."""
    try:
        stored = page.asarray()
    except ValueError as error:  # it would need the package imagecodecs, for LZW say
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None or decoded.dtype != np.uint16 or 'S' in page.axes[:1]:
            raise ValueError(f'{error}: save it without compression') from error
        if decoded.ndim == 3:
            decoded = decoded[..., [2, 1, 0, *range(3, decoded.shape[2])]]
        return decoded[..., None] if decoded.ndim == 2 else decoded
    if page.axes.startswith('S'):
        stored = np.moveaxis(stored, 0, -1)
    return stored[..., None] if stored.ndim == 2 else stored
