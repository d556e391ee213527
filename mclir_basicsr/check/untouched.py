"""A block of code that leaves the process as it was."""

import gc
import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

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
    python, numpy, cpu, states = (
        random.getstate(),
        np.random.get_state(),
        torch.get_rng_state(),
        [generator.get_state() for generator in gpus],
    )
    try:
        with stand_in(logging.getLogger('basicsr'), 'disabled', True), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the run will warn of the same
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        for generator, state in zip(gpus, states, strict=True):
            generator.set_state(state)
        gc.collect()  # a model may hold itself
        if with_gpu:
            torch.cuda.empty_cache()
