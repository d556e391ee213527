"""Images and networks whose answers are known, and what Hypothesis draws."""

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import nn

SETTINGS = settings(max_examples=40)
sides = st.integers(1, 40)


def picture(*shape, dtype=torch.float32, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def nearest(scale):
    return lambda x: x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)


def conv_net(radius, scale=1, channels=3, dtype=torch.float64):
    """`radius` zero-padded 3x3 convolutions with GELU between, then a pixel shuffle; float64: little rounding."""
    torch.manual_seed(radius * 10 + scale)
    layers = []
    for i in range(radius):
        out = channels * scale**2 if i == radius - 1 else 8
        layers += [nn.Conv2d(channels if i == 0 else 8, out, 3, padding=1), nn.GELU()]
    return nn.Sequential(*layers[:-1], nn.PixelShuffle(scale)).to(dtype)


class Recorder:
    """A network that notes what it was given."""

    def __init__(self, net):
        self.net = net
        self.inputs = []

    def __call__(self, x):
        self.inputs.append(x.clone())
        return self.net(x)


class Small:
    """A network on a device whose memory holds inputs of up to `limit` pixels."""

    def __init__(self, net, limit, error):
        self.net, self.limit, self.error, self.sizes = net, limit, error, []

    def __call__(self, x):
        self.sizes.append(tuple(x.shape[-2:]))
        if x.shape[-2] * x.shape[-1] > self.limit:
            raise self.error
        return self.net(x)


OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
]
