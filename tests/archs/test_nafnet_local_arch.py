"""NAFNetLocal against the published network's outputs, and local statistics against their formula and on other nets."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe import compare, example_input, fill_
from spandrel.architectures.NAFNet import NAFNet
from torch import nn

from mclir_basicsr.archs.dehazeformer_arch import DehazeFormer
from mclir_basicsr.archs.ffanet_arch import FFANet
from mclir_basicsr.archs.local_statistics import LocalAvgPool2d, use_local_statistics
from mclir_basicsr.archs.nafnet_local_arch import NAFNetLocal
from mclir_basicsr.errors import MclirError

GOPRO = {'width': 32, 'middle_blk_num': 1, 'enc_blk_nums': [1, 1, 1, 28], 'dec_blk_nums': [1, 1, 1, 1]}


def contract(name):
    return json.loads((DATA / f'{name}.json').read_text())


@pytest.mark.parametrize(('make', 'name'), [(NAFNet, 'nafnet_small'), (NAFNetLocal, 'nafnetlocal_small')])
def test_is_the_published_network(make, name):
    expected = contract(name)
    net = make(**expected['kwargs'])
    assert [[key, list(t.shape)] for key, t in net.state_dict().items()] == expected['state_dict']
    assert sum(p.numel() for p in net.parameters()) == expected['params']
    matches, errors = compare(net, DATA / f'{name}.npz')
    assert matches, errors


def test_gopro_configuration():
    net = NAFNetLocal(**GOPRO)
    assert sum(p.numel() for p in net.parameters()) == 17_111_907
    levels = [*net.encoders, net.middle_blks, *net.decoders]
    assert net.statistics_window == 384
    windows = [{m.window for m in level.modules() if isinstance(m, LocalAvgPool2d)} for level in levels]
    assert windows == [{(k, k)} for k in (384, 192, 96, 48, 24, 48, 96, 192, 384)]
    assert not any(isinstance(m, nn.AdaptiveAvgPool2d) for m in net.modules())


def small(train_size=(1, 3, 32, 32)):
    return fill_(NAFNetLocal(**contract('nafnetlocal_small')['kwargs'] | {'train_size': train_size}))


def test_training_patches_go_through_nafnet():
    plain = fill_(NAFNet(**contract('nafnet_small')['kwargs']))
    patch, image = example_input((2, 3, 32, 32), 1), example_input((1, 3, 32, 120), 2)
    with torch.no_grad():
        assert torch.equal(small()(patch), plain(patch))
        assert not torch.allclose(small()(image), plain(image))


def test_training_and_evaluation_agree():
    net, x = small(), example_input((1, 3, 40, 80), 3)
    with torch.no_grad():
        assert torch.equal(net.train()(x), net.eval()(x))


def test_gradients_reach_every_parameter():
    net, x = small().train(), example_input((1, 3, 40, 80), 3)
    (net(x) - x).square().mean().backward()
    assert [name for name, p in net.named_parameters() if not (p.grad.isfinite().all() and p.grad.any())] == []


def test_bfloat16_is_near_float32():
    """The bound is on the root mean square error by the output's; measured: 0.0012."""
    net, x = small().eval(), example_input((1, 3, 100, 84), 4)
    with torch.no_grad():
        expected = net(x)
        with torch.autocast('cpu', torch.bfloat16):
            got = net(x)
    assert (got - expected).square().mean().sqrt() < 0.005 * expected.square().mean().sqrt()


def test_spandrel_is_imported_only_to_build_it():
    code = 'import sys, mclir_basicsr.archs.nafnet_local_arch; sys.exit("spandrel" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def test_says_when_spandrel_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'spandrel.architectures.NAFNet', None)
    with pytest.raises(MclirError, match=r'needs spandrel.*pip install spandrel'):
        NAFNetLocal(**GOPRO)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'enc_blk_nums': [1], 'dec_blk_nums': [1, 1]}, r'as many levels.*\[1\] and \[1, 1\]'),
        ({'img_channel': 1}, 'img_channel, which is 1'),
        ({'train_size': (3, 256, 256)}, 'train_size must be four'),
        ({'train_size': (1, 3, 0, 256)}, 'train_size must be four'),
    ],
)
def test_refuses_other_arguments(arguments, message):
    with pytest.raises(MclirError, match=message):
        NAFNetLocal(**arguments)


