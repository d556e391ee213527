"""DehazeFormer against the published network's outputs and key lists, slow references and its contract."""

import json
import math

import pytest
import torch
from basicsr.models.base_model import BaseModel
from conftest import DATA
from recipe import compare, example_input, fill_
from torch.nn import functional as F

from mclir_basicsr.archs.dehazeformer_arch import VARIANTS, DehazeFormer, SKFusion
from mclir_basicsr.errors import MclirError
from mclir_basicsr.history import ModelHistory
from mclir_basicsr.inference import restore

PARAMETERS = {'t': 687404, 's': 1284884, 'b': 2517612, 'd': 4983068, 'w': 9686724, 'm': 4635952, 'l': 25451652}
TINY = {
    'embed_dims': (4, 8, 8, 8, 4), 'depths': (2, 2, 2, 1, 1), 'num_heads': (2, 2, 4, 1, 1),
    'attn_ratio': (0.5, 0.5, 1, 0, 0), 'conv_type': ('DWConv', 'Conv', None, 'Conv', 'DWConv'),
}  # fmt: skip


def published(variant):
    return json.loads((DATA / f'dehazeformer_{variant}.json').read_text())


def image(height=32, width=40, seed=3):
    """Images in [-1, 1]."""
    return example_input((2, 3, height, width), seed, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope='module')
def net():
    return fill_(DehazeFormer(**TINY)).eval()


@pytest.mark.parametrize('variant', 'ts')
def test_matches_the_published_network(variant):
    ok, errors = compare(DehazeFormer(**published(variant)['kwargs']), DATA / f'dehazeformer_{variant}.npz')
    assert ok, errors


@pytest.mark.parametrize('by', ['lists', 'name'])
@pytest.mark.parametrize('variant', PARAMETERS)
def test_has_the_published_state(variant, by):
    spec = published(variant)
    with torch.device('meta'):
        net = DehazeFormer(**spec['kwargs']) if by == 'lists' else DehazeFormer(variant=variant)
    assert [[key, list(entry.shape)] for key, entry in net.state_dict().items()] == spec['state_dict']
    assert sum(p.numel() for p in net.parameters()) == spec['params'] == PARAMETERS[variant]
    assert [name for name, _ in net.named_buffers()] == spec['buffers']


def test_variants_are_the_published_lists_and_b_is_the_default():
    for variant, lists in VARIANTS.items():
        spec = published(variant)['kwargs']
        assert {name: list(entries) for name, entries in lists._asdict().items()} == {
            name: spec[name] for name in lists._fields
        }
    with torch.device('meta'):
        assert sum(p.numel() for p in DehazeFormer().parameters()) == PARAMETERS['b']


def test_lists_that_are_given_replace_those_of_the_variant():
    with torch.device('meta'):
        net = DehazeFormer(variant='t', depths=(1, 2, 3, 4, 5))
    assert [len(net.get_submodule(f'layer{i}.blocks')) for i in range(1, 6)] == [1, 2, 3, 4, 5]
    assert net.layer3.blocks[0].mlp.mlp[0].in_channels == 96


def test_shift_goes_by_the_index_in_the_stage():
    with torch.device('meta'):
        blocks = DehazeFormer(variant='m').layer1.blocks
    shifts = [block.attn.attn.shift if block.attn.attn is not None else None for block in blocks]
    assert shifts == [None] * 9 + [4, 0, 4]


def test_loads_a_checkpoint_of_the_published_form(tmp_path, net):
    state = {f'module.{key}': entry for key, entry in net.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'dehazeformer-t.pth')
    loaded = DehazeFormer(**TINY)
    model = BaseModel({'num_gpu': 0, 'is_train': False})
    model.load_network(loaded, str(tmp_path / 'dehazeformer-t.pth'), strict=True, param_key='state_dict')
    assert torch.equal(loaded(image()), net(image()))


