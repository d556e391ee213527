"""The runs of a study: arms times seeds of one option file, as option dicts. Nothing here reads, writes or trains."""

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from mclir_basicsr.errors import MclirError

_LENGTHS = {  # of each schedule, the arguments that count iterations
    'MultiStepLR': ('milestones',),
    'MultiStepRestartLR': ('milestones', 'restarts'),
    'CosineAnnealingRestartLR': ('periods',),
    'TrueCosineAnnealingLR': ('T_max',),
    'CosineAnnealingLR': ('T_max',),
    'CosineAnnealingWarmRestarts': ('T_0',),
    'StepLR': ('step_size',),
    'OneCycleLR': ('total_steps',),
    'LinearLR': ('total_iters',),
    'PolynomialLR': ('total_iters',),
    'ConstantLR': ('total_iters',),
}


def plain(opt: Mapping[str, Any]) -> dict[str, Any]:
    """The option file without ``spn_opt`` and ``history``: trained as by SRModel, on the batches of the SPN arm.

    Args:
        opt: A training option file of a HistoryModel.

    Raises:
        MclirError: It has no ``train.spn_opt``, so that there is nothing to compare with.
    """
    train = opt.get('train') or {}
    if not train.get('spn_opt'):
        raise MclirError('The option file has no train.spn_opt: the arms plain and spn would be the same. Add it.')
    return {**deepcopy(dict(opt)), 'train': _without(train, 'spn_opt', 'history')}


def stretched(opt: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The same training with more iterations, its schedule and warm-up stretched with them.

    For ``plain_time``: plain training for as long as the SPN arm takes.

    Args:
        opt: A training option file.
        factor: Number of iterations over that of the file, > 0; seconds a step of SPN over those of plain training.

    Raises:
        MclirError: The factor is not above 0, or what the schedule counts is not known.
    """
    if not 0 < factor < float('inf'):
        raise MclirError(f'The iterations of plain_time are to be multiplied by {factor:g}; it must be above 0.')
    new = deepcopy(dict(opt))
    train = new['train']
    schedule = train.get('scheduler') or {}
    kind = schedule.get('type', 'MultiStepLR')
    if kind not in _LENGTHS:
        raise MclirError(
            f'train.scheduler.type: how to stretch {kind} is not known; known: {", ".join(_LENGTHS)}. '
            f'Take one of these, or name the arms of the study without plain_time.'
        )
    for block, keys in ((train, ('total_iter', 'warmup_iter')), (schedule, _LENGTHS[kind])):
        block.update({key: _times(block[key], factor) for key in keys if key in block})
    return new


def changed(opt: Mapping[str, Any], entries: Sequence[str], parse: Callable[[str], Any]) -> dict[str, Any]:
    """The option file with some values changed, for ``--arm NAME KEY=VALUE ...``.

    Args:
        opt: A training option file.
        entries: ``train.spn_opt.loss_weight=0.01``; a block on the way that is not there is made, one whose value is
            ``null`` is taken out.
        parse: What reads a value, with the rules of option files: text to value.

    Raises:
        MclirError: An entry is not of this form, or leads through what is no block.
    """
    new = deepcopy(dict(opt))
    for entry in entries:
        key, is_given, value = entry.partition('=')
        *blocks, last = key.strip().split('.')
        inner: Any = new
        for name in blocks:
            inner = inner.setdefault(name, {}) if isinstance(inner, dict) else None
        if not is_given or not last or not isinstance(inner, dict):
            raise MclirError(f'--arm {entry}: write KEY=VALUE with the blocks of the file, as train.total_iter=500.')
        if (read := parse(value)) is None:
            inner.pop(last, None)
        else:
            inner[last] = read
    return new


def seeded(opt: Mapping[str, Any], arm: str, seed: int) -> dict[str, Any]:
    """One run of an arm: its name and seed; it starts anew, and validates as the file says.

    Args:
        opt: The options of the arm.
        arm: Its name, of letters, digits, ``_``, ``-`` and ``.``.
        seed: ``manual_seed``, >= 0.

    Raises:
        MclirError: The name cannot be that of a folder.
    """
    if not re.fullmatch(r'[\w-][\w.-]*', arm):
        raise MclirError(f'--arm {arm!r}: the name of an arm is made of letters, digits, _, - and a point.')
    new = deepcopy(dict(opt))
    return new | {
        'name': f'{arm}_s{seed}',
        'manual_seed': seed,
        'path': {**(new.get('path') or {}), 'resume_state': None},
    }


def _without(block: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: deepcopy(value) for key, value in block.items() if key not in keys}


def _times(value: Any, factor: float) -> Any:
    """Numbers of iterations, at least 1 where they were; what is no number (or -1 for none) stays."""
    if isinstance(value, list):
        return [_times(one, factor) for one in value]
    return max(1, round(value * factor)) if isinstance(value, int | float) and value > 0 else value
