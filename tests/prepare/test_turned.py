"""Pairs of which EXIF turns one image only are good where they show the same, and a fault where they do not."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.recipes import own_pairs
from mclir_basicsr.prepare.turned import files_lie_apart, lie_apart


def scene(side=96):
    coarse = np.random.default_rng(3).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC))


def encoded(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, 'jpeg', exif=exif, quality=60)
    return file.getvalue()


@pytest.mark.parametrize('orientation', range(2, 9))
@pytest.mark.parametrize('side', ['gt', 'lq'])
def test_a_square_image_that_is_turned_on_one_side_only(orientation, side):
    plain, tagged = encoded(scene(), 1), encoded(scene(), orientation)
    upright = encoded(ImageOps.exif_transpose(Image.open(io.BytesIO(tagged))), 1)

    def apart(one, other):
        return lie_apart(one, other) if side == 'gt' else lie_apart(other, one)

    assert apart(tagged, plain)  # the copy has lost the tag
    assert not apart(tagged, upright)  # the copy was turned
    assert not apart(tagged, encoded(scene(), orientation))


def test_haze_does_not_hide_it_and_a_plain_image_is_no_fault():
    haze = Image.blend(scene(), Image.new('RGB', (96, 96), (200, 200, 200)), 0.8)
    assert lie_apart(encoded(scene(), 6), encoded(haze, 1))
    assert not lie_apart(encoded(scene(), 1), encoded(haze, 1))
    plain = Image.new('RGB', (96, 96), (9, 9, 9))
    assert not lie_apart(encoded(plain, 6), encoded(plain, 1))


def test_files_that_cannot_be_read_have_their_own_fault(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(encoded(scene(), 6))
    (tmp_path / 'b.jpg').write_bytes(encoded(scene(), 1))
    assert files_lie_apart(tmp_path / 'a.jpg', tmp_path / 'b.jpg')
    (tmp_path / 'b.jpg').write_bytes(b'x')
    assert not files_lie_apart(tmp_path / 'a.jpg', tmp_path / 'b.jpg')
    assert not files_lie_apart(tmp_path / 'a.jpg', tmp_path / 'c.jpg')


def test_prepare_names_the_pair(tmp_path):
    for side in ('gt', 'lq'):
        (tmp_path / side).mkdir()
    for name, orientations in (('a', (1, 1)), ('b', (6, 6)), ('c', (1, 3)), ('d', (6, 1))):
        for side, orientation in zip(('gt', 'lq'), orientations, strict=True):
            (tmp_path / side / f'{name}.jpg').write_bytes(encoded(scene(), orientation))
    with pytest.raises(MclirError) as error:
        prepare(*own_pairs(tmp_path / 'gt', tmp_path / 'lq'), tmp_path / 'out', progress=False)
    heading, *faults = str(error.value).splitlines()
    assert heading.startswith('2 faults')
    assert [fault.split(' when ')[0] for fault in faults] == [
        f'  lq/{name}.jpg: EXIF turns it or its gt gt/{name}.jpg' for name in ('c', 'd')
    ]
