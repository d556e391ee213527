"""Decoding images as training does, and noticing what OpenCV passes over."""

import io
import threading
from contextlib import AbstractContextManager, nullcontext

import cv2
import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

COLOUR = cv2.IMREAD_COLOR  # as BasicSR reads: 8 bits, three channels, turned as EXIF says
UNCHANGED = cv2.IMREAD_UNCHANGED
MOST_PIXELS = 2**30  # OpenCV's own limit, unless OPENCV_IO_MAX_IMAGE_PIXELS sets another
_LARGE = 2**26
_ONE_AT_A_TIME = threading.Lock()


def decoded(content: bytes, flags: int) -> np.ndarray | None:
    """The pixels of an encoded image; None where OpenCV cannot decode it.

    Args:
        content: The encoded image.
        flags: OpenCV's ``IMREAD_...``.
    """
    if not content:
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except (cv2.error, MemoryError):  # a header that asks for too many pixels, for instance
        return None


def memory_for(pixels: int) -> AbstractContextManager[object]:
    """Decode within it: of images above 67 megapixels threads have one in memory at a time."""
    return _ONE_AT_A_TIME if pixels > _LARGE else nullcontext()


def ends_well(content: bytes) -> bool:
    """False for a truncated JPEG: OpenCV before 5 fills the missing rest with grey and says nothing."""
    if not content.startswith(b'\xff\xd8'):
        return True
    try:
        with JpegImageFile(io.BytesIO(content)) as image:  # Image.open refuses large ones
            image.draft('L', (1, 1))  # every byte is read, but an eighth of the rows and columns made
            image.load()
    except Exception:  # Pillow raises OSError, SyntaxError, ValueError and more at broken files
        return False
    return True
