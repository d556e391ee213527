"""Random numbers that follow from what they are for, not from what was drawn before.

So nothing of them need be saved to go on with a run, and neither workers nor ranks have to agree on anything.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mclir_basicsr.random_states import put_back, seed_generators

# First words of the keys: a step and a sample never share a stream.
_STEP, _SAMPLE = 0, 1


def begin_step(seed: int, rank: int, iteration: int) -> None:
    """Seed Python, NumPy and torch (with all GPUs of this process) for one training step.

    Args:
        seed: Of the run, >= 0.
        rank: Of this process.
        iteration: Counted from 1.
    """
    seed_generators((_STEP, seed, rank, iteration), torch.manual_seed)


@contextmanager
def sample_stream(seed: int, epoch: int, place: int) -> Iterator[None]:
    """Seed Python, NumPy and torch (CPU) for one sample, and put their states back behind it.

    Args:
        seed: Of the run, >= 0.
        epoch: Counted from 0.
        place: Of the sample in the order of its epoch, over all ranks.
    """
    with put_back():
        seed_generators((_SAMPLE, seed, epoch, place))
        yield
