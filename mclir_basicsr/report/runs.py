"""Read what a BasicSR training left in its experiment folder: the values of its logs and its last images."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mclir_basicsr.errors import MclirError
from mclir_basicsr.report.log import Log, Points, block, in_order, read_log
from mclir_basicsr.run import figures

Series = list[tuple[int, float]]
"""Values of one name, (iteration, value), by rising iteration; a value may be nan or infinite."""


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        name: Name of the experiment folder.
        label: What tables and figures call it. Runs with the same label are repetitions (seeds) of one thing.
        training: Logged training values by name, e.g. ``l_pix`` or ``spn_dist``.
        validation: Validation figures by data set and metric.
        images: The last validation image that was written, by image name.
        lower_is_better: Metrics whose option says ``better: lower``, e.g. niqe.
        options: The options in force at the last start, nested as in the file, each value as text; empty where unknown.
        figures: Figures per image of the last validation, by data set, metric and image, of the EMA network where
            there is one; empty where the run wrote none.
    """

    name: str
    label: str
    training: dict[str, Series] = field(default_factory=dict)
    validation: dict[str, dict[str, Series]] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)
    lower_is_better: frozenset[str] = frozenset()
    options: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    @property
    def seed(self) -> str | None:
        """``manual_seed`` of the run, as text; None where unknown."""
        return self.options.get('manual_seed')


def read_run(folder: Path, label: str | None = None) -> Run:
    """Read an experiment folder of BasicSR 1.4.2.

    Args:
        folder: ``experiments/<name>``, with one log or, where the run was resumed, several.
        label: See :class:`Run`. Default: the name of the folder.

    Raises:
        MclirError: There is no such folder, no training log in it, or none that holds a value.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MclirError(f'There is no folder {folder}; give an experiment folder of BasicSR (experiments/<name>).')
    files = sorted(folder.glob('train_*.log'))  # by the clock of their start, which ends the name
    if not files:
        raise MclirError(
            f'{folder} holds no training log (train_<name>_<time>.log). '
            'Give the folder that BasicSR made for the training: experiments/<name>.'
        )
    logs = in_order([read_log(file.read_text(encoding='utf-8', errors='replace')) for file in files])
    training, validation = _joined(logs)
    if not training and not validation:
        raise MclirError(
            f'{folder}: {", ".join(file.name for file in files)} hold(s) no training line of BasicSR '
            '("[name..][epoch:  0, iter:     100, lr:(...)] ... l_pix: 1.2e-02") and no validation. '
            'Did the run stop before iteration logger.print_freq?'
        )
    name = folder.resolve().name
    options = next((log.options for log in reversed(logs) if log.options), {})
    metrics = block(options, 'val', 'metrics')
    return Run(
        name,
        label or name,
        training,
        validation,
        _last_images(folder / 'visualization'),
        frozenset(name for name in metrics if block(metrics, name).get('better') == 'lower'),
        options,
        _last_figures(list(figures.read(folder)), validation),
    )


def _joined(logs: list[Log]) -> tuple[dict[str, Series], dict[str, dict[str, Series]]]:
    """Training and validation values; what earlier logs hold beyond the start of a later one was given up."""
    training: Points = defaultdict(dict)
    validation: dict[str, Points] = defaultdict(lambda: defaultdict(dict))
    for log in logs:
        if log.start is not None:
            for values in (training, *validation.values()):
                _drop_after(values, log.start)
        for name, points in log.training.items():
            training[name].update(points)
        for dataset, metrics in log.validation.items():
            for name, points in metrics.items():
                validation[dataset][name].update(points)
    return _series(training), {name: series for name, metrics in validation.items() if (series := _series(metrics))}


def _drop_after(values: Points, start: int) -> None:
    for points in values.values():
        for iteration in [iteration for iteration in points if iteration > start]:
            del points[iteration]


def _series(values: Points) -> dict[str, Series]:
    return {name: sorted(points.items()) for name, points in values.items() if points}


def _last_figures(
    noted: list[figures.Figure], validation: dict[str, dict[str, Series]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Of each data set the figures of the last validation in the logs; a later line replaces an earlier one."""
    ends = {dataset: max(series[-1][0] for series in metrics.values()) for dataset, metrics in validation.items()}
    last = [one for one in noted if one.iteration == ends.get(one.dataset)]
    averaged = {one.dataset for one in last if one.weights == 'params_ema'}
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for one in last:
        if (one.weights == 'params_ema') == (one.dataset in averaged):
            for metric, value in one.metrics.items():
                found[one.dataset][metric][one.image] = value
    return {dataset: dict(metrics) for dataset, metrics in found.items()}


def _last_images(folder: Path) -> dict[str, Path]:
    """The image of the highest iteration in each ``<folder>/<image>/<image>_<iteration>.png``."""
    images: dict[str, tuple[int, Path]] = {}
    for file in folder.glob('*/*.png'):
        name = file.parent.name
        iteration = file.stem.removeprefix(f'{name}_')
        if iteration.isdecimal():
            images[name] = max(images.get(name, (-1, file)), (int(iteration), file))
    return {name: file for name, (_, file) in sorted(images.items())}
