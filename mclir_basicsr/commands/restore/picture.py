"""Photographs as files hold them: 8 or 16 bits, grey, palette or colour, alpha, rotation, profile."""

import io
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from mclir_basicsr.commands.restore import deep_tiff
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file

SUFFIXES = ('.png', '.jpg', '.jpeg', '.tif', '.tiff', '.webp', '.bmp')
DEEP = ('.png', '.tif', '.tiff')  # formats that hold 16 bits
_JPEG_QUALITY = 95
_PLAIN_MODES = ('L', 'LA', 'RGB', 'RGBA')
_TURNS = {  # by EXIF orientation: quarters to the left, then a flip of left and right
    1: (0, False), 2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False),
}  # fmt: skip
_ORIENTATION = 0x0112
_ANIMATED = ('GIF', 'PNG', 'WEBP', 'AVIF')  # the second image of a phone's JPEG (MPO) is another view of the first
_DAMAGE = (
    OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError, tifffile.TiffFileError,
)  # fmt: skip
_COLOUR_TYPE, _GREY_WITH_ALPHA = 25, 4  # byte of a PNG's header, and its value (PNG specification, 11.2.1)


@dataclass(frozen=True)
class Picture:
    """An image in memory.

    Attributes:
        pixels: (H, W, C) float32 in [0, 1], C 3 (RGB) or 1, upright.
        alpha: (H, W) float32 in [0, 1]; None where there is none.
        bits: A channel's in the file, 8 or 16.
        profile: Its ICC profile; None where it has none, or one that went with the conversion to RGB.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    bits: int = 8
    profile: bytes | None = None


def read(file: Path) -> Picture:
    """Read an image, upright as EXIF says.

    Raises:
        MclirError: It is damaged or no image, or of a kind that is not known here, or it holds several images.
    """
    content = file.read_bytes()
    try:
        if deep_tiff.is_tiff(content):
            _refuse_many(deep_tiff.pages(content))
            deep = deep_tiff.read(content)
            if deep is not None:
                return _split(_upright(deep.values, deep.orientation), 16, deep.profile)
        with Image.open(io.BytesIO(content)) as image:
            if image.format in _ANIMATED:
                _refuse_many(getattr(image, 'n_frames', 1))
            return _of_pillow(image, content)
    except UnidentifiedImageError as error:
        raise MclirError(f'{file} cannot be read: it is damaged or no image.') from error
    except _DAMAGE as error:
        raise MclirError(f'{file} cannot be read: {error}') from error


def _of_pillow(image: Image.Image, content: bytes) -> Picture:
    image.load()
    profile, orientation = image.info.get('icc_profile'), image.getexif().get(_ORIENTATION, 1)
    if image.format == 'PNG' and image.mode not in ('P', '1'):  # Pillow gives 16 bits of a colour image as 8
        stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if stored is not None and stored.dtype == np.uint16:
            return _deep_png(stored, content[_COLOUR_TYPE], orientation, profile)
    if image.mode in ('I', 'F') or image.mode.startswith('I;'):
        raise MclirError(f'it has {image.mode} pixels of more than 16 bits: save it with 8 or 16.')
    image = ImageOps.exif_transpose(image)
    if image.mode == 'CMYK':
        image, profile = _from_cmyk(image, profile), None
    if image.mode not in _PLAIN_MODES:  # palette, black and white, YCbCr, ...
        has_alpha = 'transparency' in image.info or image.mode in ('PA', 'La', 'RGBa')
        grey = image.mode in ('1', 'La')
        image = image.convert(('LA' if grey else 'RGBA') if has_alpha else 'L' if grey else 'RGB')
    return _split(np.asarray(image), 8, profile)


def _refuse_many(count: int) -> None:
    if count > 1:
        raise MclirError(f'it holds {count} images, pages or frames: save each as a file of its own.')


def _deep_png(stored: np.ndarray, colour_type: int, orientation: int, profile: bytes | None) -> Picture:
    """From (H, W), (H, W, 3) or (H, W, 4) uint16, BGR; OpenCV makes four channels of grey with alpha."""
    if stored.ndim == 3:
        grey = colour_type == _GREY_WITH_ALPHA
        stored = stored[..., [0, 3] if grey else [2, 1, 0, *range(3, stored.shape[2])]]
    return _split(_upright(stored, orientation), 16, profile)


def _upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    quarters, flips = _TURNS.get(orientation, (0, False))
    turned = np.rot90(stored, quarters)
    return turned[:, ::-1] if flips else turned


def _split(values: np.ndarray, bits: int, profile: bytes | None) -> Picture:
    """From (H, W) or (H, W, 1 to 4)."""
    values = values[..., None] if values.ndim == 2 else values
    scaled = np.ascontiguousarray(values, dtype=np.float32) / (2**bits - 1)
    has_alpha = scaled.shape[2] in (2, 4)
    alpha = scaled[..., -1] if has_alpha else None
    return Picture(scaled[..., :-1] if has_alpha else scaled, alpha, bits, profile)


def _from_cmyk(image: Image.Image, profile: bytes | None) -> Image.Image:
    """To sRGB, by the file's own profile where it has one."""
    if profile is not None:
        try:
            converted = ImageCms.profileToProfile(
                image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile('sRGB'), outputMode='RGB'
            )
            if converted is not None:
                return converted
        except ImageCms.PyCMSError:  # a damaged profile
            pass
    return image.convert('RGB')


