"""Recorded forward passes, on a GPU and on what emulates one."""

import pytest
import torch
from emulated_graphs import emulate
from recipe import example_input
from torch import nn

from mclir_basicsr.cuda_graph import GraphedForward


@pytest.fixture(params=['emulated', 'cuda'])
def device(request, monkeypatch):
    if request.param == 'emulated':
        emulate(monkeypatch)
        return 'cpu'
    if not torch.cuda.is_available():
        pytest.skip('needs a GPU')
    return 'cuda'


def network(device, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 3, 1))
    return net.requires_grad_(False).eval().to(device)


def image(device, seed, side=8):
    return example_input([2, 3, side, side], seed).to(device)


def test_a_replay_gives_what_the_module_gives(device):
    net = network(device)
    graphed = GraphedForward(net)
    for seed, side in ((0, 8), (1, 8), (2, 6), (3, 8)):
        x = image(device, seed, side)
        torch.testing.assert_close(graphed(x), net(x))


def test_a_replay_reads_the_weights_as_they_are(device):
    net, other = network(device), network(device, seed=1)
    graphed, x = GraphedForward(net), image(device, 0)
    before = graphed(x).clone()
    net.load_state_dict(other.state_dict())
    after = graphed(x)
    torch.testing.assert_close(after, other(x))
    assert not torch.allclose(after, before)


def test_it_neither_changes_nor_keeps_its_input(device):
    graphed, x = GraphedForward(nn.ReLU(inplace=True)), image(device, 0) - 0.5
    kept = x.clone()
    first = graphed(x).clone()
    assert torch.equal(x, kept)
    graphed(x + 1)
    torch.testing.assert_close(graphed(kept), first)


class Asks(nn.Module):
    """A forward pass that depends on a value, as no CUDA graph can."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        if x.is_cuda:
            return x * x.mean().item()
        if self.calls > 3:
            raise RuntimeError('operation not permitted when stream is capturing')
        return x


def test_what_cannot_be_recorded_is_named(device):
    with pytest.raises(ValueError, match=r'cuda_graphs: Asks cannot be recorded .*capturing.* Set it to false'):
        GraphedForward(Asks())(image(device, 0))
