"""Which checkpoints stay: the newest saves, and the best network so far."""

import json
import math
from pathlib import Path
from typing import Any

from mclir_basicsr.files.whole_file import whole_file


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


def is_best(record: Path, value: float, higher: bool) -> bool:
    """Whether a figure is better than the recorded one; without a record it is. NaN is neither."""
    try:
        best = json.loads(record.read_text(encoding='utf-8'))['value']
    except (OSError, ValueError, KeyError):
        best = math.nan
    if math.isnan(value) or math.isnan(best):
        return not math.isnan(value)
    return value > best if higher else value < best


def write_record(record: Path, **figures: Any) -> None:
    """Keep ``value``, and what else tells where it comes from, beside the network."""
    with whole_file(record) as file:
        file.write((json.dumps(figures, indent=1) + '\n').encode())
