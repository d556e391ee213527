"""Subimages lie where BasicSR's preparation scripts cut them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.prepare.source import Window
from mclir_basicsr.prepare.subimages import cut, starts

sides = st.integers(1, 400)
windows = st.builds(Window, size=st.integers(1, 100), step=st.integers(1, 100), threshold=st.integers(0, 50))


@pytest.mark.parametrize(
    ('length', 'window', 'expected'),
    [
        (2040, Window(480, 240), [0, 240, 480, 720, 960, 1200, 1440, 1560]),  # 1440 + 480 = 1920 leaves 120
        (1356, Window(480, 240), [0, 240, 480, 720, 876]),
        (1020, Window(240, 120), [0, 120, 240, 360, 480, 600, 720, 780]),  # the X2 image of the first
        (480, Window(480, 240), [0]),
        (481, Window(480, 240), [0, 1]),
        (481, Window(480, 240, threshold=1), [0]),
        (479, Window(480, 240), []),
    ],
)
def test_starts_of_div2k_sides(length, window, expected):
    assert starts(length, window) == expected


@given(sides, windows)
def test_windows_cover_a_side_but_for_the_threshold(length, window):
    found = starts(length, window)
    assert found == sorted(set(found))
    assert (not found) == (length < window.size)
    if found:
        assert found[0] == 0
        assert 0 <= length - (found[-1] + window.size) <= window.threshold
        assert all(b - a <= window.step for a, b in pairwise(found))


@given(st.integers(1, 60), st.integers(4, 40), st.integers(1, 20), st.integers(2, 4))
def test_windows_of_the_reduced_image_match(count, size, step, scale):
    length = size + count  # both sides start alike when the large one is a multiple of the small one
    large = starts(length * scale, Window(size * scale, step * scale))
    assert large == [start * scale for start in starts(length, Window(size, step))]


def test_cut_goes_row_by_row():
    image = np.arange(5 * 7 * 3).reshape(5, 7, 3)
    parts = list(cut(image, Window(4, 3)))
    assert [part[0, 0].tolist() for part in parts] == [image[y, x].tolist() for y in (0, 1) for x in (0, 3)]
    assert all(part.shape == (4, 4, 3) for part in parts)
    assert [part.shape for part in cut(image[..., 0], Window(5, 2))] == [(5, 5)] * 2
