"""One log of a BasicSR training: its options, its values, and which part of the run it tells of."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

_TIME = re.compile(r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}', re.MULTILINE)
_OPTIONS = re.compile(r'INFO: \n((?:  .*\n)+)')  # as BasicSR's dict2str prints them
_OPTION = re.compile(r'^((?:  )+)(\S.*?):(\[| .*)$')
_START = re.compile(r'INFO: Start training from epoch: \d+, iter: (\d+)')
_AT_START = re.compile('INFO: Validating before the first iteration')  # HistoryModel with val.at_start
_END = re.compile('INFO: End of training')
_TRAINING = re.compile(r'INFO: \[.+?\]\[epoch: *\d+, iter: *([\d,]+), lr:\([^)]*\)\] (?:\[eta: .*?\)\] )?(.*)')
_TRAINING_VALUE = re.compile(r'([^\s:]+): ((?:-?\d\.\d{4}e[+-]\d+|-?inf|nan)(?=\s|$)|\d+(?= ))')
_VALIDATION = re.compile('INFO: Validation (.+)$')
_METRIC = re.compile(r'\t # ([^:]+): (-?\d+\.\d{4}|-?inf|nan)(?=\s|$)')

Points = dict[str, dict[int, float]]
"""Values by name and iteration."""


@dataclass
class Log:
    """What one log holds.

    Attributes:
        options: The options in force, nested as in the file, each value as text; empty where the log has none.
        start: The iteration after which training starts; None where it did not.
        reached: The last iteration that the log tells of.
        begun: Local time of the first line, as text that sorts; empty where there is none.
        ended: The same of the last line.
        training: Training values.
        validation: Validation figures by data set.
    """

    options: dict[str, Any]
    start: int | None = None
    reached: int = 0
    begun: str = ''
    ended: str = ''
    training: Points = field(default_factory=lambda: defaultdict(dict))
    validation: dict[str, Points] = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))


def read_log(text: str) -> Log:
    """Read a log of BasicSR 1.4.2; a line of it that is cut short gives no value."""
    times = _TIME.findall(text)
    log = Log(read_options(text), begun=times[0] if times else '', ended=times[-1] if times else '')
    clock = _Clock(log.options)
    metrics, iteration = None, 0
    for line in text.split('\n'):
        if match := _METRIC.match(line):
            if metrics is not None:
                metrics[match[1]][iteration] = float(match[2])
        elif match := _START.search(line):
            log.start = int(match[1])
            clock.start(log.start)
        elif match := _TRAINING.search(line):
            clock.iteration = int(match[1].replace(',', ''))
            for name, value in _TRAINING_VALUE.findall(match[2]):
                log.training[name][clock.iteration] = float(value)
        elif match := _VALIDATION.search(line):
            dataset, iteration = clock.validation(match[1])
            metrics = log.validation[dataset]
            log.reached = max(log.reached, iteration)
        elif _AT_START.search(line):
            clock.at_start = True
        elif _END.search(line):
            clock.ended = True
        log.reached = max(log.reached, clock.iteration)
    return log


def in_order(logs: list[Log]) -> list[Log]:
    """Logs of one run in the order in which they were written.

    Args:
        logs: By the time in their names. Their clock may contradict what they hold: one begins before the one before it
            has ended, or goes on from an iteration that one after it reached, but none before. Then it was set back
            between two starts, as daylight saving does, and they are put in order of the iteration at which they start.
    """
    if not _contradict(logs):
        return logs
    return sorted(logs, key=lambda log: -1 if log.start is None else log.start)


def _contradict(logs: list[Log]) -> bool:
    overlap = any('' < after.begun < before.ended for before, after in pairwise(logs))
    reached = [max((log.reached for log in logs[:i]), default=0) for i in range(len(logs))]
    later = [max((log.reached for log in logs[i + 1 :]), default=0) for i in range(len(logs))]
    return overlap or any(
        log.start is not None and before < log.start <= after
        for log, before, after in zip(logs, reached, later, strict=True)
    )


def read_options(text: str) -> dict[str, Any]:
    """The options at the head of a log, as they were in force (the copy of the file knows no --force_yml)."""
    blocks = (lines.splitlines() for lines in _OPTIONS.findall(text))
    lines: list[str] = next(
        (lines for lines in blocks if _OPTION.match(lines[0])), []
    )  # the first is BasicSR's name in letters
    options: dict[str, Any] = {}
    open_blocks = [options]
    for line in lines:
        if not (match := _OPTION.match(line)):
            continue
        level = len(match[1]) // 2
        if level > len(open_blocks):
            continue  # the second line of a text of several lines
        del open_blocks[level:]
        if match[3] == '[':
            open_blocks.append(open_blocks[-1].setdefault(match[2], {}))
        else:
            open_blocks[-1][match[2]] = match[3][1:]
    return options


def block(options: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The block under these keys; an empty one where there is none."""
    for key in keys:
        found = options.get(key)
        options = found if isinstance(found, dict) else {}
    return options


def validation_sets(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Options of the data sets that BasicSR validates with, by key, in its order."""
    datasets = block(options, 'datasets')
    return {key: block(datasets, key) for key in datasets if key.split('_')[0] == 'val'}


class _Clock:
    """Data set and iteration of each validation; BasicSR logs neither the one's key nor the other.

    It validates at the multiples of ``val.val_freq``, and once more after the end. So a validation is at the multiple
    after the last one, or at the first that is not before the last training line, whichever is later. Data sets of one
    name are logged in turn, and told apart by their keys in the option file.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.ended = False
        self.at_start = False
        self.iteration = 0  # of the last line that names one
        self._start = 0
        self._frequency = _whole(block(options, 'val').get('val_freq'))
        self._total = _whole(block(options, 'train').get('total_iter'))
        self._keys: dict[str, list[str]] = defaultdict(list)
        for key, dataset in validation_sets(options).items():
            self._keys[dataset.get('name', '')].append(key)
        self._seen: Counter[str] = Counter()
        self._last: dict[str, int] = {}

    def start(self, iteration: int) -> None:
        """Training starts after this iteration."""
        self.iteration = iteration
        self._start = iteration

    def validation(self, name: str) -> tuple[str, int]:
        """Data set and iteration of the validation that the log reports now."""
        keys = self._keys[name]
        dataset = f'{name} ({keys[self._seen[name] % len(keys)]})' if len(keys) > 1 else name
        self._seen[name] += 1
        return dataset, self._now(dataset)

    def _now(self, dataset: str) -> int:
        if self.ended:
            return self._total or self.iteration  # BasicSR itself names one beyond total_iter here
        if self.at_start and dataset not in self._last:
            self._last[dataset] = self._start
            return self._start
        if not self._frequency:
            return self.iteration
        last = self._last.get(dataset, self._start // self._frequency * self._frequency)
        self._last[dataset] = max(last + self._frequency, -(-self.iteration // self._frequency) * self._frequency)
        return self._last[dataset]


def _whole(text: str | None) -> int | None:
    try:
        return int(float(text)) if text is not None else None
    except (ValueError, OverflowError):
        return None