@given(
    height=st.integers(1, 12), width=st.integers(1, 12), rows=st.integers(1, 14), columns=st.integers(1, 14),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=80)
def test_pooling_is_the_mean_of_the_window_moved_inside(height, width, rows, columns, seed):
    x = np.random.default_rng(seed).standard_normal((2, 3, height, width))
    got = LocalAvgPool2d((rows, columns))(torch.from_numpy(x)).numpy()
    k1, k2 = min(rows, height), min(columns, width)
    expected = np.empty_like(x)
    for i in range(height):
        for j in range(width):
            top = np.clip(i - (k1 - 1) // 2, 0, height - k1)
            left = np.clip(j - (k2 - 1) // 2, 0, width - k2)
            expected[:, :, i, j] = x[:, :, top : top + k1, left : left + k2].mean((2, 3))
    assert got.shape[-2:] == ((1, 1) if (k1, k2) == (height, width) else (height, width))
    np.testing.assert_allclose(np.broadcast_to(got, x.shape), expected, rtol=1e-9, atol=1e-12)


def test_pooling_has_the_right_gradient():
    x = torch.rand(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LocalAvgPool2d((3, 4)), (x,))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_large_maps_do_not_overflow_in_half_precision(dtype):
    x = torch.full((1, 1, 300, 400), 100.0, dtype=dtype)  # a sum of 1.2e7, where float16 ends at 65504
    got = LocalAvgPool2d((150, 200))(x)
    assert got.dtype == dtype
    assert torch.equal(got, x)


def test_pooling_refuses_an_empty_window():
    with pytest.raises(ValueError, match='at least 1'):
        LocalAvgPool2d((0, 4))


class Gated(nn.Module):
    """A channel attention of another make, after a stride and with batch norm and dropout."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5))
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.gate = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid())
        self.unused = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        t = self.body(x)
        return t * self.gate(self.pool(t))


def test_local_statistics_serve_any_network_and_leave_all_else_alone():
    net = Gated().train()
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    use_local_statistics(net, (1, 3, 20, 30))
    assert net.pool.window == (15, 22)  # 30 * 10 // 20, 45 * 15 // 30
    assert isinstance(net.unused, nn.AdaptiveAvgPool2d)
    assert net.training
    assert torch.equal(torch.get_rng_state(), random)
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert net(torch.rand(2, 3, 60, 70)).shape == (2, 4, 30, 35)


@pytest.mark.parametrize(
    'make', [lambda: FFANet(blocks=1), lambda: DehazeFormer(variant='t', depths=(1, 1, 1, 1, 1))], ids=['ffanet', 'dhf']
)
def test_our_own_networks_take_local_statistics(make):
    plain, local = fill_(make()).eval(), fill_(make()).eval()
    use_local_statistics(local, (1, 3, 32, 32))
    assert not any(isinstance(m, nn.AdaptiveAvgPool2d) for m in local.modules())
    assert local.statistics_window == 48
    patch, image = example_input((1, 3, 32, 32), 1), example_input((1, 3, 40, 120), 2)
    with torch.no_grad():
        torch.testing.assert_close(local(patch), plain(patch))
        assert not torch.allclose(local(image), plain(image))


class Squeezed(Gated):
    """A channel attention that turns its means into vectors."""

    def forward(self, x):
        t = self.body(x)
        return t * self.gate(self.pool(t).view(len(t), 4)[..., None, None])


def test_refuses_a_network_whose_means_do_not_broadcast():
    net = Squeezed()
    with pytest.raises(MclirError, match=r'^Squeezed cannot use local statistics: .* does not broadcast'):
        use_local_statistics(net, (1, 3, 20, 30))
    assert isinstance(net.pool, nn.AdaptiveAvgPool2d)


def test_refuses_images_that_the_network_does_not_take():
    with pytest.raises(MclirError, match=r'^Gated takes no images of train_size \[1, 4, 20, 30\]: '):
        use_local_statistics(Gated(), (1, 4, 20, 30))


def test_reach_one_is_the_training_size_itself():
    net = Gated()
    use_local_statistics(net, (1, 3, 20, 30), reach=1.0)
    assert net.pool.window == (10, 15)


def test_refuses_a_network_without_global_pooling():
    with pytest.raises(MclirError, match='Conv2d has no global average pooling'):
        use_local_statistics(nn.Conv2d(3, 3, 1), (1, 3, 8, 8))
