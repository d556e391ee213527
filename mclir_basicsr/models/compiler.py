"""torch.compile, asked whether it works here, and what it cannot trace."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError


def check_compiler(device: torch.device) -> None:
    """Compile and run one addition, so that a missing compiler is named before training starts.

    Raises:
        MclirError: torch.compile does not work on this machine.
    """
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1, device=device))
    except Exception as error:  # whatever the backend, the compiler or Triton raise
        raise MclirError(
            f'train.compile: torch.compile does not work here ({error}). It needs a C++ compiler (g++) on a CPU and '
            'Triton on a GPU; install it or set train.compile: false.'
        ) from error


def make_traceable(net: nn.Module) -> None:
    """Replace what torch.compile cannot trace in net by its equal up to rounding: the layer norm of spandrel's NAFNet.

    Its backward pass reads ``ctx.saved_variables``, an old name that the tracer does not know, so that nothing of the
    network would be compiled for training.
    """
    for kind in {type(module) for module in net.modules()}:
        if kind.__module__.startswith('spandrel.architectures.NAFNet.') and kind.__name__ == 'LayerNorm2d':
            kind.forward = _layer_norm


def _layer_norm(self: nn.Module, x: Tensor) -> Tensor:
    last = F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, self.eps)  # type: ignore[arg-type]
    return last.movedim(-1, 1)
