"""Optimizers and learning rate schedules by name, beyond the few that BasicSR 1.4.2 knows."""

from typing import Any

from torch import optim
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
SCHEDULERS = {name: getattr(lr_scheduler, name) for name in lr_scheduler.__all__ if name not in _NOT_BY_NAME} | {
    'TrueCosineAnnealingLR': lr_scheduler.CosineAnnealingLR
}  # the name that forks of BasicSR gave it


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
