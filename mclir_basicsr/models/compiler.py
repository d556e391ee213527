"""torch.compile, asked whether it works here."""

import torch

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
