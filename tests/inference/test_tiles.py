"""Tiles of restore: the same as the whole image where they can be, and smaller ones where memory ends."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import OUT_OF_MEMORY, SETTINGS, Recorder, Small, conv_net, nearest, picture, sides
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError
from mclir_basicsr.inference import FixedTile, Tile, restore


@SETTINGS
@given(
    height=sides,
    width=sides,
    radius=st.integers(1, 2),
    scale=st.integers(1, 2),
    spare=st.integers(0, 3),
    stride=st.integers(1, 12),
)
def test_tiles_change_nothing_where_a_quarter_of_the_overlap_holds_the_receptive_field(
    height, width, radius, scale, spare, stride
):
    net = conv_net(radius, scale)
    lq = picture(1, 3, height, width, dtype=torch.float64)
    overlap = 4 * radius + spare
    with torch.no_grad():
        whole = net(lq)
    torch.testing.assert_close(restore(net, lq, tile=Tile(overlap + stride, overlap)), whole, rtol=0, atol=1e-13)


def test_that_condition_is_sharp():
    net = conv_net(2)
    lq = picture(1, 3, 40, 40, dtype=torch.float64)
    wrong = (restore(net, lq, tile=Tile(16, 7)) - restore(net, lq)).abs()
    assert wrong.max() > 1e-6
    assert wrong[..., :9, :9].max() < 1e-13  # the first tile alone answers here


def test_networks_that_repeat_every_pad_multiple_pixels():
    """Means over windows of 4x4 (receptive field 3): exact if the overlap is a multiple of the window too."""
    net = lambda x: nearest(4)(F.avg_pool2d(x, 4))  # noqa: E731
    lq = picture(1, 1, 41, 30, dtype=torch.float64)
    whole = restore(net, lq, pad_multiple=4)
    tiled = restore(net, lq, pad_multiple=4, tile=Tile(24, 12))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-13)


def test_ramps_are_linear_over_the_middle_half_of_the_overlap():
    """A network that answers with its call number shows the weight of the second tile."""
    calls = iter(range(2))
    out = restore(lambda x: torch.full_like(x, next(calls)), torch.zeros(1, 1, 3, 24), tile=Tile(16, 8))
    ramp = [0.0] * 10 + [0.2, 0.4, 0.6, 0.8] + [1.0] * 10
    torch.testing.assert_close(out, torch.tensor(ramp).expand(1, 1, 3, 24))


@SETTINGS
@given(length=st.integers(1, 200), size=st.integers(1, 60), overlap=st.integers(0, 59))
def test_no_tile_answers_near_its_own_edge(length, size, overlap):
    """A network that spoils the outer quarter of the overlap, as a narrow view at an edge does."""
    tile = Tile(size, overlap % size)
    lq = torch.arange(1.0, length + 1).expand(1, 1, 1, -1)

    def spoil(x):
        inside = torch.arange(x.shape[-1])
        from_edge = torch.minimum(
            inside if x[..., 0] != 1 else torch.full_like(inside, size),
            inside.flip(0) if x[..., -1] != length else torch.full_like(inside, size),
        )
        return torch.where(from_edge < tile.overlap // 4, 1e6, x)

    torch.testing.assert_close(restore(spoil, lq, tile=tile), lq)


@pytest.mark.parametrize(
    ('shape', 'tile', 'expected'),
    [
        ((8, 8), Tile(8, 4), [(8, 8)]),
        ((3, 5), Tile(8, 4), [(3, 5)]),
        ((9, 5), Tile(8, 4), [(8, 5)] * 2),
        ((16, 12), Tile(8, 0), [(8, 8)] * 4),
        ((16, 12), Tile(8, 4), [(8, 8)] * 6),
        ((4, 10), Tile(8, 7), [(4, 8)] * 3),
    ],
)
def test_number_and_size_of_tiles(shape, tile, expected):
    net = Recorder(lambda x: x)
    restore(net, torch.zeros(1, 1, *shape), tile=tile)
    assert [tuple(part.shape[-2:]) for part in net.inputs] == expected


def test_last_tile_ends_at_the_border():
    net = Recorder(lambda x: x)
    restore(net, torch.arange(21.0).expand(1, 1, 1, -1), tile=Tile(8, 2))
    assert [(part[..., 0].item(), part[..., -1].item()) for part in net.inputs] == [(0, 7), (6, 13), (12, 19), (13, 20)]


def test_one_tile_is_exactly_the_network():
    net = conv_net(2, scale=2, dtype=torch.float32)
    lq = picture(2, 3, 9, 12)
    assert torch.equal(restore(net, lq, tile=Tile(12, 4)), net(lq))


# ---- memory


@pytest.mark.parametrize('error', OUT_OF_MEMORY, ids=['cuda', 'cpu'])
def test_out_of_memory_halves_the_tile_and_says_so(error, caplog):
    net, lq = conv_net(2, scale=2), picture(1, 3, 50, 70, dtype=torch.float64)
    small = Small(net, 24 * 24, error)
    out = restore(small, lq, tile=Tile(64, 8), pad_multiple=8)
    assert [side for _, side in small.sizes[:3]] == [64, 32, 16]
    assert torch.equal(out, restore(net, lq, tile=Tile(16, 8), pad_multiple=8))
    assert re.findall(r'tiles of (\d+) pixels', caplog.text) == ['32', '16']


def test_a_tile_larger_than_the_image_is_halved_from_the_image():
    small = Small(conv_net(1), 20 * 30, OUT_OF_MEMORY[0])
    restore(small, picture(1, 3, 20, 40, dtype=torch.float64), tile=Tile(1000, 4))
    assert small.sizes[:2] == [(20, 40), (20, 20)]


@pytest.mark.parametrize(
    ('tile', 'message'),
    [
        (None, '40x40 pixels .* in tiles \\(val.tile'),
        (Tile(32, 8), 'even in tiles of 16 with an overlap of 8'),
        (FixedTile(32, 8), 'even in tiles of 32'),
    ],
)
def test_memory_that_holds_no_tile_is_one_message(tile, message):
    with pytest.raises(MclirError, match=message):
        restore(Small(None, 0, OUT_OF_MEMORY[0]), picture(1, 3, 40, 40), tile=tile)


def test_other_errors_of_the_network_pass():
    with pytest.raises(RuntimeError, match='shape mismatch'):
        restore(Small(None, 0, RuntimeError('shape mismatch')), picture(1, 3, 40, 40), tile=Tile(32, 8))
