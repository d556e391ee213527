"""The random generators that all of a process shares: Python's, NumPy's and torch's."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def put_back() -> Iterator[None]:
    """Put their states (of torch, the CPU's) back, whatever is seeded or drawn inside.

    >>> with put_back():
    ...     first = random.random()
    >>> first == random.random()
    True
    """
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def seed_generators(key: Sequence[int], seed_torch: Callable[[int], Any] = torch.default_generator.manual_seed) -> None:
    """Seed all three, each otherwise.

    Args:
        key: Whole numbers from 0 that tell what the random numbers are for.
        seed_torch: By default that of the CPU alone: torch.manual_seed seeds the GPUs too, which may be training.
    """
    words = np.random.SeedSequence(key).generate_state(3).tolist()
    seeds: tuple[Callable[[int], Any], ...] = (random.seed, np.random.seed, seed_torch)
    for seed, word in zip(seeds, words, strict=True):
        seed(word)
