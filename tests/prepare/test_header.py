"""The size of an image is that which OpenCV reads, for any image that it reads."""

import io
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.decoding import ends_well
from mclir_basicsr.prepare.header import image_shape, read_header


def encoded(form, orientation=1, size=(40, 30)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    noise.save(file, form, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize('form', ['jpeg', 'png', 'tiff'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_size_of_an_image_that_exif_turns_is_that_which_opencv_reads(form, orientation):
    content = encoded(form, orientation)
    read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    header = read_header(io.BytesIO(content), 'it')
    assert header.shape == read.shape
    assert header.orientation == (1 if form == 'tiff' else orientation)  # a TIFF is read turned in any case


def test_the_limit_of_pillow_is_lifted_for_the_header_only(monkeypatch, tmp_path):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    (tmp_path / 'x.jpg').write_bytes(encoded('jpeg'))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert image_shape(tmp_path / 'x.jpg', 'x') == (30, 40, 3)
        assert ends_well(encoded('jpeg'))
        assert not ends_well(encoded('jpeg')[:-20])
    assert Image.MAX_IMAGE_PIXELS == 10
    with pytest.raises(MclirError):
        image_shape(tmp_path / 'nowhere.jpg', 'x')
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_png_that_pillow_refuses_for_its_colour_profile():
    file = io.BytesIO()
    Image.new('RGB', (40, 30)).save(file, 'png', icc_profile=bytes(2**21))
    with pytest.raises(ValueError, match='too large'):
        Image.open(io.BytesIO(file.getvalue()))
    assert image_shape(io.BytesIO(file.getvalue()), 'x') == (30, 40, 3)


@pytest.mark.parametrize('content', [b'', b'x' * 100, encoded('png')[:20], b'\xff\xd8\xff'])
def test_what_is_no_image_is_named(content):
    with pytest.raises(MclirError, match='x is no image that can be read'):
        image_shape(io.BytesIO(content), 'x')
