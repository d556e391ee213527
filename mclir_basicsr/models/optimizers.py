"""Optimizers and learning rate schedules by name, beyond the few that BasicSR 1.4.2 knows."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from torch import Tensor, optim
from torch.optim import Optimizer, lr_scheduler

from mclir_basicsr.errors import MclirError, did_you_mean
from mclir_basicsr.models.guard import HEEDING

OPTIMIZERS = tuple(
    name
    for name, kind in vars(optim).items()
    if isinstance(kind, type) and issubclass(kind, Optimizer) and name not in ('Optimizer', 'LBFGS', 'SparseAdam')
)  # LBFGS calls the loss several times a step, SparseAdam takes sparse gradients alone
# These take a function, other schedulers or a validation figure, which an option file cannot give.
_NOT_BY_NAME = {'LambdaLR', 'MultiplicativeLR', 'SequentialLR', 'ChainedScheduler', 'ReduceLROnPlateau', 'LRScheduler'}


class CosineAnnealingRestartCyclicLR(lr_scheduler.LRScheduler):
    """Cosine annealing in cycles, each with a lowest rate of its own, in place of BasicSR's one for all.

    In cycle i, which begins at iteration s: ``η_i + w_i · (lr - η_i) · (1 + cos(π (t - s) / period_i)) / 2``. A cycle
    whose η is the learning rate keeps that.

    Source: the schedule that Restormer is trained with (Zamir et al., CVPR 2022, arXiv 2111.09881).

    Args:
        optimizer: Of the network.
        periods: Iterations of each cycle.
        restart_weights: w of each.
        eta_mins: η of each.
        last_epoch: As of any schedule of torch.

    Raises:
        ValueError: The lists are not of one length.

    >>> import torch
    >>> adam = optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.3)
    >>> schedule = CosineAnnealingRestartCyclicLR(adam, periods=[2, 4], restart_weights=[1, 1], eta_mins=[0.3, 0.1])
    >>> [(adam.step(), schedule.step(), round(schedule.get_last_lr()[0], 2))[2] for _ in range(6)]
    [0.3, 0.3, 0.27, 0.2, 0.13, 0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        periods: Sequence[int],
        restart_weights: Sequence[float] = (1,),
        eta_mins: Sequence[float] = (0,),
        last_epoch: int = -1,
    ) -> None:
        if not len(periods) == len(restart_weights) == len(eta_mins):
            raise ValueError('periods, restart_weights and eta_mins must be of one length')
        self.periods, self.restart_weights, self.eta_mins = list(periods), list(restart_weights), list(eta_mins)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The rates of this iteration; behind the last cycle those of its end."""
        ends = list(accumulate(self.periods))
        cycle = next((i for i, end in enumerate(ends) if self.last_epoch <= end), len(ends) - 1)
        period, lowest = self.periods[cycle], self.eta_mins[cycle]
        done = min(self.last_epoch - ends[cycle] + period, period) / period
        share = self.restart_weights[cycle] * (1 + math.cos(math.pi * done)) / 2
        return [lowest + share * (rate - lowest) for rate in self.base_lrs]


SCHEDULERS = {name: getattr(lr_scheduler, name) for name in lr_scheduler.__all__ if name not in _NOT_BY_NAME} | {
    'TrueCosineAnnealingLR': lr_scheduler.CosineAnnealingLR,  # the name that forks of BasicSR gave it
    'CosineAnnealingRestartCyclicLR': CosineAnnealingRestartCyclicLR,
}


def make_optimizer(name: str, params: Any, lr: float, **arguments: Any) -> Optimizer:
    """An optimizer of torch.optim by its class name; on a GPU fused, where it can be and nothing else is asked for.

    Raises:
        MclirError: torch.optim has no such optimizer, or it does not take these arguments.
    """
    if name not in OPTIMIZERS:
        raise MclirError(_unknown('train.optim_g.type', name, OPTIMIZERS))
    kind, params = getattr(optim, name), list(params)
    if kind in HEEDING and not {'fused', 'foreach'} & arguments.keys():
        tensors = [tensor for each in params for tensor in (each['params'] if isinstance(each, dict) else [each])]
        arguments['fused'] = all(tensor.is_cuda for tensor in tensors) or None
    return _make('train.optim_g', kind, params, lr=lr, **arguments)


def make_scheduler(name: str, optimizer: Optimizer, **arguments: Any) -> Any:
    """A scheduler of torch.optim.lr_scheduler by its class name, or TrueCosineAnnealingLR.

    Raises:
        MclirError: There is no such scheduler, or it does not take these arguments.
    """
    if name not in SCHEDULERS:
        raise MclirError(_unknown('train.scheduler.type', name, (*SCHEDULERS, 'CosineAnnealingRestartLR')))
    return _make('train.scheduler', SCHEDULERS[name], optimizer, **arguments)


def _make(key: str, kind: type, *positional: Any, **arguments: Any) -> Any:
    try:
        return kind(*positional, **arguments)
    except (TypeError, ValueError) as error:
        raise MclirError(f'{key}: {kind.__name__} does not take these arguments: {error}') from error


def _unknown(key: str, name: str, valid: tuple[str, ...]) -> str:
    return f'{key}: {name} cannot be used; ' + (did_you_mean(name, valid) or f'valid: {", ".join(valid)}.')
