"""Random numbers that follow from what they are for, not from what was drawn before.

So nothing of them need be saved to go on with a run, and neither workers nor ranks have to agree on anything.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# First words of the keys: a step and a sample never share a stream.
_STEP, _SAMPLE = 0, 1


def begin_step(seed: int, rank: int, iteration: int) -> None:
    """Seed Python, NumPy and torch (with all GPUs of this process) for one training step.

    Args:
        seed: Of the run, >= 0.
        rank: Of this process.
        iteration: Counted from 1.
    """
    _seed((_STEP, seed, rank, iteration), torch.manual_seed)


@contextmanager
def sample_stream(seed: int, epoch: int, place: int) -> Iterator[None]:
    """Seed Python, NumPy and torch (CPU) for one sample, and put their states back behind it.

    Args:
        seed: Of the run, >= 0.
        epoch: Counted from 0.
        place: Of the sample in the order of its epoch, over all ranks.
    """
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            # not torch.manual_seed: it would seed the GPUs, which are training meanwhile
            _seed((_SAMPLE, seed, epoch, place), torch.default_generator.manual_seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _seed(key: tuple[int, ...], seed_torch: Callable[[int], Any]) -> None:
    words = np.random.SeedSequence(key).generate_state(3).tolist()
    seeds: tuple[Callable[[int], Any], ...] = (random.seed, np.random.seed, seed_torch)
    for seed, word in zip(seeds, words, strict=True):
        seed(word)
