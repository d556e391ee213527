"""Read what a BasicSR training left in its experiment folder: the values of its logs and its last images."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from mclir_basicsr.errors import MclirError

Series = list[tuple[int, float]]
"""Values of one name, (iteration, value), by rising iteration; a value may be nan or infinite."""

_START = re.compile(r'INFO: Start training from epoch: \d+, iter: (\d+)')
_END = re.compile('INFO: End of training')
_TRAINING = re.compile(r'INFO: \[.{0,5}\.\.\]\[epoch: *\d+, iter: *([\d,]+), lr:\([^)]*\)\] (?:\[eta: .*?\)\] )?(.*)')
_TRAINING_VALUE = re.compile(r'([^\s:]+): (-?\d\.\d{4}e[+-]\d+|-?inf|nan)(?=\s|$)')
_VALIDATION = re.compile('INFO: Validation (.+)$')
_METRIC = re.compile(r'\t # ([^:]+): (-?\d+\.\d{4}|-?inf|nan)(?=\s|$)')
_LOWER = re.compile(r'^ +([^\s:]+):\[\n(?: +[^\s:]+: .*\n)*? +better: lower$', re.MULTILINE)


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
    """

    name: str
    label: str
    training: dict[str, Series] = field(default_factory=dict)
    validation: dict[str, dict[str, Series]] = field(default_factory=dict)
    images: dict[str, Path] = field(default_factory=dict)
    lower_is_better: frozenset[str] = frozenset()


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
    logs = sorted(folder.glob('train_*.log'))  # in order of time, which ends the name
    if not logs:
        raise MclirError(
            f'{folder} holds no training log (train_<name>_<time>.log). '
            'Give the folder that BasicSR made for the training: experiments/<name>.'
        )
    values, lower = _Values(), set()
    for log in logs:
        text = log.read_text(encoding='utf-8', errors='replace')
        lower.update(_LOWER.findall(text))
        values.add(text)
    validation = {dataset: _series(metrics) for dataset, metrics in values.validation.items() if any(metrics.values())}
    if not values.training and not validation:
        raise MclirError(
            f'{folder}: {", ".join(log.name for log in logs)} hold(s) no training line of BasicSR '
            '("[name..][epoch:  0, iter:     100, lr:(...)] ... l_pix: 1.2e-02") and no validation. '
            'Did the run stop before iteration logger.print_freq?'
        )
    name = folder.resolve().name
    images = _last_images(folder / 'visualization')
    return Run(name, label or name, _series(values.training), validation, images, frozenset(lower))


def _series(values: dict[str, dict[int, float]]) -> dict[str, Series]:
    return {name: sorted(points.items()) for name, points in values.items() if points}


class _Values:
    """Values by name and iteration, of the logs of one run in order of time."""

    def __init__(self) -> None:
        self.training: dict[str, dict[int, float]] = defaultdict(dict)
        self.validation: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))

    def add(self, text: str) -> None:
        """Add one log; what earlier ones hold beyond its start belongs to a branch that was given up."""
        clock = _Clock(text)
        metrics, iteration = None, 0
        for line in text.split('\n'):
            if match := _METRIC.match(line):
                if metrics is not None:
                    metrics[match[1]][iteration] = float(match[2])
            elif match := _START.search(line):
                clock.start(int(match[1]))
                self._drop_after(clock.iteration)
            elif match := _TRAINING.search(line):
                clock.iteration = int(match[1].replace(',', ''))
                for name, value in _TRAINING_VALUE.findall(match[2]):
                    self.training[name][clock.iteration] = float(value)
            elif match := _VALIDATION.search(line):
                metrics, iteration = self.validation[match[1]], clock.validation(match[1])
            elif _END.search(line):
                clock.ended = True

    def _drop_after(self, start: int) -> None:
        for values in (self.training, *self.validation.values()):
            for points in values.values():
                for iteration in [iteration for iteration in points if iteration > start]:
                    del points[iteration]


class _Clock:
    """The iteration of each validation, which BasicSR does not log.

    It validates at the multiples of ``val.val_freq``, and once more after the end. Both that and ``train.total_iter``
    are in the options at the head of the log, as they were in force (the copy of the option file knows nothing of
    --force_yml and --debug). So a validation is at the multiple after the last one, or at the first that is not before
    the last training line, whichever is later.
    """

    def __init__(self, text: str) -> None:
        self.ended = False
        self.iteration = 0  # of the last line that names one
        self._start = 0
        self._frequency, self._total = (
            int(float(match[1])) if (match := re.search(rf'^ +{key}: (\d[\d.e+]*)$', text, re.MULTILINE)) else None
            for key in ('val_freq', 'total_iter')
        )
        self._last: dict[str, int] = {}

    def start(self, iteration: int) -> None:
        """Training starts after this iteration."""
        self.iteration = iteration
        self._start = iteration

    def validation(self, dataset: str) -> int:
        """Iteration of the validation that the log reports now."""
        if self.ended:
            return self._total or self.iteration  # BasicSR itself names one beyond total_iter here
        if not self._frequency:
            return self.iteration
        last = self._last.get(dataset, self._start // self._frequency * self._frequency)
        self._last[dataset] = max(last + self._frequency, -(-self.iteration // self._frequency) * self._frequency)
        return self._last[dataset]


def _last_images(folder: Path) -> dict[str, Path]:
    """The image of the highest iteration in each ``<folder>/<image>/<image>_<iteration>.png``."""
    images: dict[str, tuple[int, Path]] = {}
    for file in folder.glob('*/*.png'):
        name = file.parent.name
        iteration = file.stem.removeprefix(f'{name}_')
        if iteration.isdecimal():
            images[name] = max(images.get(name, (-1, file)), (int(iteration), file))
    return {name: file for name, (_, file) in sorted(images.items())}
