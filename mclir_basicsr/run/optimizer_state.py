"""What the state of an optimizer or a schedule must hold to be loaded into another of its kind."""

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from reprlib import Repr
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

# How an optimizer computes, not what: another torch or another device may choose otherwise.
IMPLEMENTATION = {'foreach', 'fused', 'capturable', 'differentiable'}
_PARALLEL = ('restarts', 'periods', 'restart_weights', 'cumulative_period')  # lists of BasicSR's schedules
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 40


def shown(value: Any) -> str:
    """A value in a few words; of a tensor its shape."""
    return f'a tensor of {list(value.shape)}' if isinstance(value, Tensor) else _SHORT.repr(value)


def as_many(where: str, held: Sequence[Any], own: Sequence[Any]) -> Iterator[str]:
    """Name a list of another length than the run has."""
    if len(held) != len(own):
        yield f'{where}: there are {len(held)}, but this run has {len(own)}'


def of_optimizer(where: str, held: dict[str, Any], own: Optimizer, own_values: bool) -> Iterator[str]:
    """Faults of an optimizer's state.

    Args:
        where: Its path in the training state.
        held: The state.
        own: The optimizer into which it is to be loaded.
        own_values: The optimizer will keep its own hyper-parameters; those of the state are left unread.

    Yields:
        The path of an entry, and what is wrong with it.
    """
    yield from as_many(f'{where}.param_groups', held['param_groups'], own.param_groups)
    parameters: dict[Any, tuple[Tensor, dict[str, Any]]] = {}
    for i, (group, mine) in enumerate(zip(held['param_groups'], own.param_groups, strict=False)):
        path, numbers = f'{where}.param_groups.{i}', group.get('params')
        count = len(mine['params'])
        if not isinstance(numbers, list) or not all(map(_is_count, numbers)) or len(set(numbers)) != count:
            yield f'{path}.params: it must be a list of the {count} parameters of network_g, by number'
            continue
        if not own_values and (unlike := list(_unlike_group(path, group, mine))):
            yield from unlike
            continue
        values = mine if own_values else mine | group
        parameters |= {number: (tensor, values) for number, tensor in zip(numbers, mine['params'], strict=True)}
    strangers = [number for number in held['state'] if number not in parameters]
    if strangers and len(parameters) == sum(len(group['params']) for group in own.param_groups):
        yield f'{where}.state.{strangers[0]}: network_g has no such parameter'
    yield from _of_averages(where, held, own, parameters)


def _unlike_group(path: str, group: dict[str, Any], mine: dict[str, Any]) -> Iterator[str]:
    for key, value in mine.items():
        if key == 'params' or key in IMPLEMENTATION:
            continue
        if key not in group:
            if _kind(value) != 'flag':  # those came with versions of torch
                yield f'{path}.{key} is missing: the state is of another optimizer or schedule'
        elif _kind(group[key]) != _kind(value):
            yield f'{path}.{key}: it must be like {shown(value)}, but it is {shown(group[key])}'


def _of_averages(
    where: str, held: dict[str, Any], own: Optimizer, parameters: Mapping[Any, tuple[Tensor, dict[str, Any]]]
) -> Iterator[str]:
    """Compare what the optimizer keeps of each parameter with what one of its kind keeps after a step."""
    made: dict[tuple[Any, ...], dict[str, Any] | str] = {}
    for number, (parameter, values) in parameters.items():
        entries, key = held['state'].get(number), (tuple(parameter.shape), id(values))
        if entries is None:  # it had no gradient yet
            continue
        if key not in made:
            made[key] = _after_a_step(own, parameter, values)
        kept = made[key]
        if isinstance(kept, str):
            yield f'{where}.param_groups: {kept}'
            return
        for name, value in kept.items():
            path = f'{where}.state.{number}.{name}'
            if name not in entries:
                yield f'{path} is missing'
            else:
                yield from _unlike_entry(path, entries[name], value, parameter)


