"""Whether a larger or a smaller value of a metric is the better one."""

import re
from collections.abc import Mapping
from typing import Any, Literal

Direction = Literal['higher', 'lower']

_HIGHER = ('psnr', 'ssim', 'msssim', 'fsim', 'vif', 'uqi', 'nrqm', 'musiq', 'maniqa', 'clipiqa', 'topiq')
_LOWER = (
    'niqe', 'ilniqe', 'brisque', 'piqe', 'pi', 'lpips', 'dists', 'pieapp', 'gmsd', 'fid', 'kid',
    'mae', 'mse', 'rmse', 'ergas',
)  # fmt: skip
_KNOWN: dict[str, Direction] = {**dict.fromkeys(_HIGHER, 'higher'), **dict.fromkeys(_LOWER, 'lower')}


def known_direction(kind: str) -> Direction | None:
    """The direction of a metric by the words of its registered name; None where they tell nothing, or two.

    >>> known_direction('calculate_psnr'), known_direction('calculate_niqe'), known_direction('sharpness')
    ('higher', 'lower', None)
    """
    found = {_KNOWN[word] for word in re.split(r'[^a-z]+', kind.lower()) if word in _KNOWN}
    return found.pop() if len(found) == 1 else None


def direction(options: Mapping[str, Any]) -> Direction | None:
    """The direction of a metric of ``val.metrics``.

    Args:
        options: Of the metric, with its ``type``, and ``better`` where the option file gives it.

    Returns:
        What ``better`` says; without it, what is known of the type. None where neither tells, or both tell otherwise:
        :func:`direction_fault` has the message.

    >>> direction({'type': 'calculate_niqe', 'crop_border': 0})
    'lower'
    >>> direction({'type': 'sharpness', 'better': 'higher'})
    'higher'
    """
    known, given = known_direction(str(options.get('type'))), options.get('better')
    if given is None:
        return known
    return given if given in ('higher', 'lower') and known in (None, given) else None


def direction_fault(name: str, options: Mapping[str, Any]) -> str:
    """What an option file must say of a metric whose direction is needed; empty where it is known.

    Args:
        name: Its key in ``val.metrics``.
        options: Its options.
    """
    if direction(options) is not None:
        return ''
    kind, given, key = options.get('type'), options.get('better'), f'val.metrics.{name}.better'
    known = known_direction(str(kind))
    if given is None:
        return f'whether a higher or a lower {kind} is better is not known: set {key}: higher or {key}: lower.'
    if known is None:
        return f'{key} must be higher or lower, but is {given!r}.'
    return f'{key} is {given!r}, but of {kind} the {known} is better: set {key}: {known}, or leave it out.'
