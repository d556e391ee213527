"""The device of a run: a GPU of any make that torch knows, or the CPU."""

from collections.abc import Mapping
from typing import Any

import torch

from mclir_basicsr.errors import MclirError


def gpu() -> torch.device | None:
    """CUDA (NVIDIA's, and AMD's under that name), else Apple's MPS, Intel's XPU or what torch sees; None without."""
    if torch.cuda.is_available():
        return torch.device('cuda')
    if hasattr(torch, 'accelerator'):  # torch 2.6 and later
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    others = {'mps': torch.backends.mps, 'xpu': torch.xpu}
    return next((torch.device(name) for name, kind in others.items() if kind.is_available()), None)


def is_other() -> bool:
    """Whether the GPU is one that BasicSR does not know, which has CUDA alone."""
    found = gpu()
    return found is not None and found.type != 'cuda'


def of_run(opt: Mapping[str, Any]) -> torch.device:
    """Where a run trains.

    Args:
        opt: Its options: ``num_gpu`` as a number, and ``dist``.

    Raises:
        MclirError: It asks for a GPU where there is none, or for several of a kind that a run can use one of.
    """
    found, asked = gpu(), opt['num_gpu']
    if not asked:
        return torch.device('cpu')
    if found is None:
        raise MclirError(f'num_gpu is {asked}, but torch sees no GPU: set num_gpu to auto or 0.')
    if found.type == 'cuda':
        return found
    if asked > 1:
        raise MclirError(f'num_gpu is {asked}, but a run can use one {found.type} device: set num_gpu to auto or 1.')
    return (
        torch.device('cpu') if opt.get('dist') else found
    )  # gloo, which serves without CUDA, takes tensors of the CPU


def wait() -> None:
    """Wait until the GPU, where there is one, has done what it was asked for; times are taken behind this."""
    found = gpu()
    if found is not None:
        getattr(torch, found.type).synchronize()