def _after_a_step(own: Optimizer, parameter: Tensor, values: dict[str, Any]) -> dict[str, Any] | str:
    """What an optimizer keeps of a parameter of this shape; or why it cannot have these hyper-parameters."""
    names = inspect.signature(type(own)).parameters.keys() - IMPLEMENTATION - {'params'}
    kept: dict[str, Any] = {}
    for given in (own.param_groups[0], values):
        twin = nn.Parameter(torch.zeros(parameter.shape))
        twin.grad = torch.zeros(parameter.shape)
        try:
            optimizer = type(own)([twin], **{name: given[name] for name in names if name in given})
            optimizer.step()
        except Exception as error:  # whatever an optimizer raises on what it is given
            return {} if given is own.param_groups[0] else str(error)  # it cannot be tried out, or not with these
        kept = optimizer.state[twin]
    return kept


def _unlike_entry(path: str, held: Any, value: Any, parameter: Tensor) -> Iterator[str]:
    if _kind(value) == 'number' and parameter.shape != getattr(value, 'shape', None):
        if _kind(held) != 'number' or not (math.isfinite(held) and held >= 0):
            yield f'{path}: it must be a number from 0, but it is {shown(held)}'
        return
    if value is None and held is None:
        return
    shape = parameter.shape if value is None else value.shape if isinstance(value, Tensor) else None
    if shape is not None and not (isinstance(held, Tensor) and held.is_floating_point() and held.shape == shape):
        yield f'{path}: it must be a tensor of {list(shape)}, but it is {shown(held)}'


def of_schedule(where: str, held: dict[str, Any], own: dict[str, Any]) -> Iterator[str]:
    """Faults of a schedule's state.

    Args:
        where: Its path in the training state.
        held: The state.
        own: That of the schedule into which it is to be loaded.

    Yields:
        The path of an entry, and what is wrong with it.
    """
    public = [{key for key in each if not key.startswith('_') and key != 'verbose'} for each in (own, held)]
    if public[0] != public[1]:
        missing, more = (', '.join(sorted(a - b)) for a, b in (public, public[::-1]))
        differing = [f'it lacks {missing}'] * bool(missing) + [f'it has {more}'] * bool(more)
        yield f'{where} is of another schedule: {" and ".join(differing)}'
        return
    for key, value in own.items():
        if key in held and not _alike(_kind(held[key], any_length=True), _kind(value, any_length=True)):
            yield f'{where}.{key}: it must be like {shown(value)}, but it is {shown(held[key])}'
        elif key in ('base_lrs', '_last_lr') and len(held.get(key, value)) != len(value):
            yield f'{where}.{key}: there must be {len(value)}, one for each group of parameters'
    lengths = {key: len(held[key]) for key in _PARALLEL if isinstance(held.get(key), list | tuple)}
    if len(set(lengths.values())) > 1:
        yield f'{where}: {" and ".join(lengths)} must be of one length, but theirs are {list(lengths.values())}'
    if not _is_count(held.get('last_epoch')):
        yield f'{where}.last_epoch: it must be a whole number from 0, but it is {shown(held.get("last_epoch"))}'


def _alike(held: Any, own: Any) -> bool:
    """Whether kinds agree; of lists and mappings those of the parts, which an empty one does not tell."""
    have_parts = isinstance(held, frozenset) and isinstance(own, frozenset)
    return held <= own or not own if have_parts else bool(held == own)


def _is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _kind(value: Any, *, any_length: bool = False) -> Any:
    """What a value is like: alike values can take each other's place."""
    if value is None or isinstance(value, bool):
        return 'flag'
    if isinstance(value, int | float) or (isinstance(value, Tensor) and value.numel() == 1):
        return 'number'
    if isinstance(value, list | tuple):
        kinds = [_kind(part) for part in value]
        return frozenset(map(str, kinds)) if any_length else tuple(kinds)
    if isinstance(value, Mapping):
        return frozenset(f'{_kind(key)}: {_kind(part)}' for key, part in value.items())
    return type(value)
