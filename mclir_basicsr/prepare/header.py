"""What the header of an encoded image says: its size as it will be read, and how it is turned."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from PIL import ExifTags, Image

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.decoding import COLOUR, UNCHANGED, decoded

_LOCK = threading.Lock()


class Header(NamedTuple):
    """An image before it is decoded.

    Attributes:
        height: In pixels, as OpenCV reads it: turned as EXIF says.
        width: In pixels.
        channels: 1 for grey, 4 with alpha, 3 else.
        orientation: EXIF's, 1 to 8; 1 where there is none.
    """

    height: int
    width: int
    channels: int
    orientation: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self[:3]


def read_header(file: BinaryIO | Path, name: str) -> Header:
    """Read the header of an image file of any size, without its pixels.

    Args:
        file: The encoded image.
        name: What to call it in the message.

    Raises:
        MclirError: It is no image, or cannot be read.
    """
    try:
        with _open(file) as image:
            width, height = image.size
            orientation = _orientation(image)
            if orientation > 4:
                width, height = height, width
            grey = len(image.getbands()) == 1 and image.mode != 'P'
            return Header(height, width, 1 if grey else 4 if image.has_transparency_data else 3, orientation)
    except Exception as error:  # Pillow's readers raise nearly anything at a damaged header: ValueError, KeyError, ...
        header = _from_pixels(file)  # Pillow refuses some good ones, too, such as a PNG with a large colour profile
        if header is None:
            raise MclirError(f'{name} is no image that can be read: {error}.') from error
        return header


def image_shape(file: BinaryIO | Path, name: str) -> tuple[int, int, int]:
    """Height, width and channels as OpenCV decodes them: 1 for grey, 4 with alpha, 3 else; turned as EXIF says.

    Args:
        file: The encoded image.
        name: What to call it in the message.

    Raises:
        MclirError: It is no image, or cannot be read.

    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new('L', (640, 480)).save(file, 'png')
    >>> image_shape(file, 'a grey image')
    (480, 640, 1)
    """
    return read_header(file, name).shape


@contextmanager
def _open(file: BinaryIO | Path) -> Iterator[Image.Image]:
    """Open an image, however large it is.

    Pillow warns above 89 megapixels and refuses above 179: training reads images of 2^30 pixels, and here none are
    decoded. Its limit is one for the whole process, so it is lifted no longer than it takes to read a header.
    """
    with _LOCK:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with image:
        yield image


def _orientation(image: Image.Image) -> int:
    if 'exif' not in image.info:  # to ask for it would decode a PNG; a TIFF is turned already when it is opened
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF, which OpenCV passes over
        return 1
    return orientation if orientation in range(1, 9) else 1


def _from_pixels(file: BinaryIO | Path) -> Header | None:
    """The header of what only OpenCV can read; None where it cannot, either."""
    try:
        if isinstance(file, Path):
            content = file.read_bytes()
        else:
            file.seek(0)
            content = file.read()
    except (OSError, ValueError):  # ValueError: Pillow has closed it
        return None
    read, stored = decoded(content, COLOUR), decoded(content, UNCHANGED)
    if read is None or stored is None:
        return None
    height, width = read.shape[:2]
    return Header(height, width, stored.shape[2] if stored.ndim == 3 else 1)
