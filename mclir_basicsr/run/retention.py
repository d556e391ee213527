"""Which checkpoints stay: the newest saves, and the best network so far."""

import json
import logging
import math
from pathlib import Path
from typing import Any

from mclir_basicsr.files.whole_file import whole_file

logger = logging.getLogger('basicsr')


def trim(models: Path, states: Path, last: int, current: int) -> None:
    """Remove networks and training states of all saves but the newest ``last`` up to the current iteration.

    Later ones, which a run that went back to an earlier state meets, stay. A state goes before its networks, so that
    no resumed run meets a state without them.
    """
    iterations = (int(file.stem) for file in states.glob('*.state') if file.stem.isdecimal())
    saved = sorted(iteration for iteration in iterations if iteration <= current)
    for iteration in saved[:-last]:
        (states / f'{iteration}.state').unlink()
        for network in models.glob(f'*_{iteration}.pth'):
            network.unlink()


def sweep(folder: Path) -> None:
    """Remove what a kill during a save left."""
    for file in folder.glob('*.tmp'):
        file.unlink()


def is_best(record: Path, value: float, higher: bool, **measured: Any) -> bool:
    """Whether a figure is better than the recorded one; without a record it is. NaN is neither.

    Args:
        record: Its file.
        value: The figure.
        higher: Whether a higher one is better.
        **measured: What tells what was measured (metric, data set): a record that says otherwise of any of them is
            one of something else, and is not compared with.
    """
    try:
        best = json.loads(record.read_text(encoding='utf-8'))
        recorded = float(best['value'])
    except (OSError, ValueError, KeyError, TypeError):
        best, recorded = {}, math.nan
    differing = [name for name, what in measured.items() if name in best and best[name] != what]
    if differing and not math.isnan(value):
        logger.warning(
            '%s is of another %s: its figure is not compared with, and a new best begins.',
            record,
            ' and '.join(f'{name} ({best[name]} instead of {measured[name]})' for name in differing),
        )
    if math.isnan(value) or math.isnan(recorded) or differing:
        return not math.isnan(value)
    return value > recorded if higher else value < recorded


def write_record(record: Path, **figures: Any) -> None:
    """Keep ``value``, and what else tells where it comes from, beside the network."""
    with whole_file(record) as file:
        file.write((json.dumps(figures, indent=1) + '\n').encode())
