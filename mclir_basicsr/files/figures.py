"""Figures per image in the ``metrics.jsonl`` of an experiment folder: a JSON object a line, in order of time.

A line: ``{"iteration": 5000, "dataset": "Set5", "image": "baby", "metrics": {"psnr": 37.8}, "weights": "params_ema"}``
Figures that are nan or infinite are written as Python's json does (NaN, Infinity).
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file

NAME = 'metrics.jsonl'


@dataclass(frozen=True)
class Figure:
    """The figures of one restored image.

    Attributes:
        iteration: Of the network, >= 0.
        dataset: Name of the data set.
        image: Name of the image, without suffix.
        metrics: Value of each metric.
        weights: ``params``, or ``params_ema`` for the moving average of the weights.
    """

    iteration: int
    dataset: str
    image: str
    metrics: dict[str, float]
    weights: str


def append_figures(folder: Path, figures: Sequence[Figure]) -> None:
    """Append the figures of one validation, flushed to disk.

    All lines are handed over in one write. Should a kill leave the last one unfinished, reading passes over it, and the
    next to append takes it off.

    Raises:
        OSError: The file cannot be written.
    """
    lines = ''.join(f'{json.dumps(asdict(figure), ensure_ascii=False)}\n' for figure in figures)
    path = Path(folder) / NAME
    path.touch()
    with path.open('r+b', buffering=0) as file:
        file.seek(_end_of_lines(file))
        file.truncate()
        content = memoryview(lines.encode())
        while content:  # a write to a nearly full disk may take a part
            content = content[file.write(content) :]
        os.fsync(file.fileno())


def _end_of_lines(file: FileIO) -> int:
    """Position behind the last line break."""
    end = file.seek(0, os.SEEK_END)
    if not end or (file.seek(end - 1) and file.read(1) == b'\n'):
        return end
    file.seek(0)
    return file.readall().rfind(b'\n') + 1


def truncate_figures(folder: Path, iteration: int) -> None:
    """Drop the figures of later iterations, and an unfinished line: the run goes on from this iteration.

    Where there is nothing to drop, the file stays as it is.

    Args:
        folder: The experiment folder.
        iteration: The last one whose figures stay, >= 0.

    Raises:
        MclirError: A line in the midst of the file is no figure.
        OSError: The file cannot be written.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        return
    before = path.read_bytes()
    whole = before[: before.rfind(b'\n') + 1]
    lines = [line for line in whole.splitlines(keepends=True) if _figure(line, path).iteration <= iteration]
    if (after := b''.join(lines)) != before:
        with whole_file(path) as file:
            file.write(after)


def read_figures(folder: Path) -> list[Figure]:
    """The figures in an experiment folder, as they were written; none where it has no such file.

    Raises:
        MclirError: A line is no figure. An unfinished last line is passed over.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        return []
    content = path.read_bytes()
    return [_figure(line, path) for line in content[: content.rfind(b'\n') + 1].splitlines()]


def _figure(line: bytes, path: Path) -> Figure:
    try:
        found = Figure(**json.loads(line))
        known = isinstance(found.iteration, int) and isinstance(found.metrics, dict)
    except (ValueError, TypeError):
        known = False
    if not known:
        raise MclirError(
            f'{path}: {line[:80].decode(errors="replace")!r} is no line of figures '
            '({"iteration": ..., "dataset": ..., "image": ..., "metrics": {...}, "weights": ...}). Remove that line.'
        )
    return found
