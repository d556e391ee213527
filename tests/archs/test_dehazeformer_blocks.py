"""The blocks of DehazeFormer against the published norm's outputs and slow references in float64."""

import json

import numpy as np
import pytest
import torch
from conftest import DATA
from hypothesis import given
from hypothesis import strategies as st
from recipe import compare, example_input, fill_
from torch.nn import functional as F

from mclir_basicsr.archs import dehazeformer_blocks
from mclir_basicsr.archs.dehazeformer_blocks import RLN, Block, Mixer, WindowAttention, window_padding

DIM, HEADS, WINDOW = 6, 2, 4


def image(height=7, width=9):
    return example_input((2, 3, height, width), 5).repeat(1, 2, 1, 1).double().roll(1, 1)


def attention(shift=0):
    return fill_(WindowAttention(DIM, HEADS, WINDOW, shift)).double()


def slow_bias(attn):
    """Bias of each head for each pair of tokens, pair by pair."""
    first, second = ((m.weight.detach().numpy(), m.bias.detach().numpy()) for m in (attn.meta[0], attn.meta[2]))
    tokens = [(y, x) for y in range(WINDOW) for x in range(WINDOW)]
    bias = np.zeros((HEADS, len(tokens), len(tokens)))
    for i, query in enumerate(tokens):
        for j, key in enumerate(tokens):
            offset = np.array(query) - np.array(key)
            distance = np.sign(offset) * np.log(1 + np.abs(offset))
            hidden = np.maximum(first[0] @ distance + first[1], 0)
            bias[:, i, j] = second[0] @ hidden + second[1]
    return bias


def slow_attention(attn, qkv, shift):
    """Attention window by window and head by head on (3 C, H, W)."""
    height, width = qkv.shape[1:]
    after = [next(p for p in range(WINDOW) if (side + shift + p) % WINDOW == 0) for side in (height, width)]
    padded = np.pad(qkv, ((0, 0), (shift, after[0]), (shift, after[1])), mode='reflect')
    out, d, bias = np.zeros((DIM, *padded.shape[1:])), DIM // HEADS, slow_bias(attn)
    for top in range(0, padded.shape[1], WINDOW):
        for left in range(0, padded.shape[2], WINDOW):
            place = slice(top, top + WINDOW), slice(left, left + WINDOW)
            for head in range(HEADS):
                first = head * d
                q, k, v = (padded[(slice(c + first, c + first + d), *place)].reshape(d, -1) for c in (0, DIM, 2 * DIM))
                share = np.exp(q.T @ k / np.sqrt(d) + bias[head])
                share /= share.sum(1, keepdims=True)
                out[(slice(first, first + d), *place)] = (v @ share.T).reshape(d, WINDOW, WINDOW)
    return out[:, shift : shift + height, shift : shift + width]


def test_norm_matches_the_published_one():
    outputs = []
    for case in json.loads(str(np.load(DATA / 'dehazeformer_rln.npz')['cases'])):
        norm = fill_(RLN(3), case['salt'])
        out, factor, offset = norm(example_input(case['shape'], case['seed'], case['mean'], case['std']))
        outputs.append(out * factor + offset)
    ok, errors = compare(outputs, DATA / 'dehazeformer_rln.npz')
    assert ok, errors


def test_norm_takes_statistics_over_the_whole_image():
    out, factor, offset = RLN(DIM).double()(image())
    flat = out.flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(2).double())
    torch.testing.assert_close(flat.var(1, correction=0), torch.ones(2).double(), rtol=1e-3, atol=0)
    assert factor.shape == offset.shape == (2, DIM, 1, 1)


def test_norm_starts_near_the_identity_of_its_branch():
    torch.manual_seed(0)
    norm = RLN(2000)
    assert (norm.weight == 1).all() and (norm.meta1.bias == 1).all()
    assert not norm.bias.any() and not norm.meta2.bias.any()
    assert norm.meta1.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert norm.meta2.weight.std().item() == pytest.approx(0.02, rel=0.1)


@given(length=st.integers(1, 100), window=st.integers(1, 16), shifted=st.booleans())
def test_padding_is_the_least_that_fills_windows(length, window, shifted):
    shift = window // 2 if shifted else 0
    before, after = window_padding(length, window, shift)
    assert before == shift
    assert 0 <= after < window
    assert (before + length + after) % window == 0


@pytest.mark.parametrize('shift', [0, 2])
def test_attention_is_the_formula(shift):
    attn = attention(shift)
    qkv = torch.cat([image(), image().flip(1) * 3, image().roll(2, 1)], 1)
    expected = np.stack([slow_attention(attn, one.numpy(), shift) for one in qkv])
    np.testing.assert_allclose(attn(qkv).detach().numpy(), expected, rtol=1e-6)


def test_attention_of_many_windows_goes_in_parts(monkeypatch):
    attn, qkv = attention(), torch.cat([image()] * 3, 1)
    whole = attn(qkv)
    monkeypatch.setattr(dehazeformer_blocks, 'MAX_WINDOWS', 5)  # of 12
    torch.testing.assert_close(attn(qkv), whole)


def conv(layer, x):
    """A conv layer by hand, reflecting at the border."""
    pad = layer.weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (pad,) * 4, mode='reflect'), layer.weight, layer.bias, groups=layer.groups)


def convs(mixer, conv_type, x):
    return conv(mixer.conv, x) if conv_type == 'DWConv' else conv(mixer.conv[2], conv(mixer.conv[0], x).relu())


@pytest.mark.parametrize('conv_type', ['DWConv', 'Conv', None])
def test_mixer_with_attention(conv_type):
    mixer, x = fill_(Mixer(DIM, attention(), conv_type)).double(), image()
    values = conv(mixer.V, x)
    mixed = mixer.attn(torch.cat([conv(mixer.QK, x), values], 1))
    if conv_type:
        mixed = mixed + convs(mixer, conv_type, values)
    torch.testing.assert_close(mixer(x), conv(mixer.proj, mixed))


def test_mixer_without_attention():
    x = image()
    depthwise, plain = (fill_(Mixer(DIM, None, conv_type)).double() for conv_type in ('DWConv', 'Conv'))
    expected = conv(depthwise.proj, convs(depthwise, 'DWConv', conv(depthwise.V, x)))
    torch.testing.assert_close(depthwise(x), expected)
    torch.testing.assert_close(plain(x), convs(plain, 'Conv', x))


def test_block():
    x = image()
    block = fill_(Block(Mixer(DIM, None, 'Conv'), DIM, mlp_ratio=1.5)).double()
    assert block.norm1 is None
    assert block.mlp.mlp[0].out_channels == 9
    mixed = x + block.attn(x)
    torch.testing.assert_close(block(x), mixed + block.mlp(mixed))

    block = fill_(Block(Mixer(DIM, attention(), 'Conv'), DIM, mlp_ratio=2)).double()
    normed, factor, offset = block.norm1(x)
    mixed = x + block.attn(normed) * factor + offset
    torch.testing.assert_close(block(x), mixed + block.mlp(mixed))
