"""Whole-image forward: padding, self-ensemble, what networks ask for, against closed forms and F.pad."""

import re
import subprocess
import sys

import pytest
import torch
from basicsr.archs import build_network
from hypothesis import given
from hypothesis import strategies as st
from small_networks import OUT_OF_MEMORY, SETTINGS, Recorder, Small, conv_net, nearest, picture, sides
from torch import nn
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError
from mclir_basicsr.inference import FixedTile, Tile, restore, size_faults, tiles_change_means

# ---- defaults


def test_defaults_are_exactly_the_network():
    net = conv_net(2, scale=2, dtype=torch.float32)
    lq = picture(2, 3, 9, 7)
    net_input = Recorder(net)
    out = restore(net_input, lq)
    assert torch.equal(out, net(lq))
    assert len(net_input.inputs) == 1
    assert torch.equal(net_input.inputs[0], lq)


def test_no_gradient_is_kept_and_none_is_switched_off_for_the_caller():
    net = conv_net(1)
    lq = picture(1, 3, 4, 4, dtype=torch.float64).requires_grad_()
    assert not restore(net, lq).requires_grad
    assert torch.is_grad_enabled()


class Folding(nn.Linear):
    """Folds its weight in eval mode, and unfolds it where it is asked to train, as LoRA and RepVGG layers do."""

    folded = False

    def train(self, mode=True):
        self.folded = not mode
        return super().train(mode)


@pytest.mark.parametrize('fails', [False, True])
def test_restore_leaves_no_dropout_on_and_puts_each_mode_back(fails):
    """A batch norm that the caller froze stays frozen, a dropout that the caller left on in a frozen part stays on."""
    frozen = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5)).eval()
    frozen[1].train()
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1), frozen, Folding(16, 16, bias=False)).train()
    frozen.training = frozen[0].training = False
    nn.init.eye_(net[3].weight)
    modes = [module.training for module in net.modules()]
    folded = []
    net[3].register_forward_hook(lambda module, *_: folded.append(module.folded))
    image = torch.ones(1, 1, 16, 16)
    if fails:
        with pytest.raises(RuntimeError):
            restore(net, image.to(torch.int32))
    else:
        torch.testing.assert_close(restore(net, image), image, rtol=1e-4, atol=0)
        assert net[1].running_mean == 0
        assert folded == [True]
    assert [module.training for module in net.modules()] == modes
    assert not net[3].folded


def test_input_is_left_alone():
    lq = picture(1, 3, 11, 6)
    before = lq.clone()
    restore(lambda x: x, lq, pad_multiple=4, tile=Tile(8, 3), self_ensemble=True)
    assert torch.equal(lq, before)


# ---- any composition


@SETTINGS
@given(
    height=sides,
    width=sides,
    multiple=st.integers(1, 9),
    tiles=st.integers(1, 4),
    overlap=st.integers(0, 30),
    scale=st.integers(1, 3),
    self_ensemble=st.booleans(),
)
def test_nearest_upsampling_comes_out_whatever_the_parts(height, width, multiple, tiles, overlap, scale, self_ensemble):
    lq = picture(2, 2, height, width)
    size = tiles * multiple
    tile = Tile(size, overlap % size)
    net = Recorder(nearest(scale))
    out = restore(net, lq, pad_multiple=multiple, tile=tile, self_ensemble=self_ensemble)
    torch.testing.assert_close(out, nearest(scale)(lq), rtol=1e-6, atol=1e-6)
    for part in net.inputs:
        assert all(side % multiple == 0 and side <= size for side in part.shape[-2:])


@pytest.mark.parametrize('tile', [None, Tile(6, 2)])
def test_networks_may_view_their_input(tile):
    lq = picture(2, 3, 7, 10)
    out = restore(lambda x: x.view(-1).view(x.shape), lq, tile=tile, self_ensemble=True)
    torch.testing.assert_close(out, lq)


def test_channels_may_change():
    grey = restore(lambda x: x.mean(1, keepdim=True), picture(2, 3, 9, 10), pad_multiple=4, tile=Tile(8, 4))
    torch.testing.assert_close(grey, picture(2, 3, 9, 10).mean(1, keepdim=True))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_type_is_the_networks_and_sums_lose_no_bits(dtype):
    lq = picture(1, 2, 13, 17, dtype=dtype)
    out = restore(lambda x: x, lq, tile=Tile(6, 3), self_ensemble=True)
    assert out.dtype == dtype
    # every term is the same number: a sum in half precision would be off in the last bit in many pixels
    assert torch.equal(out, lq) if dtype != torch.float64 else (out - lq).abs().max() < 1e-15


