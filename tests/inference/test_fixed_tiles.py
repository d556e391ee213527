"""Tiles of a fixed size, against the reference's merged images and closed forms."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe import compare, example_input

from mclir_basicsr.inference.fixed_tiles import merge, split, tile_starts


def test_matches_the_reference():
    golden, outputs = DATA / 'idt_tiles.npz', []
    for case in json.loads(str(np.load(golden)['cases'])):
        image = example_input(case['shape'], case['seed'], case['mean'], case['std'])
        height, width = image.shape[-2:]
        tiles = split(image, 128, 20)
        for (top, left), tile in zip(case['starts'], tiles, strict=True):
            assert torch.equal(tile, image[..., top : top + 128, left : left + 128])
        outputs.append(merge([tile * (k + 1) for k, tile in enumerate(tiles)], height, width, 20))
    matches, errors = compare(outputs, golden)
    assert matches, errors


@pytest.mark.parametrize(
    ('length', 'starts'),
    [(128, [0]), (129, [0, 1]), (140, [0, 12]), (236, [0, 108]), (237, [0, 108, 109]), (301, [0, 108, 173])],
)
def test_starts(length, starts):
    assert tile_starts(length, 128, 20) == starts


@given(height=st.integers(5, 30), width=st.integers(5, 30), size=st.integers(1, 5), data=st.data())
@settings(max_examples=40)
def test_merging_undoes_splitting(height, width, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    image = example_input((2, 3, height, width), 1).double()
    torch.testing.assert_close(merge(split(image, size, overlap), height, width, overlap), image)


def test_weights_fall_from_the_centre():
    """Two tiles of 4 along 6 columns: columns 2 and 3 are shared, 0 and 1 columns right of the left tile's centre."""
    tiles = [torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)]
    got = merge(tiles, 4, 6, 2)[0, 0]
    for i in range(4):
        weight = [1 / math.sqrt((i - 2) ** 2 + (j - 2) ** 2 + 1e-3) for j in range(4)]
        shared = [weight[0] / (weight[2] + weight[0]), weight[1] / (weight[3] + weight[1])]
        assert got[i].tolist() == pytest.approx([0, 0, *shared, 1, 1])


def test_half_precision_is_summed_in_float32():
    tiles = [tile.half() for tile in split(torch.full((1, 1, 9, 9), 0.1), 4, 3)]
    got = merge(tiles, 9, 9, 3)
    assert got.dtype == torch.float16
    assert torch.equal(got, torch.full_like(got, 0.1))


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match='side of 100 pixels is shorter than a tile of 128'):
        split(torch.zeros(1, 3, 200, 100), 128, 20)
    with pytest.raises(ValueError, match=r'overlap must be .* less than size, which is 8, but is 8'):
        split(torch.zeros(1, 3, 20, 20), 8, 8)
    tiles = split(torch.zeros(1, 3, 20, 20), 8, 2)
    with pytest.raises(ValueError, match='need 9 tiles, but there are 8'):
        merge(tiles[:-1], 20, 20, 2)
    with pytest.raises(ValueError, match='squares of one shape'):
        merge([], 20, 20, 2)
    with pytest.raises(ValueError, match='squares of one shape'):
        merge([*tiles[:-1], tiles[-1][..., 1:]], 20, 20, 2)
