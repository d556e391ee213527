"""Copies of networks that hold more than parameters."""

import random
import threading
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from mclir_basicsr import ModelHistory
from mclir_basicsr.copies import copied, fitted
from mclir_basicsr.errors import MclirError


class Holding(nn.Linear):
    """Keeps what it computed, alone and in containers, as networks with skip connections or attention maps do."""

    def forward(self, x):
        self.last, self.others = super().forward(x), {'all': [super().forward(x)]}
        return self.last


def test_tensors_that_deepcopy_refuses():
    net = Holding(2, 2)
    net(torch.ones(1, 2))
    with pytest.raises(RuntimeError, match='graph leaves'):
        deepcopy(net)
    copy = copied(net)
    assert torch.equal(copy.others['all'][0], net.last)
    assert copy.last is not net.last
    assert torch.equal(copy(torch.zeros(1, 2)), net.bias[None])


def test_what_cannot_be_copied_is_named():
    net = nn.Linear(1, 1)
    net.lock = threading.Lock()
    with pytest.raises(MclirError, match='Linear cannot be copied, which negative models need'):
        ModelHistory(net, [1], start=0)


def test_weights_that_numpy_or_python_draws_at_the_start():
    """The same for a seed, whatever was drawn before; and the generators go on as if nothing had been drawn."""

    def make():
        net = nn.Linear(3, 1)
        net.weight.data[0] = torch.tensor([np.random.rand(), random.random(), torch.rand(()).item()])
        return net

    net, starts = make(), []
    for drawn in (0, 1):
        np.random.seed(drawn)
        random.seed(drawn)
        torch.manual_seed(drawn)
        states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        history = ModelHistory(net, [1, 1], start=1, fresh=make, seed=5)
        assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
        starts.append([negative.weight.flatten().tolist() for negative in history.negatives])
    assert starts[0] == starts[1]
    assert all(a != b for a, b in zip(*starts[0], strict=True))


def test_no_negative_starts_as_the_network_that_the_seed_of_the_run_makes():
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    history = ModelHistory(net, [1], start=1, fresh=lambda: nn.Linear(3, 1), seed=0)
    assert not torch.equal(history.negatives[0].weight, net.weight)


def test_a_state_with_buffers_that_forward_made():
    net, run = nn.Sequential(nn.Linear(1, 1)), nn.Sequential(nn.Linear(1, 1))
    net.register_buffer('size', torch.zeros(2))
    run.register_buffer('size', torch.ones(3))
    run[0].register_buffer('seen', torch.ones(2))
    net.load_state_dict(fitted(net, run.state_dict(), 'the state'))
    assert net.size.tolist() == [0, 0]
    assert net[0].seen.tolist() == [1, 1]
    with pytest.raises(RuntimeError, match='other'):
        net.load_state_dict(fitted(net, {'other.seen': torch.ones(1)}, 'the state'))
