"""Frozen networks whose kernels are launched together: CUDA graphs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError

WARM_UP = 3


class GraphedForward:
    """The forward pass of a frozen module on a GPU, recorded once per shape of input and replayed from then on.

    A replay is one launch in place of one per kernel, which pays where kernels are short. It reads the weights where
    they lay when it was recorded: they may change in place, but not move. What it returns holds until the next replay
    of a pass that shares its memory.

    Source: PyTorch's notes on CUDA semantics, "CUDA Graphs" (torch.cuda.CUDAGraph).

    Args:
        module: Without gradients, in eval mode; it must ask the host nothing that depends on values of the input.
        pool: Memory that passes share which never run at the same time, ``torch.cuda.graph_pool_handle()``; None for
            memory of its own.
    """

    def __init__(self, module: nn.Module, pool: Any = None) -> None:
        self._module = module
        self._pool = pool
        self._recorded: dict[tuple[torch.Size, torch.dtype], tuple[Callable[[], None], Tensor, Any]] = {}

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Any:
        """What the module makes of x.

        Raises:
            MclirError: The module cannot be recorded.
        """
        key = (x.shape, x.dtype)
        if key not in self._recorded:
            self._recorded[key] = self._record(x)
        replay, taken, given = self._recorded[key]
        taken.copy_(x)
        replay()
        return given

    def _record(self, x: Tensor) -> tuple[Callable[[], None], Tensor, Any]:
        taken, graph, beside = x.clone(), torch.cuda.CUDAGraph(), torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):  # cuDNN chooses its algorithms, compilers compile
            for _ in range(WARM_UP):
                self._module(taken)
        torch.cuda.current_stream().wait_stream(beside)
        try:
            # Other threads (NCCL's watchdog, the loader that pins memory) go on with what they do.
            with torch.cuda.graph(graph, self._pool, capture_error_mode='thread_local'):
                given = self._module(taken)
        except RuntimeError as error:
            raise MclirError(
                f'history.cuda_graphs: {type(self._module).__name__} cannot be recorded as a CUDA graph ({error}). '
                'Set it to false.'
            ) from error
        return graph.replay, taken, given