def write(picture: Picture, file: Path) -> None:
    """Write an image whole, in the format of its suffix.

    Raises:
        MclirError: The format holds no image of this kind or size.
        OSError: The file could not be written.
    """
    channels = [picture.pixels, *([picture.alpha[..., None]] if picture.alpha is not None else [])]
    values = (np.concatenate(channels, axis=2).clip(0, 1) * (2**picture.bits - 1)).round()
    suffix = file.suffix.lower()
    encode = _encode_deep if picture.bits == 16 else _encode_plain
    try:
        content = encode(values.astype(np.uint16 if picture.bits == 16 else np.uint8), suffix, picture.profile)
    except (OSError, ValueError) as error:  # alpha as JPEG, say, or sides of more than 16383 pixels as WebP
        raise MclirError(f'{file} cannot be written: {error}. Rename the original so that it ends in .png.') from error
    with whole_file(file) as out:
        out.write(content)


def _encode_plain(values: np.ndarray, suffix: str, profile: bytes | None) -> bytes:
    """(H, W, 1 to 4) uint8 in any format."""
    image, stream = Image.fromarray(values.squeeze(2) if values.shape[2] == 1 else values), io.BytesIO()
    options: dict[str, Any] = {}
    if suffix in ('.jpg', '.jpeg'):
        options = {'quality': _JPEG_QUALITY, 'subsampling': 0}
    elif suffix == '.webp':
        options = {'lossless': True}
    image.save(stream, format=Image.registered_extensions()[suffix], icc_profile=profile, **options)
    return stream.getvalue()


def _encode_deep(values: np.ndarray, suffix: str, profile: bytes | None) -> bytes:
    """(H, W, 1 to 4) uint16 as PNG or TIFF. Pillow writes no 16-bit colour, and OpenCV no profile."""
    if suffix != '.png':
        stream = io.BytesIO()
        kind = 'minisblack' if values.shape[2] < 3 else 'rgb'
        extra = ['unassalpha'] if values.shape[2] in (2, 4) else None
        plain = values.squeeze(2) if values.shape[2] == 1 else values
        tifffile.imwrite(
            stream, plain, photometric=kind, extrasamples=extra, planarconfig='contig', iccprofile=profile,
            compression='adobe_deflate',
        )  # fmt: skip
        return stream.getvalue()
    if values.shape[2] == 2:  # grey with alpha, which OpenCV does not write: three equal channels
        values = values[..., [0, 0, 0, 1]]
    bgr = values[..., [2, 1, 0, *range(3, values.shape[2])]] if values.shape[2] >= 3 else values
    is_encoded, data = cv2.imencode(suffix, np.ascontiguousarray(bgr))
    if not is_encoded:
        raise OSError('Failed in writing images.')
    return _with_profile(data.tobytes(), profile) if profile is not None else data.tobytes()


def _with_profile(png: bytes, profile: bytes) -> bytes:
    """Put an iCCP chunk behind the header (PNG specification, 11.3.2.3)."""
    chunk = b'iCCPICC profile\0\0' + zlib.compress(profile)
    behind = 8 + 25  # signature, IHDR
    length, check = struct.pack('>I', len(chunk) - 4), struct.pack('>I', zlib.crc32(chunk))
    return png[:behind] + length + chunk + check + png[behind:]