def test_soft_reconstruction():
    net = DehazeFormer(**TINY)
    gain, offset = -0.25, torch.tensor([0.5, -1.0, 2.0])
    with torch.no_grad():
        net.patch_unembed.proj[0].weight.zero_()
        net.patch_unembed.proj[0].bias.copy_(torch.tensor([gain, *offset]))
    x = image(30, 33)
    torch.testing.assert_close(net(x), gain * x - offset.view(3, 1, 1) + x)


def test_normalize_changes_the_range_of_input_and_output_alone(net):
    inside = DehazeFormer(**TINY, normalize=True).eval()
    assert list(inside.state_dict()) == list(net.state_dict())
    inside.load_state_dict(net.state_dict())
    x = example_input((1, 3, 32, 32), 4)
    torch.testing.assert_close(inside(x), net(x * 2 - 1) * 0.5 + 0.5)
    assert (inside(x) - net(x)).abs().max() > 0.1


def test_fusion_weighs_two_maps_with_gates_that_add_up_to_one():
    fusion = fill_(SKFusion(8))
    a, b = (example_input((1, 3, 4, 6), seed).repeat(1, 3, 1, 1)[:, :8] for seed in (1, 2))
    torch.testing.assert_close(fusion(a, a), a)
    with torch.no_grad():
        fusion.mlp[2].weight.zero_()
    torch.testing.assert_close(fusion(a, b), (a + b) / 2)


@pytest.mark.parametrize('size', [(25, 25), (26, 39), (32, 31)])
def test_other_sizes_are_reflected_to_multiples_of_four(net, size):
    x = image(*size)
    height, width = size
    padded = F.pad(x, (0, -width % 4, 0, -height % 4), mode='reflect')
    torch.testing.assert_close(net(x), net(padded)[..., :height, :width])


def test_padding_to_windows_would_change_the_result(net):
    x = image(33, 50)  # the network makes it 36x52, windows would 40x56
    out = net(x)
    torch.testing.assert_close(restore(net, x, pad_multiple=net.pad_multiple), out)
    assert (restore(net, x, pad_multiple=8) - out).abs().max() > 1e-3


def test_smaller_images_are_refused(net):
    with pytest.raises(MclirError, match='at least 25 pixels in height and width, but got 24x40'):
        net(image(24, 40))
    with pytest.raises(MclirError, match='got 40x24'):
        net(image(40, 24))


@pytest.mark.parametrize('window', [4, 6, 7, 8])
def test_smallest_side_is_where_reflection_begins_to_work(window):
    net = DehazeFormer(**TINY, window_size=window)
    smallest = net.min_side
    for side in range(smallest, smallest + 4 * window, 4):
        assert net(image(side, side)).shape[-1] == side
    net.min_side = 1
    with pytest.raises(RuntimeError, match=r'[Pp]adding size'):
        net(image(smallest - 1, smallest - 1))


def test_train_and_eval_agree():
    net = fill_(DehazeFormer(**TINY))
    assert torch.equal(net.train()(image()), net.eval()(image()))


