"""Validation figures of runs side by side, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mclir_basicsr.report.runs import Run, Series


@dataclass(frozen=True)
class Block:
    """The figures of one data set: a heading and cells for each column; the first column names the run."""

    head: list[str]
    rows: list[list[str]]


def table(runs: Sequence[Run]) -> str:
    """Plain text for the terminal: a block for each data set, with a row for each label.

    Runs that share a label are one row, ``mean ± standard deviation``. The gain is that of the last value over the
    first label's; its deviation is that of the differences, run by run in the order given.

    Args:
        runs: The runs, the baseline first.
    """
    parts = [_lines(block) for block in blocks(runs)]
    return '\n\n'.join('\n'.join(lines) for lines in [*parts, legend(runs)])


def group(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by label, in the order given."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.label, []).append(run)
    return groups


def validation_names(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The metrics of each data set, in the order of their first appearance."""
    names: dict[str, dict[str, None]] = {}
    for run in runs:
        for dataset, metrics in run.validation.items():
            names.setdefault(dataset, {}).update(dict.fromkeys(metrics))
    return {dataset: list(metrics) for dataset, metrics in names.items()}


def blocks(runs: Sequence[Run]) -> list[Block]:
    """The table of each data set."""
    return [_block(group(runs), dataset, metrics) for dataset, metrics in validation_names(runs).items()]


def legend(runs: Sequence[Run]) -> list[str]:
    """Sentences on how to read the table."""
    if not validation_names(runs):
        return ['No validation figures: set val.val_freq and val.metrics in the option files to get some.']
    lines = ['last: at the end of the run. best: the best of all validations, picked on these very images.']
    groups = group(runs)
    if len(groups) > 1:
        lines[0] += f' gain: of last, over {next(iter(groups))}.'
    if any(len(members) > 1 for members in groups.values()):
        lines.append('Rows with n: mean ± standard deviation over n runs (seeds).')
    shown = {metric for metrics in validation_names(runs).values() for metric in metrics}
    if lower := sorted(metric for metric in shown if any(metric in run.lower_is_better for run in runs)):
        lines.append(f'Lower is better: {", ".join(lower)}.')
    return lines


def _block(groups: dict[str, list[Run]], dataset: str, metrics: list[str]) -> Block:
    compared = len(groups) > 1
    head = [dataset, 'iterations']
    for metric in metrics:
        head += [f'last {metric}', *(['gain'] if compared else []), f'best {metric}']
    rows = [[f'{label} (n={len(runs)})' if len(runs) > 1 else label] for label, runs in groups.items()]
    baseline = next(iter(groups.values()))
    for row, runs in zip(rows, groups.values(), strict=True):
        row.append(_iterations(runs, dataset))
        for metric in metrics:
            last = _last(runs, dataset, metric)
            row.append(_mean(last))
            if compared:
                row.append('' if runs is baseline else _gain(last, _last(baseline, dataset, metric)))
            row.append(_best(runs, dataset, metric))
    return Block(head, rows)


def _series(runs: Sequence[Run], dataset: str, metric: str) -> list[Series]:
    found = (run.validation.get(dataset, {}).get(metric) for run in runs)
    return [series for series in found if series]


def _last(runs: Sequence[Run], dataset: str, metric: str) -> np.ndarray:
    return np.array([series[-1][1] for series in _series(runs, dataset, metric)])


def _iterations(runs: Sequence[Run], dataset: str) -> str:
    ends = sorted({series[-1][0] for run in runs for series in run.validation.get(dataset, {}).values()})
    return ' to '.join(f'{end:,}' for end in dict.fromkeys(ends[:1] + ends[-1:])) or '-'


def _best(runs: Sequence[Run], dataset: str, metric: str) -> str:
    lower = any(metric in run.lower_is_better for run in runs)
    best = []
    for series in _series(runs, dataset, metric):
        known = [point for point in series if not np.isnan(point[1])] or series[-1:]
        best.append(min(known, key=lambda point: point[1] if lower else -point[1]))
    text = _mean(np.array([value for _, value in best]))
    return f'{text} @ {best[0][0]:,}' if len(best) == 1 else text


def _gain(values: np.ndarray, baseline: np.ndarray) -> str:
    if not values.size or not baseline.size:
        return '-'
    with np.errstate(invalid='ignore'):
        if values.size == baseline.size:
            return _mean(values - baseline, sign='+')
        return _mean(np.array([values.mean() - baseline.mean()]), sign='+')


def _mean(values: np.ndarray, sign: str = '') -> str:
    if not values.size:
        return '-'
    with np.errstate(invalid='ignore'):
        mean = f'{values.mean():{sign}.4f}'
        return mean if values.size == 1 else f'{mean} ± {values.std(ddof=1):.4f}'


def _lines(block: Block) -> list[str]:
    columns = list(zip(block.head, *block.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in (block.head, *block.rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append('  '.join(cells).rstrip())
    return [lines[0], '-' * max(map(len, lines)), *lines[1:]]
