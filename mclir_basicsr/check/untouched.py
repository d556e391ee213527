"""A block of code that leaves the process as it was."""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mclir_basicsr.random_states import put_back
from mclir_basicsr.stand_in import stand_in


@contextmanager
def untouched(with_gpu: bool) -> Iterator[None]:
    """Put all random generators back behind the block, free the GPU memory that it took, and keep it from logging.

    Args:
        with_gpu: The block uses CUDA, whose generators count too.
    """
    if with_gpu:
        torch.cuda.init()  # before it, there are no generators
    gpus = list(torch.cuda.default_generators) if with_gpu else []
    states = [generator.get_state() for generator in gpus]
    silent = stand_in(logging.getLogger('basicsr'), 'disabled', True)
    try:
        with put_back(), silent, warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the run will warn of the same
            yield
    finally:
        for generator, state in zip(gpus, states, strict=True):
            generator.set_state(state)
        gc.collect()  # a model may hold itself
        if with_gpu:
            torch.cuda.empty_cache()
