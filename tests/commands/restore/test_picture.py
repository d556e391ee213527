"""Photographs of all kinds, read and written."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from mclir_basicsr.commands.restore.picture import Picture, read, write
from mclir_basicsr.errors import MclirError

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (6, 9, 3), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (6, 9, 3), dtype=np.uint16)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()


def saved(image, file, **options):
    image.save(file, **options)
    return file


@pytest.mark.parametrize('suffix', ['.png', '.tif', '.webp', '.bmp'])
@pytest.mark.parametrize('mode', ['L', 'RGB', 'RGBA', 'LA'])
def test_eight_bits_come_back_as_they_were(tmp_path, mode, suffix):
    if (mode, suffix) in {('LA', '.bmp'), ('RGBA', '.bmp'), ('LA', '.webp'), ('L', '.webp')}:
        pytest.skip(f'{suffix} holds no {mode}')
    image = Image.fromarray(np.dstack([COLOUR, COLOUR[..., :1]])).convert(mode)
    file = saved(image, tmp_path / f'a{suffix}', **({'lossless': True, 'exact': True} if suffix == '.webp' else {}))
    picture = read(file)
    assert picture.bits == 8
    assert picture.pixels.shape == (6, 9, 1 if mode in ('L', 'LA') else 3)
    assert (picture.alpha is not None) == (mode in ('LA', 'RGBA'))
    write(picture, tmp_path / f'b{suffix}')
    with Image.open(tmp_path / f'b{suffix}') as back:
        assert back.mode == mode
        there = np.asarray(back)[..., 3:] > 0 if mode == 'RGBA' else True
        assert (np.where(there, back, 0) == np.where(there, image, 0)).all()


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
@pytest.mark.parametrize('channels', [1, 2, 3, 4])
def test_sixteen_bits_come_back_as_they_were(tmp_path, channels, suffix):
    """Read again by OpenCV, which knows 16 bits."""
    values = np.dstack([DEEP, DEEP[..., :1]])[..., : channels if channels != 2 else 4]
    file = tmp_path / f'a{suffix}'
    cv2.imwrite(str(file), values[..., 0] if channels == 1 else values)
    picture = read(file)
    if channels == 2:  # made of a grey picture with alpha
        picture = type(picture)(picture.pixels[..., :1], picture.alpha, 16, None)
    assert picture.bits == 16
    write(picture, tmp_path / f'b{suffix}')
    if channels == 2 and suffix == '.tif':
        back = tifffile.imread(tmp_path / 'b.tif')
        assert (back == values[..., [2, 3]]).all()
        return
    back = cv2.imread(str(tmp_path / f'b{suffix}'), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    assert (back == (values[..., [2, 2, 2, 3]] if channels == 2 else values[..., 0] if channels == 1 else values)).all()


@pytest.mark.parametrize('suffix', ['.png', '.tif', '.jpg', '.webp'])
@pytest.mark.parametrize('bits', [8, 16])
def test_the_profile_is_kept(tmp_path, suffix, bits):
    if bits == 16 and suffix in ('.jpg', '.webp'):
        pytest.skip(f'{suffix} holds 8 bits')
    file = saved(Image.fromarray(COLOUR), tmp_path / f'a{suffix}', icc_profile=PROFILE)
    picture = read(file)
    assert picture.profile == PROFILE
    write(type(picture)(picture.pixels, None, bits, picture.profile), tmp_path / f'b{suffix}')
    with Image.open(tmp_path / f'b{suffix}') as back:
        assert back.info['icc_profile'] == PROFILE
        back.load()


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('bits', [8, 16])
def test_pictures_are_upright_as_opencv_has_them(tmp_path, orientation, bits):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / 'a.png'
    if bits == 8:
        saved(Image.fromarray(COLOUR), file, exif=exif)
    else:  # OpenCV writes no EXIF: the chunk comes from a file of Pillow's
        stream = io.BytesIO()
        Image.fromarray(COLOUR).save(stream, format='PNG', exif=exif)
        content, deep = stream.getvalue(), cv2.imencode('.png', DEEP)[1].tobytes()
        begin = content.index(b'eXIf') - 4
        length = int.from_bytes(content[begin : begin + 4], 'big') + 12
        file.write_bytes(deep[:33] + content[begin : begin + length] + deep[33:])
    turned = cv2.imread(str(file), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)[..., ::-1] / (2**bits - 1)
    plain = read(file).pixels
    assert plain.shape == turned.shape
    np.testing.assert_allclose(plain, turned, atol=1e-6)


def test_palettes_and_black_and_white_become_colour_and_grey(tmp_path):
    colour = Image.fromarray(COLOUR).quantize(16)
    assert read(saved(colour, tmp_path / 'p.png')).pixels.shape == (6, 9, 3)
    see_through = read(saved(colour, tmp_path / 't.png', transparency=3))
    assert see_through.alpha is not None
    assert set(np.unique(see_through.alpha)) == {0, 1}
    plain = read(saved(Image.fromarray(COLOUR).convert('1'), tmp_path / 'b.png'))
    assert plain.pixels.shape == (6, 9, 1)
    assert set(np.unique(plain.pixels)) == {0, 1}


def test_cmyk_becomes_rgb(tmp_path):
    red = Image.new('CMYK', (8, 8), (0, 255, 255, 0))
    picture = read(saved(red, tmp_path / 'a.jpg', quality=100))
    assert picture.profile is None
    assert (picture.pixels.mean((0, 1)).round(1) == [1, 0, 0]).all()


def test_more_than_sixteen_bits_and_damage_are_named(tmp_path):
    tifffile.imwrite(tmp_path / 'f.tif', np.ones((8, 8), np.float32))
    with pytest.raises(MclirError, match=r'f\.tif cannot be read: it has F pixels of more than 16 bits'):
        read(tmp_path / 'f.tif')
    content = saved(Image.fromarray(COLOUR), tmp_path / 'a.png').read_bytes()
    for part in (b'', b'no image', content[: len(content) // 2]):
        (tmp_path / 'a.png').write_bytes(part)
        with pytest.raises(MclirError, match=r'a\.png cannot be read'):
            read(tmp_path / 'a.png')


@pytest.mark.parametrize(
    ('values', 'kind'),
    [
        (DEEP[..., :2], {'photometric': 'minisblack', 'extrasamples': ['unassalpha'], 'planarconfig': 'contig'}),
        (DEEP.transpose(2, 0, 1), {'photometric': 'rgb', 'planarconfig': 'separate'}),
        (DEEP[..., 0], {'photometric': 'minisblack', 'compression': 'zlib', 'predictor': True}),
        (65535 - DEEP[..., 0], {'photometric': 'miniswhite'}),
    ],
)
def test_deep_tiffs_that_others_read_wrongly(tmp_path, values, kind):
    """OpenCV mixes separate planes up and takes white for black, Pillow knows no grey with alpha."""
    tifffile.imwrite(tmp_path / 'a.tif', values, iccprofile=PROFILE, extratags=[(274, 3, 1, 3)], **kind)
    picture = read(tmp_path / 'a.tif')  # orientation 3: turned by half
    channels = {'minisblack': 1, 'miniswhite': 1, 'rgb': 3}[kind['photometric']]
    assert (picture.bits, picture.profile) == (16, PROFILE)
    np.testing.assert_array_equal((picture.pixels * 65535).round(), DEEP[::-1, ::-1, :channels])
    if 'extrasamples' in kind:
        np.testing.assert_array_equal((picture.alpha * 65535).round(), DEEP[::-1, ::-1, 1])


def test_premultiplied_alpha_is_undone(tmp_path):
    alpha = np.full((6, 9, 1), 32768, np.uint16)
    times = np.dstack([(DEEP * (32768 / 65535)).round().astype(np.uint16), alpha])
    tifffile.imwrite(tmp_path / 'a.tif', times, photometric='rgb', extrasamples=['assocalpha'])
    picture = read(tmp_path / 'a.tif')
    np.testing.assert_allclose(picture.pixels, DEEP / 65535, atol=2 / 65535)


def test_a_deep_tiff_that_only_opencv_decompresses(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.tif'), DEEP, [cv2.IMWRITE_TIFF_COMPRESSION, 5])  # LZW
    np.testing.assert_array_equal((read(tmp_path / 'a.tif').pixels * 65535).round(), DEEP[..., ::-1])


def test_deep_grey_with_alpha_of_a_png(tmp_path):
    """Made by hand, as neither Pillow nor OpenCV writes one."""
    rows = b''.join(b'\0' + row.tobytes() for row in DEEP[..., :2].astype('>u2'))
    parts = (b'IHDR', struct.pack('>IIBBBBB', 9, 6, 16, 4, 0, 0, 0)), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')
    chunks = (struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d)) for t, d in parts)
    (tmp_path / 'a.png').write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(chunks))
    picture = read(tmp_path / 'a.png')
    np.testing.assert_array_equal((picture.pixels[..., 0] * 65535).round(), DEEP[..., 0])
    np.testing.assert_array_equal((picture.alpha * 65535).round(), DEEP[..., 1])


@pytest.mark.parametrize('name', ['a.gif', 'a.png', 'a.webp', 'a.tif'])
def test_pages_and_frames_are_not_dropped_in_silence(tmp_path, name):
    first = Image.fromarray(COLOUR)
    file = saved(first, tmp_path / name, save_all=True, append_images=[first.transpose(Image.Transpose.ROTATE_180)])
    with pytest.raises(MclirError, match=rf'{name} cannot be read: it holds 2 images, pages or frames'):
        read(file)


def test_a_thumbnail_is_no_second_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / 'a.tif') as out:
        out.write(DEEP, photometric='rgb')
        out.write(DEEP[::3, ::3], photometric='rgb', subfiletype=1)
    np.testing.assert_array_equal((read(tmp_path / 'a.tif').pixels * 65535).round(), DEEP)


def test_a_format_that_cannot_hold_the_picture_is_named(tmp_path):
    pixels = np.zeros((4, 4, 3), np.float32)
    with pytest.raises(MclirError, match=r'a\.jpg cannot be written: cannot write mode RGBA as JPEG'):
        write(Picture(pixels, pixels[..., 0]), tmp_path / 'a.jpg')
    assert not list(tmp_path.iterdir())


def test_progressive_jpeg_reads_as_another(tmp_path):
    plain, progressive = (
        read(saved(Image.fromarray(COLOUR), tmp_path / f'{i}.jpg', progressive=bool(i))).pixels for i in range(2)
    )
    np.testing.assert_array_equal(plain, progressive)
