"""What the processes of one run have to agree on; with a single process nothing is exchanged."""

from typing import TypeVar

import torch
from torch import Tensor, distributed

_T = TypeVar('_T')


def several() -> bool:
    """Whether there is a process group."""
    return distributed.is_available() and distributed.is_initialized()


def is_first() -> bool:
    """Whether this process is rank 0, or the only one."""
    return not several() or distributed.get_rank() == 0


def mean(value: Tensor) -> Tensor:
    """Mean of a tensor over all ranks, the same on each; the tensor itself is left alone."""
    if not several():
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


def all_true(value: Tensor) -> Tensor:
    """Whether a truth value (0-d, bool) holds on every rank."""
    if not several():
        return value
    votes = value.int()
    distributed.all_reduce(votes, distributed.ReduceOp.MIN)
    return votes.bool()


def largest(number: int) -> int:
    """The largest of the ranks' whole numbers."""
    if not several():
        return number
    device = torch.device('cuda') if distributed.get_backend() == 'nccl' else torch.device('cpu')
    value = torch.tensor(number, device=device)
    distributed.all_reduce(value, distributed.ReduceOp.MAX)
    return int(value)


def of_first(tensor: Tensor) -> Tensor:
    """The tensor as rank 0 has it; the tensor itself is left alone."""
    if not several():
        return tensor
    copy = tensor.detach().clone()
    distributed.broadcast(copy, src=0)
    return copy


def gathered(value: _T) -> list[_T]:
    """What each rank holds, in their order, as objects that pickle."""
    if not several():
        return [value]
    values: list[_T] = [value] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
