"""Settings of optimizer and schedule where a run is resumed: the state's, or those of the option file.

A state carries the values with which it was saved, and PyTorch loads them over those that the option file gave. That
is right for a run that goes on, and wrong for a user who has lowered the learning rate in between. So the two are
compared while both are known: when the model is built and the state is not loaded yet.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch.optim import Optimizer

from mclir_basicsr.errors import MclirError
from mclir_basicsr.run.optimizer_state import IMPLEMENTATION, shown

# What a schedule moves, so that it differs between any two moments.
_MOVING = {'last_epoch', 'verbose', 'T_cur', 'T_i', 'base_lrs'}
_CYCLED = {'betas', 'momentum'}

_MILESTONES = 1000  # more are not written one by one: a damaged count would not end


class Difference(NamedTuple):
    """A setting in which a state and an option file differ.

    Attributes:
        key: Its place in the option file.
        file: The value there.
        state: The value of the state.
    """

    key: str
    file: Any
    state: Any


def differences(
    optimizers: Sequence[Optimizer], schedulers: Sequence[Any], state: Mapping[str, Any]
) -> list[Difference]:
    """Compare what the option file made with the state to be loaded into it.

    Args:
        optimizers: As they were made, nothing loaded yet.
        schedulers: Theirs.
        state: A whole training state.
    """
    cycled = _CYCLED if any(getattr(each, 'cycle_momentum', False) for each in schedulers) else set()
    found: dict[Difference, None] = {}
    for i, (optimizer, held) in enumerate(zip(optimizers, state['optimizers'], strict=False)):
        block = 'train.optim_g' if i == 0 else f'train: optimizer {i}'
        for group, of_state in zip(optimizer.param_groups, held['param_groups'], strict=False):
            found |= dict.fromkeys(_of_group(block, group, of_state, cycled))
    for schedule, held in zip(schedulers, state['schedulers'], strict=False):
        found |= dict.fromkeys(_of_schedule(schedule.state_dict(), held))
    return list(found)


def _of_group(block: str, group: dict[str, Any], held: dict[str, Any], cycled: set[str]) -> Iterator[Difference]:
    for key, value in group.items():
        if key in IMPLEMENTATION | cycled | {'params', 'lr'} or key not in held:
            continue
        if _plain(value) != _plain(held[key]):
            yield Difference(f'{block}.{key.removeprefix("initial_")}', _text(value), _text(held[key]))


def _of_schedule(own: dict[str, Any], held: dict[str, Any]) -> Iterator[Difference]:
    for key, value in own.items():
        if key in _MOVING or key.startswith('_') or key not in held:
            continue
        if _plain(value) != _plain(held[key]):
            yield Difference(f'train.scheduler.{key}', _text(value), _text(held[key]))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _text(value: Any) -> str:
    """As an option file writes it; milestones are counted by BasicSR and torch."""
    if (
        isinstance(value, Mapping)
        and all(isinstance(count, int) for count in value.values())
        and sum(value.values()) <= _MILESTONES
    ):
        return str([each for each in sorted(value) for _ in range(value[each])])
    return str(list(value)) if isinstance(value, tuple) else shown(value)


def hyper_parameters(optimizers: Sequence[Optimizer]) -> list[list[dict[str, Any]]]:
    """Those of each group of parameters, to be given back by :func:`take`."""
    return [
        [{key: value for key, value in group.items() if key != 'params'} for group in optimizer.param_groups]
        for optimizer in optimizers
    ]


def for_this_machine(optimizer: Optimizer, held: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's state that computes as the optimizer does: fused on a GPU, say, whatever it was saved on."""
    pairs = zip(held['param_groups'], optimizer.param_groups, strict=True)
    groups = [group | {key: mine[key] for key in IMPLEMENTATION & mine.keys()} for group, mine in pairs]
    return held | {'param_groups': groups}


def take(
    optimizers: Sequence[Optimizer], schedulers: Sequence[Any], own: list[list[dict[str, Any]]], iteration: int
) -> None:
    """Give optimizers whose state was loaded the values of the option file, and put its schedules where they belong.

    Args:
        optimizers: Their averages stay.
        schedulers: As they were made.
        own: What :func:`hyper_parameters` gave before the state was loaded.
        iteration: The last one that is done. The schedule will stand where it would if it had led there.

    Raises:
        MclirError: A schedule ends before that.
    """
    for optimizer, groups in zip(optimizers, own, strict=True):
        for group, values in zip(optimizer.param_groups, groups, strict=True):
            group |= values
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch wants a step of the optimizer before each
        for schedule in schedulers:
            try:
                for _ in range(iteration - 1):  # BasicSR's loop does not step at the first
                    schedule.step()
            except (ValueError, TypeError) as error:  # OneCycleLR, and BasicSR's CosineAnnealingRestartLR
                raise MclirError(
                    f'train.scheduler: {type(schedule).__name__} of the option file ends before iteration {iteration}, '
                    f'at which the run is resumed: lengthen it ({error}).'
                ) from error


def report(found: Sequence[Difference], iteration: int, *, from_file: bool, lr: Sequence[float]) -> str:
    """What to tell of the differences; empty where there is nothing to tell.

    Args:
        found: Of :func:`differences`.
        iteration: At which the run is resumed.
        from_file: Whether the values of the option file count.
        lr: The learning rates with which it goes on.
    """
    if from_file:
        changed = ', '.join(f'{each.key} {each.file} (state: {each.state})' for each in found) or 'nothing differs'
        return (
            f'path.resume_settings: file takes optimizer and schedule from the option file: {changed}. The averages of '
            f'the optimizer are kept; the schedule stands where it leads to at iteration {iteration}, lr '
            f'{", ".join(f"{rate:.3g}" for rate in lr)}.'
        )
    if not found:
        return ''
    kept = ', '.join(f'{each.key} {each.state} (option file: {each.file})' for each in found)
    return (
        f'The state of iteration {iteration} goes on with its own settings, not with those of the option file: {kept}. '
        f'path.resume_settings: file takes those of the option file. (All other keys are taken from the option file.)'
    )