def test_gradients_reach_every_parameter():
    net = fill_(DehazeFormer(**TINY))
    (net(image()) * example_input((2, 3, 32, 40), 8)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    largest = {name: p.grad.abs().max().item() for name, p in net.named_parameters()}
    # this bias adds one number to all logits of a head, which its softmax does not feel: zero but for rounding
    unfelt = [name for name in largest if name.endswith('meta.2.bias')]
    assert len(unfelt) == 4
    assert all(largest.pop(name) < 1e-4 for name in unfelt)
    assert [name for name, size in largest.items() if size < 1e-4] == []


def test_gradients_are_the_slopes():
    net, x, weight = fill_(DehazeFormer(**TINY)).double(), image().double(), example_input((2, 3, 32, 40), 8).double()
    loss = (net(x) * weight).sum()
    parameters = list(net.parameters())
    torch.manual_seed(0)
    step = [1e-6 * torch.randn_like(p) for p in parameters]
    slope = sum((d * g).sum() for d, g in zip(step, torch.autograd.grad(loss, parameters), strict=True))
    with torch.no_grad():
        for p, d in zip(parameters, step, strict=True):
            p.add_(d)
        rise = (net(x) * weight).sum() - loss
    assert rise.item() == pytest.approx(slope.item(), rel=1e-3)


def test_bfloat16_is_within_two_percent():
    net = fill_(DehazeFormer(variant='t')).eval()
    x = image()
    with torch.no_grad():
        change = net(x) - x
        with torch.autocast('cpu', torch.bfloat16):
            out = net(x)
        whole = net.bfloat16()(x.bfloat16())
    assert out.dtype == torch.float32  # the soft reconstruction keeps the image's own precision
    assert whole.dtype == torch.bfloat16
    for half in (out, whole):
        assert (half - x - change).square().mean() < 0.02**2 * change.square().mean()


def test_history_leaves_the_positions_as_they_are(net):
    history = ModelHistory(net, [1, 1], decay=[0.3, 0.9], start=0.1, fresh=lambda: DehazeFormer(**TINY))
    for iteration in range(1, 6):
        history.refresh(net, iteration)
    positions = dict(net.named_buffers())
    for negative in history.negatives:
        assert all(torch.equal(buffer, positions[name]) for name, buffer in negative.named_buffers())


def test_starts_as_its_authors_do():
    torch.manual_seed(0)
    net = DehazeFormer(variant='t')
    gain = (8 * 16) ** -0.25
    block = net.layer3.blocks[1]
    expected = {  # convs: gain * sqrt(2 / (fan_in + fan_out)), fans as PyTorch counts them
        block.attn.V: gain * math.sqrt(2 / (96 + 96)),
        block.attn.proj: gain * math.sqrt(2 / (96 + 96)),
        block.attn.QK: math.sqrt(2 / (96 + 192)),
        block.attn.conv: gain * math.sqrt(2 / (25 + 96 * 25)),
        block.mlp.mlp[0]: gain * math.sqrt(2 / (96 + 384)),
        block.mlp.mlp[2]: gain * math.sqrt(2 / (384 + 96)),
    }
    for conv, deviation in expected.items():
        assert conv.weight.std().item() == pytest.approx(deviation, rel=0.05)
        assert not conv.bias.any()
    assert (block.norm1.meta1.bias == 1).all()  # the norm keeps its own start
    meta = block.attn.attn.meta[2]  # and PyTorch's start elsewhere
    assert meta.weight.abs().max().item() == pytest.approx(1 / math.sqrt(256), rel=0.05)
    assert meta.bias.any()
    assert net.skip2.bias.any()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'variant': 'x'}, "variant must be one of t, s, b, d, w, m, l, but is 'x'"),
        ({'out_chans': 3}, 'out_chans must be in_chans \\+ 1'),
        ({'window_size': 0}, 'window_size must be at least 1, but is 0'),
        ({'depths': (1, 2, 3)}, 'depths must have 5 entries, one per stage, but is \\(1, 2, 3\\)'),
        ({'depths': (1, 2, 0, 2, 1)}, 'depths must be at least 1, but one is 0'),
        ({'embed_dims': (24, 48, 96, 48, 32)}, 'embed_dims must be the same in the first and last stage'),
        ({'embed_dims': (24, 24, 96, 48, 24)}, 'embed_dims must be the same'),
        ({'num_heads': (5, 4, 6, 1, 1)}, '24 is no multiple of 5'),
        ({'attn_ratio': (0, 0.5, 1.5, 0, 0)}, 'attn_ratio must be in \\[0, 1\\], but one is 1.5'),
        ({'conv_type': ('conv',) * 5}, "conv_type must be DWConv, Conv, or null .* but one is 'conv'"),
        ({'conv_type': (None,) * 5}, 'null .* where attn_ratio is 1, but one is None with an attn_ratio of 0.25'),
    ],
)
def test_refuses_what_makes_no_network(arguments, message):
    with torch.device('meta'), pytest.raises(MclirError, match=message):
        DehazeFormer(**arguments)
