"""IDT against the published network's outputs, its written contract and slow formulas."""

import json
import math

import pytest
import torch
from conftest import DATA
from recipe import compare, example_input, fill_
from torch import nn

from mclir_basicsr.archs.idt_arch import IDT
from mclir_basicsr.archs.idt_blocks import Attention
from mclir_basicsr.errors import MclirError
from mclir_basicsr.inference.fixed_tiles import merge, split

SMALL_HEADS = (1, 2, 4, 8, 8, 8, 4, 2, 1)


def contract(name):
    return json.loads((DATA / f'{name}.json').read_text())


def small(img_size=64, **arguments):
    return fill_(IDT(img_size, embed_dim=4, num_heads=SMALL_HEADS, **arguments))


@pytest.mark.parametrize('name', ['idt_default', 'idt_small64'])
def test_is_the_published_network(name):
    expected = contract(name)
    net = IDT(**expected['kwargs'])
    assert [[key, list(t.shape)] for key, t in net.state_dict().items()] == expected['state_dict']
    assert sum(p.numel() for p in net.parameters()) == expected['params']
    assert not set(net.state_dict()) - dict(net.named_parameters()).keys()  # no buffers among them
    matches, errors = compare(net, DATA / f'{name}.npz')
    assert matches, errors


def test_the_published_arguments_are_the_defaults():
    with torch.device('meta'):
        net = IDT()
    assert [[key, list(t.shape)] for key, t in net.state_dict().items()] == contract('idt_default')['state_dict']


@pytest.mark.parametrize('img_size', [64, 128, 256, 384])
def test_takes_these_image_sizes(img_size):
    with torch.device('meta'):
        net = IDT(img_size, embed_dim=2, num_heads=[1] * 9)
        shape = (1, 3, img_size, img_size)
        assert net(torch.empty(shape)).shape == shape


@pytest.mark.parametrize('img_size', [0, -128, 8, 32, 63, 96, 160, 192, 200])
def test_refuses_these_image_sizes(img_size):
    with pytest.raises(MclirError, match=rf'img_size {img_size} .*64 or a multiple of 128'):
        IDT(img_size)


@pytest.mark.parametrize('shape', [(1, 3, 64, 256), (1, 3, 128, 64), (3, 128, 128), (1, 1, 128, 128)])
def test_refuses_images_of_other_shapes_before_anything_runs(shape):
    with torch.device('meta'):
        net = IDT()
        net.input_proj.register_forward_pre_hook(lambda *_: pytest.fail('it ran'))
        with pytest.raises(MclirError, match=r'\(N, 3, 128, 128\).*tile'):
            net(torch.empty(shape))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'num_heads': [1, 2, 3, 8, 16, 16, 8, 4, 2]}, r'num_heads\[2\] must divide 128 and 64.*is 3'),
        ({'num_heads': [1, 2, 4, 8, 24, 16, 8, 4, 2]}, r'num_heads\[4\] must divide 512,.*is 24'),
        ({'num_heads': [1, 2]}, 'num_heads must be nine'),
        ({'num_heads': [1, 2, 4, 8, 0, 16, 8, 4, 2]}, 'num_heads must be nine'),
        ({'depths': [3, 3, 2, 2]}, 'depths must be nine'),
        ({'depths': [1, 1, 1, 1, 1, 1, 1, 1, 2]}, 'depths'),
        ({'drop_path_rate': 1.0}, r'drop_path_rate must be in \[0, 1\)'),
        ({'win_size': 0}, 'win_size 0'),
    ],
)
def test_refuses_other_arguments(arguments, message):
    with torch.device('meta'), pytest.raises(MclirError, match=message):
        IDT(**arguments)


def test_heads_of_the_bottleneck_need_not_divide_the_pixels_of_a_window():
    with torch.device('meta'):
        IDT(embed_dim=24, num_heads=[1, 2, 4, 8, 3, 16, 8, 4, 2])


@pytest.mark.parametrize(
    ('depths', 'ninetieths'),
    [
        ((3, 3, 2, 2, 1, 1, 2, 2, 3), [(0, 2), (3, 5), (6, 7), (8, 9), (9,), (9, 9), (8, 7), (6, 5), (4, 2)]),
        ((1, 4, 2, 3, 7, 2, 1, 3, 1), [(0, 0), (1, 4), (5, 6), (7, 9), (9,), (9, 8), (7, 7), (6, 4), (3, 3)]),
    ],
)
def test_depths_deal_the_drop_path_rates_and_nothing_else(depths, ninetieths):
    with torch.device('meta'):
        net = IDT(depths=depths)
    names = [f'encoderlayer_{i}' for i in range(4)] + ['bottle'] + [f'decoderlayer_{i}' for i in range(4)]
    for name, expected in zip(names, ninetieths, strict=True):
        rates = [block.drop_path.p for block in getattr(net, name).blocks]
        spatial = [] if name == 'bottle' else [rates.pop()]
        assert rates + spatial == pytest.approx([expected[0] / 90] * len(rates) + [r / 90 for r in expected[1:]])
    assert sum(p.numel() for p in net.parameters()) == contract('idt_default')['params']


