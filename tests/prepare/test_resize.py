"""Reduction is that of the MATLAB that made the published low-resolution images."""

import numpy as np
import pytest
from basicsr.utils.matlab_functions import imresize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.resize import reduce

images = st.tuples(st.integers(1, 30), st.integers(1, 30), st.sampled_from([1, 3])).flatmap(
    lambda shape: arrays(np.uint8, shape)
)
scales = st.integers(1, 5)


@pytest.mark.parametrize('scale', [2, 3, 4, 8])
def test_within_one_level_of_basicsr_away_from_the_border(scale):
    # levels that nothing overshoots from: what is clipped between rows and columns differs by more
    image = np.random.default_rng(3).integers(64, 192, (24 * scale, 30 * scale, 3), dtype=np.uint8)
    expected = np.clip(np.floor(imresize(image / 255, 1 / scale) * 255 + 0.5), 0, 255)
    difference = np.abs(reduce(image, scale) - expected)[2:-2, 2:-2]  # the kernel reaches two output pixels far
    assert difference.max() <= 1
    assert np.mean(difference > 0) < 0.25  # rows are rounded before columns are reduced; basicsr rounds at the end


def test_kernel_and_rounding_at_scale_2():
    # Keys' cubic at 1/4, 3/4, 5/4 and 7/4 is 111/128, 29/128, -9/128 and -3/128; a step of 128 shows half of the
    # numerators: 98.5, 114.5, 155.5 and 95.5, rounded half up
    image = np.full((32, 1), 100, np.uint8)
    image[16] = 228
    assert reduce(image, 2)[5:11, 0].tolist() == [100, 99, 115, 156, 96, 100]


@given(images, scales)
def test_rows_are_rounded_before_columns(image, scale):
    rows = np.concatenate([reduce(column, scale) for column in np.split(image, image.shape[1], axis=1)], axis=1)
    columns = np.concatenate([reduce(row, scale) for row in np.split(rows, len(rows))])
    assert np.array_equal(reduce(image, scale), columns)


@given(images, scales)
def test_the_border_repeats_its_outermost_pixel(image, scale):
    out = reduce(image, scale)
    wider = reduce(np.pad(image, [(2 * scale, 2 * scale)] * 2 + [(0, 0)], mode='edge'), scale)
    assert np.array_equal(out, wider[2 : 2 + out.shape[0], 2 : 2 + out.shape[1]])


@given(images, scales, st.integers(0, 255))
def test_shapes_and_constants(image, scale, level):
    height, width, channels = image.shape
    shape = -(-height // scale), -(-width // scale)
    out = reduce(np.full_like(image, level), scale)
    assert out.shape == (*shape, channels)
    assert out.dtype == np.uint8
    assert (out == level).all()
    assert np.array_equal(reduce(image[..., 0], scale), reduce(image, scale)[..., 0])
    assert np.array_equal(reduce(image, 1), image)


def test_overshoot_is_clipped():
    image = np.zeros((16, 16), np.uint8)
    image[8:] = 255
    out = reduce(image, 2)
    assert (out.min(), out.max()) == (0, 255)
    assert (out[:3] == 0).all()
    assert (out[5:] == 255).all()


@pytest.mark.parametrize(
    ('image', 'scale', 'words'),
    [
        (np.zeros((4, 4), np.uint16), 2, '8-bit.*uint16'),
        (np.zeros((4, 4), np.uint8), 0, '1 to 16, but is 0'),
        (np.zeros((4, 4), np.uint8), 17, '1 to 16, but is 17'),
    ],
)
def test_bad_input(image, scale, words):
    with pytest.raises(MclirError, match=words):
        reduce(image, scale)
