"""The optimizer and the schedule of its learning rate, up to the last iteration."""

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from mclir_basicsr.check.option_file import at, numbers_in_text
from mclir_basicsr.errors import MclirError

# Keys that say how long a schedule lasts, and what happens behind its end where it does not fail.
_LENGTH = {
    'CosineAnnealingRestartLR': 'periods',
    'OneCycleLR': 'total_steps',
    'CosineAnnealingLR': 'T_max',
    'PolynomialLR': 'total_iters',
}
_BEHIND = {'CosineAnnealingLR': 'rises again', 'PolynomialLR': 'is 0'}


def optimisation(opt: dict[str, Any], resumed: Mapping[str, Any] | None = None) -> list[str]:
    """Make optimizer and schedule as the model will, for a single parameter, and move them to the last iteration.

    Args:
        opt: The option file.
        resumed: ``schedulers`` of the state that the run goes on from, whose lengths then count, unless
            ``path.resume_settings`` is ``file``.

    Returns:
        A sentence where the learning rate does something odd behind the schedule's end.

    Raises:
        MclirError: They cannot be made, or the schedule has no learning rate for the last iteration.
    """
    from basicsr.models.base_model import BaseModel
    from basicsr.utils.registry import MODEL_REGISTRY

    if opt['model_type'] not in MODEL_REGISTRY:  # names tells
        return []
    if any(numbers_in_text('', [opt['train'][key] for key in ('optim_g', 'scheduler')])):  # numbers tells
        return []
    model = object.__new__(MODEL_REGISTRY.get(opt['model_type']))
    train = deepcopy(opt['train'])
    BaseModel.__init__(model, {'num_gpu': 0, 'is_train': True, 'train': train})
    ours = opt['model_type'] == 'HistoryModel'
    of_file = ours and at(opt, 'path.resume_settings') == 'file'
    held = None if of_file else ((resumed or {}).get('schedulers') or [None])[0]
    groups = len((held or {}).get('base_lrs', ())) or 1  # a video model's optical flow has one of its own
    for key, kind, make in (
        ('optim_g', train['optim_g'].pop('type'), lambda kind: _add_optimizer(model, kind, groups, train['optim_g'])),
        ('scheduler', train['scheduler']['type'], lambda kind: model.setup_schedulers()),
    ):
        try:
            make(kind)
        except MclirError:
            raise
        except (AssertionError, NotImplementedError, TypeError, ValueError) as error:
            raise MclirError(f'train.{key}: {kind} cannot be used so: {error}') from error
    return _to_the_end(model.schedulers[0], opt['train'], held, ours)


def _add_optimizer(model: Any, kind: str, groups: int, arguments: Mapping[str, Any]) -> None:
    parameters = [{'params': [nn.Parameter(torch.zeros(()))]} for _ in range(groups)]
    model.optimizers.append(model.get_optimizer(kind, parameters, **arguments))


def _to_the_end(schedule: Any, train: Mapping[str, Any], resumed: dict[str, Any] | None, ours: bool) -> list[str]:
    """Let the schedule give the learning rate of the last iteration; a resumed one has its lengths from the state."""
    if resumed is not None:
        schedule.load_state_dict(resumed)
    total = train['total_iter']
    if not isinstance(total, (int, float)) or schedule.last_epoch >= total - 1:  # numbers tells, or it is done
        return []
    last = int(total) - 1  # the schedule moves before each iteration but the first
    name, length = train['scheduler']['type'], _length(schedule)
    source = ' of the state to resume' if resumed is not None else ''
    whole = f'train.scheduler: {name}{source}'
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the optimizer has made no step
            schedule.last_epoch = last - 1
            schedule.step()
    except Exception as error:  # a TypeError of BasicSR's, a ValueError of torch's
        if not length or length[1] > last:
            raise MclirError(f'{whole} gives no learning rate for the last iteration, {int(total)}: {error}') from error
        way_out = 'Let it last as long'
        if resumed is not None:
            way_out = 'Start anew from its network (path.pretrain_network_g, without a state)'
            if ours:
                way_out += ', or let the one of this file count (path.resume_settings: file)'
        until = f'ends after {length[1]} iterations ({length[0]})'
        raise MclirError(f'{whole} {until}, but train.total_iter is {int(total)}. {way_out}.') from error
    behind = _BEHIND.get(type(schedule).__name__)
    if behind and length and length[1] < last:
        return [f'{whole} ends after {length[1]} of {int(total)} iterations ({length[0]}): then the rate {behind}.']
    return []


def _length(schedule: Any) -> tuple[str, int] | None:
    """What says how many iterations a schedule lasts, and how many those are."""
    key = _LENGTH.get(type(schedule).__name__)
    if key is None:
        return None
    value = getattr(schedule, key)
    return key, sum(value) if isinstance(value, Sequence) else value
