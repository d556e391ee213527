"""Validation figures of each image, kept beside a run: ``metrics.jsonl`` in the experiment's folder."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mclir_basicsr.files.whole_file import whole_file

FIGURES = 'metrics.jsonl'


class Figure(NamedTuple):
    """What one image measured at one validation; one line of the file, as a JSON object.

    Attributes:
        iteration: Iterations done by then; 0 before the first.
        dataset: Name of the data set.
        image: Name of the image without ending.
        metrics: Value by the name of the metric in ``val.metrics``.
        weights: ``params`` or ``params_ema``.
    """

    iteration: int
    dataset: str
    image: str
    metrics: Mapping[str, float]
    weights: str


def append(folder: Path, figures: Iterable[Figure]) -> None:
    """Add the figures of a validation, on disk when this returns.

    A figure that is there already is not written again: BasicSR validates twice after the last iteration. A kill leaves
    whole lines, but for the last, which :func:`read` passes over and the next call takes off.
    """
    path = folder / FIGURES
    path.touch()
    with path.open('r+b') as file:
        before = file.read()
        file.seek(before.rfind(b'\n') + 1)
        file.truncate()
        lines = [(json.dumps(figure._asdict()) + '\n').encode() for figure in figures]
        known = set(before.splitlines(keepends=True))
        file.write(b''.join(line for line in lines if line not in known))
        file.flush()
        os.fsync(file.fileno())


def drop_after(folder: Path, iteration: int) -> None:
    """Take out figures of later iterations, which a run that goes on from this one will measure again."""
    file = folder / FIGURES
    if file.is_file():
        kept = [figure for figure in read(folder) if figure.iteration <= iteration]
        with whole_file(file) as stream:
            stream.write(''.join(json.dumps(figure._asdict()) + '\n' for figure in kept).encode())


def read(folder: Path) -> Iterator[Figure]:
    """Every figure in the order in which they were measured; what a kill cut off is passed over."""
    try:
        lines = (folder / FIGURES).read_text(encoding='utf-8').splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield Figure(**json.loads(line))
        except (ValueError, TypeError):
            continue


def of_iteration(folder: Path, iteration: int) -> dict[str, dict[str, dict[str, float]]]:
    """Figures of one iteration by data set, metric and image; of two validations there, the last."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for figure in read(folder):
        if figure.iteration == iteration:
            for metric, value in figure.metrics.items():
                found.setdefault(figure.dataset, {}).setdefault(metric, {})[figure.image] = value
    return found
