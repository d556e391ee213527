"""Size of an encoded image from its header alone."""

from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image

from mclir_basicsr.errors import MclirError


def image_shape(file: BinaryIO | Path, name: str) -> tuple[int, int, int]:
    """Height, width and channels as OpenCV decodes them: 1 for grey, 4 with alpha, 3 else; turned as EXIF says.

    Args:
        file: The encoded image.
        name: What to call it in the message.

    Raises:
        MclirError: It is no image, or cannot be read.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            if _lies_on_its_side(image):
                width, height = height, width
            grey = len(image.getbands()) == 1 and image.mode != 'P'
            return height, width, 1 if grey else 4 if image.has_transparency_data else 3
    except (OSError, Image.DecompressionBombError) as error:  # Pillow's "cannot identify" is an OSError too
        raise MclirError(f'{name} is no image that can be read: {error}.') from error


def _lies_on_its_side(image: Image.Image) -> bool:
    if 'exif' not in image.info:  # to ask for it would decode a PNG
        return False
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1) > 4
    except (SyntaxError, TypeError, ValueError):  # damaged EXIF, which OpenCV passes over
        return False