def test_drops_whole_samples_in_training_alone():
    net, x = small(drop_path_rate=0.5), example_input((2, 3, 64, 64), 1)
    net.eval()
    with torch.no_grad():
        expected = net(x)
        assert torch.equal(net(x), expected)
        torch.manual_seed(0)
        assert not torch.allclose(net.train()(x), expected)
        torch.testing.assert_close(small(drop_path_rate=0.0).train()(x), expected)


def test_samples_do_not_mix():
    net, x = small().eval(), example_input((3, 3, 64, 64), 2)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_parameter():
    net, x = small(128, drop_path_rate=0.0).train(), example_input((1, 3, 128, 128), 3)
    (net(x) - x).square().mean().backward()
    dead = [name for name, p in net.named_parameters() if not (p.grad.isfinite().all() and p.grad.any())]
    assert dead == []


def test_gradients_at_64_leave_out_what_compares_a_single_token_with_itself():
    net, x = small(drop_path_rate=0.0).train(), example_input((1, 3, 64, 64), 3)
    (net(x) - x).square().mean().backward()
    dead = {name for name, p in net.named_parameters() if not p.grad.any()}
    single = ('encoderlayer_3.blocks.2.attn.', 'decoderlayer_0.blocks.1.attn.')
    assert dead == {
        parent + leaf
        for parent in single
        for leaf in ('relative_position_bias_table', 'qkv.to_q.weight', 'qkv.to_q.bias')
    }


def test_bfloat16_is_near_float32():
    """The bound is on the root mean square error by the output's; measured: 0.007, and 0.0044 for the published net."""
    net, x = small().eval(), example_input((1, 3, 64, 64), 5)
    with torch.no_grad():
        expected = net(x)
        with torch.autocast('cpu', torch.bfloat16):
            got = net(x)
    assert (got - expected).square().mean().sqrt() < 0.02 * expected.square().mean().sqrt()


def test_initialisation():
    torch.manual_seed(0)
    for name, module in IDT(embed_dim=16).named_modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
            assert not module.bias.any(), name
        elif isinstance(module, nn.LayerNorm):
            assert module.weight.eq(1).all() and not module.bias.any() and module.eps == 1e-5, name
        elif isinstance(module, Attention) and module.relative_position_bias_table.numel() > 400:
            assert module.relative_position_bias_table.std().item() == pytest.approx(0.02, rel=0.15), name


@pytest.mark.parametrize(
    ('dim', 'side', 'heads', 'reach', 'bias', 'scale'),
    [(6, 5, 3, 3, True, None), (8, 3, 2, 4, False, 0.7), (4, 1, 1, 2, True, None)],
)
def test_attention_is_the_formula(dim, side, heads, reach, bias, scale):
    """Token by token, with distances beyond the reach (the golden files have none)."""
    net = fill_(Attention(dim, side, heads, reach, bias, scale)).double()
    x = torch.rand(2, side**2, dim, dtype=torch.float64)
    width = dim // heads
    q, (k, v, r) = net.qkv['to_q'](x), net.qkv['to_kv'](x).chunk(3, dim=-1)
    out = net.Position_Extract(r.mT.reshape(2, dim, side, side)).reshape(2, dim, side**2).mT.clone()
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for i in range(side**2):
            logits = q[:, i : i + 1, part] @ k[:, :, part].mT * (scale or 1 / math.sqrt(width))
            for j in range(side**2):
                down, right = (max(-reach + 1, min(reach - 1, d)) for d in (i // side - j // side, i % side - j % side))
                row = (down + reach - 1) * (2 * reach - 1) + right + reach - 1
                logits[..., j] = logits[..., j] + net.relative_position_bias_table[row, head]
            out[:, i, part] += (logits.softmax(-1) @ v[:, :, part])[:, 0]
    torch.testing.assert_close(net(x), net.proj(out))
    assert (net.qkv['to_q'].bias is not None) == bias


def test_historymodel_validates_whole_images_in_its_tiles(options):
    """As the published results were made: 128 pixels there, the network's own size here."""
    from basicsr.models import build_model

    network = {'type': 'IDT', 'img_size': 64, 'embed_dim': 8, 'num_heads': [1, 1, 1, 1, 1, 1, 1, 1, 1]}
    model = build_model(options(network_g=network, scale=1, train={'ema_decay': 0}))
    image = torch.rand(1, 3, 50, 100)
    model.feed_data({'lq': image})
    model.test()
    assert model.output.shape == image.shape
    padded = torch.cat([image, image.flip(2)[:, :, 1:15]], dim=2)
    net = model.net_g.eval()
    with torch.no_grad():
        tiles = [net(tile.contiguous()) for tile in split(padded, 64, 20)]
    torch.testing.assert_close(model.output, merge(tiles, 64, 100, 20)[:, :, :50])
    model = build_model(options(network_g=network, scale=1, val={'tile': {'size': 32, 'overlap': 8}}))
    model.feed_data({'lq': image})
    with pytest.raises(ValueError, match=r'tile: size is 32, but this network takes sides of 64 only'):
        model.test()