# ---- padding


@SETTINGS
@given(height=sides, width=sides, multiple=st.integers(1, 40))
def test_padding_is_that_of_f_pad_where_f_pad_reflects(height, width, multiple):
    lq = picture(1, 2, height, width)
    net = Recorder(lambda x: x)
    assert torch.equal(restore(net, lq, pad_multiple=multiple), lq)
    (padded,) = net.inputs
    missing = (0, -width % multiple, 0, -height % multiple)
    assert padded.shape == (1, 2, height + missing[3], width + missing[1])
    if missing[1] < width and missing[3] < height:
        assert torch.equal(padded, F.pad(lq, missing, mode='reflect'))


@pytest.mark.parametrize(
    ('row', 'multiple', 'expected'),
    [
        ([1], 4, [1, 1, 1, 1]),
        ([1, 2], 5, [1, 2, 1, 2, 1]),
        ([1, 2, 3], 8, [1, 2, 3, 2, 1, 2, 3, 2]),
        ([1, 2, 3, 4], 4, [1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize('upright', [False, True])
def test_small_images_are_reflected_as_often_as_needed(row, multiple, expected, upright):
    lq = torch.tensor(row, dtype=torch.float32).view(1, 1, 1, -1)
    full = torch.tensor(expected, dtype=torch.float32).expand(1, 1, multiple, -1)
    net = Recorder(nearest(2))
    out = restore(net, lq.mT if upright else lq, pad_multiple=multiple)
    assert torch.equal(net.inputs[0], full.mT if upright else full)
    assert torch.equal(out, nearest(2)(lq.mT if upright else lq))


def test_padding_is_bottom_right_and_cropped_at_the_scale():
    net = conv_net(2, scale=3)
    lq = picture(1, 3, 13, 10, dtype=torch.float64)
    explicit = net(F.pad(lq, (0, 6, 0, 3), mode='reflect'))[..., :39, :30]  # as SwinIRModel, window 8
    assert torch.equal(restore(net, lq, pad_multiple=8), explicit)


def test_min_side_continues_small_images_to_a_multiple_of_pad_multiple():
    net = Recorder(nearest(2))
    lq = picture(1, 3, 5, 40)
    assert torch.equal(restore(net, lq, min_side=25), nearest(2)(lq))
    restore(net, lq, min_side=25, pad_multiple=8)
    assert [tuple(x.shape[-2:]) for x in net.inputs] == [(25, 40), (32, 40)]


# ---- what a network says of itself


class Saying(nn.Module):
    """Gives back its input, of sizes that it notes; says what it is told to."""

    def __init__(self, **says):
        super().__init__()
        self.sizes = []
        for name, value in says.items():
            setattr(self, name, value)

    def forward(self, x):
        self.sizes.append(tuple(x.shape[-2:]))
        return x


@pytest.mark.parametrize(
    ('says', 'arguments', 'sizes'),
    [
        ({}, {}, [(10, 30)]),
        ({'window_size': 8}, {}, [(16, 32)]),
        ({'window_size': (4, 6)}, {}, [(12, 36)]),
        ({'window_size': None}, {}, [(10, 30)]),
        ({'window_size': 8, 'pad_multiple': 1}, {}, [(10, 30)]),
        ({'pad_multiple': 4, 'min_side': 13}, {}, [(16, 32)]),
        ({'pad_multiple': 4, 'min_side': 13}, {'pad_multiple': 7, 'min_side': 1}, [(14, 35)]),
        ({'pad_multiple': 8, 'square': True}, {}, [(32, 32)]),
        ({'pad_multiple': 8, 'square': True}, {'square': False}, [(16, 32)]),
        ({'pad_multiple': 8, 'square': True}, {'tile': Tile(64, 8)}, [(32, 32)]),
        ({'pad_multiple': 8, 'square': True}, {'tile': Tile(24, 8)}, [(24, 24)] * 2),
        ({'tiling': Tile(20, 10)}, {}, [(10, 20)] * 2),
        ({'tiling': Tile(20, 10)}, {'tile': Tile(40, 0)}, [(10, 30)]),
        ({'tiling': FixedTile(20, 10)}, {}, [(20, 20)] * 2),
        ({'tiling': FixedTile(20, 10)}, {'tile': Tile(20, 16)}, [(20, 20)] * 4),
    ],
)
def test_what_the_network_says_holds_unless_arguments_say_otherwise(says, arguments, sizes):
    net, lq = Saying(**says), picture(1, 3, 10, 30)
    torch.testing.assert_close(restore(net, lq, **arguments), lq)
    assert net.sizes == sizes


def test_squares_of_upright_images_and_less_memory():
    net = Saying(pad_multiple=8, square=True)
    small = Small(net, 16 * 16, OUT_OF_MEMORY[0])
    small.pad_multiple, small.square = 8, True
    lq = picture(1, 3, 50, 9)
    torch.testing.assert_close(restore(small, lq, tile=Tile(32, 8)), lq)
    assert small.sizes[0] == (32, 32)
    assert set(net.sizes) == {(16, 16)}


@pytest.mark.parametrize(
    ('says', 'size', 'message'),
    [
        ({'tiling': FixedTile(128, 20)}, 96, 'takes sides of 128 only: use 128'),
        ({'min_side': 25}, 16, 'takes sides of at least 25: use 25'),
        ({'window_size': 8, 'min_side': 25}, 16, 'takes sides of multiples of 8 and at least 25: use 32'),
    ],
)
def test_tiles_that_the_network_does_not_take(says, size, message):
    with pytest.raises(MclirError, match=f'^tile: size is {size}, but this network {message}.$'):
        restore(Saying(**says), picture(1, 3, 300, 300), tile=Tile(size, 8))


SWINIR = {'type': 'SwinIR', 'embed_dim': 8, 'depths': [1], 'num_heads': [2], 'img_size': 16, 'window_size': 8}


@pytest.mark.parametrize(
    ('block', 'good', 'bad'),
    [
        (SWINIR, {'tile': 24, 'patch': 20}, {'tile': ('20', 'multiples of 8: use 24')}),
        (SWINIR, {'tile': 20, 'pad_multiple': 4}, {'tile': ('20', 'multiples of 3: use 21'), 'pad_multiple': 3}),
        (
            {'type': 'IDT', 'embed_dim': 16},
            {'tile': 128, 'patch': 128},
            {'tile': ('64', '128 only: use 128'), 'patch': ('256', '128 only: use 128')},
        ),
        (
            {'type': 'DehazeFormer', 'variant': 't'},
            {'tile': 33, 'patch': 25},
            {'tile': ('16', 'at least 25: use 25'), 'patch': ('24', 'at least 25: use 25')},
        ),
    ],
)
def test_sizes_of_option_files_are_checked_before_training(block, good, bad):
    net = build_network(dict(block))
    assert size_faults(net) == []
    assert size_faults(net, **good) == []
    names = {'tile': 'val.tile.size', 'patch': 'datasets.train.gt_size / scale'}
    asked = {key: int(value[0]) if key in names else value for key, value in bad.items()}
    assert size_faults(net, **asked) == [
        f'{names[key]} is {side}, but this network takes sides of {rest}.'
        for key, (side, rest) in ((key, value) for key, value in bad.items() if key in names)
    ]


def test_networks_of_our_own_need_no_arguments():
    torch.manual_seed(0)
    for block, shape in ((SWINIR, (13, 21)), ({'type': 'DehazeFormer', 'variant': 't'}, (20, 20))):
        lq = picture(1, 3, *shape)
        assert restore(build_network(dict(block)).eval(), lq).shape == lq.shape
    idt = build_network({'type': 'IDT', 'img_size': 64, 'embed_dim': 16}).eval()
    lq = picture(1, 3, 70, 40)
    torch.testing.assert_close(restore(idt, lq), restore(idt, lq, tile=FixedTile(64, 20)), rtol=0, atol=0)


def test_means_that_tiles_change():
    assert not tiles_change_means(Saying(), 16)
    assert tiles_change_means(Saying(sees_whole_image=True), 16)
    assert tiles_change_means(nn.Sequential(nn.AdaptiveAvgPool2d(24)), 16)
    assert [tiles_change_means(Saying(statistics_window=24), size) for size in (16, 24)] == [True, False]


# ---- self-ensemble


def orientations(x):
    """The eight, by rotations and one mirror: another way than the package's."""
    return [torch.rot90(mirrored, turns, (-2, -1)) for mirrored in (x, x.flip(-1)) for turns in range(4)]


def test_self_ensemble_is_the_mean_over_the_eight():
    net = conv_net(2, scale=2)
    lq = picture(2, 3, 6, 9, dtype=torch.float64)
    with torch.no_grad():
        outs = [net(view) for view in orientations(lq)]
    undone = [torch.rot90(out, -turns, (-2, -1)) for out, turns in zip(outs, [0, 1, 2, 3] * 2, strict=True)]
    mean = sum([*undone[:4], *(out.flip(-1) for out in undone[4:])]) / 8
    torch.testing.assert_close(restore(net, lq, self_ensemble=True), mean, rtol=0, atol=1e-14)
    assert (mean - net(lq)).abs().max() > 1e-3  # so the network does tell the eight apart


def test_self_ensemble_shows_the_network_each_of_the_eight_once():
    lq = picture(1, 1, 4, 4)
    net = Recorder(lambda x: x)
    restore(net, lq, self_ensemble=True)
    seen = sorted(view.flatten().tolist() for view in net.inputs)
    assert seen == sorted(view.flatten().tolist() for view in orientations(lq))


def test_self_ensemble_of_an_equivariant_network_changes_nothing():
    net = lambda x: nearest(2)(F.avg_pool2d(x, 3, 1, 1)) ** 2  # noqa: E731
    lq = picture(1, 3, 7, 10)
    torch.testing.assert_close(restore(net, lq, self_ensemble=True), net(lq))


def test_self_ensemble_is_outside_padding():
    """Each of the eight is padded for itself, at its own bottom and right."""
    lq = picture(1, 1, 3, 4)
    net = Recorder(lambda x: x)
    restore(net, lq, pad_multiple=5, self_ensemble=True)
    padded = sorted(view.flatten().tolist() for view in net.inputs)
    expected = [
        F.pad(view, (0, 5 - view.shape[-1], 0, 5 - view.shape[-2]), mode='reflect') for view in orientations(lq)
    ]
    assert padded == sorted(view.flatten().tolist() for view in expected)


# ---- errors


@pytest.mark.parametrize(('size', 'overlap'), [(8, 8), (8, 9), (8, -1), (0, 0), (-4, 0)])
def test_tile_refuses(size, overlap):
    with pytest.raises(ValueError, match=f'overlap is {overlap} and size is {size}'):
        Tile(size, overlap)


def test_tile_that_does_not_fit_pad_multiple():
    with pytest.raises(ValueError, match=r'size is 20, .* multiples of 8: use 24'):
        restore(lambda x: x, torch.zeros(1, 1, 4, 4), pad_multiple=8, tile=Tile(20, 4))


def test_pad_multiple_below_one():
    with pytest.raises(ValueError, match=r'pad_multiple must be at least 1 .* but is 0'):
        restore(lambda x: x, torch.zeros(1, 1, 4, 4), pad_multiple=0)


@pytest.mark.parametrize('shape', [(3, 4, 4), (4, 4), (1, 1, 2, 4, 4), (1, 3, 0, 4)])
def test_not_a_batch_of_images(shape):
    with pytest.raises(ValueError, match=re.escape(f'shape is {shape}')):
        restore(lambda x: x, torch.zeros(shape))


@pytest.mark.parametrize('tile', [None, Tile(6, 2)])
@pytest.mark.parametrize(
    ('net', 'seen'),
    [
        (lambda x: x[..., :-1, :], '5x6 pixels out of 6x6'),
        (lambda x: x[..., :-1], '6x5 pixels out of 6x6'),
        (lambda x: x.repeat_interleave(2, -1), '6x12 pixels out of 6x6'),
        (lambda x: x[..., :0, :0], '0x0 pixels out of 6x6'),
        (lambda x: F.avg_pool2d(x, 2), '3x3 pixels out of 6x6'),
        (lambda x: F.interpolate(x, scale_factor=1.5), '9x9 pixels out of 6x6'),
    ],
)
def test_output_that_is_no_whole_multiple(net, seen, tile):
    with pytest.raises(ValueError, match=seen):
        restore(net, torch.zeros(1, 1, 6, 6), tile=tile)


# ---- use elsewhere


def test_works_without_basicsr():
    code = (
        "import sys; sys.modules['basicsr'] = None\n"
        'import torch; from mclir_basicsr.inference import Tile, restore\n'
        'x = torch.rand(1, 3, 9, 9)\n'
        'torch.testing.assert_close(restore(torch.nn.Identity(), x, pad_multiple=2, tile=Tile(8, 2)), x)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
