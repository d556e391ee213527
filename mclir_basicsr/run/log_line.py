"""The line that a training logs at every ``logger.print_freq`` iterations, and what it tells of the time."""

import datetime
import time
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import torch

from mclir_basicsr import ranks

_OF_THE_LOOP = {'epoch', 'iter', 'lrs', 'time', 'data_time'}  # what BasicSR's loop gives beside the model's values


def seconds_left(elapsed: float, done: int, left: int) -> float:
    """How long a run will still take, as it took so far; validations and saves count as they fell.

    Args:
        elapsed: Seconds that the iterations ``done`` took.
        done: Iterations in that time.
        left: Iterations that are still to be done.

    >>> seconds_left(30.0, 10, 20), seconds_left(30.0, 10, 0)
    (60.0, 0.0)
    """
    return max(left, 0) * elapsed / max(done, 1)


def text(name: str, values: Mapping[str, Any], left: float, peak: int | None = None) -> str:
    r"""The line, in the form of BasicSR's MessageLogger, which tools that read logs know.

    Args:
        name: Of the experiment.
        values: ``epoch``, ``iter``, ``lrs``, ``time`` and ``data_time`` (seconds of an iteration) and whatever else the
            model logs. Whole numbers are written as such.
        left: Seconds that the run will still take.
        peak: Bytes of GPU memory that the run took at most; None without a GPU.

    >>> values = {'epoch': 0, 'iter': 90, 'lrs': [1e-4], 'time': 0.2, 'data_time': 0.01, 'neg_refresh': 3}
    >>> print(text('spn', values, left=4.0).strip().replace('] ', ']\n'))
    [spn][epoch:  0, iter:      90, lr:(1.000e-04,)]
    [eta: 0:00:04, 5.00 it/s, time (data): 0.200 (0.010)]
    neg_refresh: 3
    """
    rest = {key: value for key, value in values.items() if key not in _OF_THE_LOOP}
    head = f'[{name}][epoch:{values["epoch"]:3d}, iter:{values["iter"]:8,d}, lr:({_rates(values["lrs"])})] '
    clock = ''
    if 'time' in values:
        memory = '' if peak is None else f'GPU peak: {peak / 1e9:.2f} GB, '
        clock = (
            f'[eta: {datetime.timedelta(seconds=round(left))}, {_speed(values["time"])}, {memory}'
            f'time (data): {values["time"]:.3f} ({values["data_time"]:.3f})] '
        )
    return head + clock + ''.join(f'{key}: {_shown(value)} ' for key, value in rest.items())


def _rates(rates: Sequence[float]) -> str:
    return ''.join(f'{rate:.3e},' for rate in rates)


def _speed(seconds: float) -> str:
    return f'{1 / seconds:.2f} it/s' if 0 < seconds < 1 else f'{seconds:.2f} s/it'


def _shown(value: Any) -> str:
    return f'{value:d}' if isinstance(value, Integral) else f'{value:.4e}'


def say(logger: Any, values: Mapping[str, Any]) -> None:
    """Log the line of an iteration, and its values to TensorBoard, as BasicSR's MessageLogger does: by rank 0.

    Args:
        logger: A MessageLogger.
        values: As of :func:`text`.
    """
    if not ranks.is_first():
        return
    iteration, total = values['iter'], int(logger.max_iters)
    since = logger.start_iter or 1  # BasicSR starts the clock anew behind the first iteration
    elapsed, done = time.time() - logger.start_time, iteration - since
    if done < 1:
        elapsed, done = values.get('time', 0.0), 1
    logger.logger.info(text(logger.exp_name, values, seconds_left(elapsed, done, total - iteration), gpu_peak()))
    if logger.use_tb_logger and 'debug' not in logger.exp_name:
        for name in values.keys() - _OF_THE_LOOP:
            tag = f'losses/{name}' if name.startswith('l_') else name
            logger.tb_logger.add_scalar(tag, values[name], iteration)


def gpu_peak() -> int | None:
    """Bytes that this process took at most on its GPU; None where it uses none."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
