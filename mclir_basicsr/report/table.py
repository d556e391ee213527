"""Validation figures of runs side by side, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mclir_basicsr.report.comparison import Comparison, comparisons, group
from mclir_basicsr.report.runs import Run, Series
from mclir_basicsr.study.gains import Gain
from mclir_basicsr.study.verdict import sentence


@dataclass(frozen=True)
class Block:
    """The figures of one data set: a heading and cells for each column; the first column names the run."""

    head: list[str]
    rows: list[list[str]]


def table(runs: Sequence[Run]) -> str:
    """Plain text for the terminal: a block for each data set with a row for each label, then :func:`legend`.

    Runs that share a label are one row, ``mean ± standard deviation``. The gain is that of the last value over the
    first label's, paired by seed, with its 95 % interval (:mod:`mclir_basicsr.study.statistics`). Where the runs are
    not comparable there is none, and the lines below say why.

    Args:
        runs: The runs, the baseline first.
    """
    parts = [_lines(block) for block in blocks(runs)]
    return '\n\n'.join('\n'.join(lines) for lines in [*parts, legend(runs)])


def validation_names(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The metrics of each data set, in the order of their first appearance."""
    names: dict[str, dict[str, None]] = {}
    for run in runs:
        for dataset, metrics in run.validation.items():
            names.setdefault(dataset, {}).update(dict.fromkeys(metrics))
    return {dataset: list(metrics) for dataset, metrics in names.items()}


def blocks(runs: Sequence[Run]) -> list[Block]:
    """The table of each data set."""
    beside = {one.label: one for one in comparisons(runs)}
    return [_block(group(runs), beside, dataset, metrics) for dataset, metrics in validation_names(runs).items()]


def legend(runs: Sequence[Run]) -> list[str]:
    """Sentences on how to read the table, what it says, and what it cannot say."""
    if not validation_names(runs):
        return ['No validation figures: set val.val_freq and val.metrics in the option files to get some.']
    lines = ['last: at the end of the run. best: the best of all validations, picked on these very images.']
    groups, beside = group(runs), comparisons(runs)
    found = [gain for one in beside for gain in one.gains]
    if found:
        lines[0] += f' gain: of last, over {beside[0].baseline}'
        lines[0] += ', with its 95 % interval.' if any(gain.interval.seeds > 1 for gain in found) else '.'
    if any(len(members) > 1 for members in groups.values()):
        lines.append('Rows with n: mean ± standard deviation over n runs (seeds).')
    shown = {metric for metrics in validation_names(runs).values() for metric in metrics}
    if lower := sorted(metric for metric in shown if any(metric in run.lower_is_better for run in runs)):
        lines.append(f'Lower is better: {", ".join(lower)}.')
    return [*lines, *_verdicts(beside)]


def _verdicts(beside: Sequence[Comparison]) -> list[str]:
    lines, left_out = [], dict[str, None]()
    for one in beside:
        if one.obstacles:
            lines.append(f'{one.label} and {one.baseline} are not comparable: {"; ".join(one.obstacles)}.')
        lines += [f'{one.label}: {sentence(gain)}' for gain in one.gains if gain.interval.seeds > 1]
        lines += [f'{one.label}, {what}: no figure of both with one seed that is finite.' for what in one.unpaired]
        left_out |= {f'{one.label}, {gain.dataset}: {text}': None for gain in one.gains for text in gain.left_out}
    gains = [gain.interval for one in beside for gain in one.gains]
    if any(found.seeds == 1 for found in gains):
        lines.append(
            'One seed says nothing about chance: for an interval repeat both runs with other seeds (manual_seed).'
        )
    if any(found.seeds > 1 for found in gains):
        lines.append(_population([found.images for found in gains if found.seeds > 1]))
    return [*lines, *left_out]


def _population(images: list[int]) -> str:
    means = 'these very images, as only their mean is known' if min(images) == 1 else ''
    new = 'other images of the kind' if max(images) > 1 else ''
    return f'Intervals speak of other seeds and of {" or ".join(filter(None, (new, means)))}.'


def _block(groups: dict[str, list[Run]], beside: dict[str, Comparison], dataset: str, metrics: list[str]) -> Block:
    with_gain = [metric for metric in metrics if any(one.gain(dataset, metric) for one in beside.values())]
    head = [dataset, 'iterations']
    for metric in metrics:
        head += [f'last {metric}', *(['gain'] if metric in with_gain else []), f'best {metric}']
    rows = [[f'{label} (n={len(runs)})' if len(runs) > 1 else label] for label, runs in groups.items()]
    for row, (label, runs) in zip(rows, groups.items(), strict=True):
        row.append(_iterations(runs, dataset))
        for metric in metrics:
            row.append(_mean(_last(runs, dataset, metric)))
            if metric in with_gain:
                row.append(_gain(beside[label].gain(dataset, metric)) if label in beside else '')
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


def _gain(gain: Gain | None) -> str:
    if gain is None:
        return '-'
    found = gain.interval
    return f'{found.gain:+.4f}' + (f' ({found.low:.4f} to {found.high:.4f})' if found.seeds > 1 else '')


def _mean(values: np.ndarray) -> str:
    if not values.size:
        return '-'
    with np.errstate(invalid='ignore'):
        return f'{values.mean():.4f}' if values.size == 1 else f'{values.mean():.4f} ± {values.std(ddof=1):.4f}'


def _lines(block: Block) -> list[str]:
    columns = list(zip(block.head, *block.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in (block.head, *block.rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append('  '.join(cells).rstrip())
    return [lines[0], '-' * max(map(len, lines)), *lines[1:]]
