"""Curves of validation figures and training values."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from mclir_basicsr.report.comparison import group
from mclir_basicsr.report.layout import Section, plain
from mclir_basicsr.report.runs import Run, Series
from mclir_basicsr.report.table import validation_names

Curves = dict[str, list[Series]]
"""The series of each label's runs."""

# Told apart by the colour-blind too (Okabe and Ito).
_COLORS = ('#555555', '#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
_TRAINING = {
    'l_pix': 'l_pix: reconstruction loss',
    'spn_dist': 'spn_dist: distance to the negatives',
    'spn_ratio': 'spn_ratio: gradient norm, SPN / rest',
}


def curve_sections(runs: Sequence[Run]) -> list[Section]:
    """A section with the validation figures and one with the training values; none where there are no values.

    Runs with the same label are one curve: their mean over the iterations that all of them have, with a band of one
    standard deviation. Training values are smoothed by a running mean over a twentieth of them first.
    """
    groups = group(runs)

    def collect(get: Callable[[Run], Series | None]) -> Curves:
        found = {label: [series for run in members if (series := get(run))] for label, members in groups.items()}
        return {label: series for label, series in found.items() if series}

    validation = {
        f'{dataset}: {metric}': collect(lambda run, d=dataset, m=metric: run.validation.get(d, {}).get(m))  # type: ignore[misc]
        for dataset, metrics in validation_names(runs).items()
        for metric in metrics
    }
    training = {
        title: collect(lambda run, n=name: run.training.get(n))  # type: ignore[misc]
        for name, title in _TRAINING.items()
        if any(name in run.training for run in runs)
    }
    colors = palette(groups)
    sections = [_section(plots, colors, smooth=plots is training) for plots in (validation, training) if plots]
    return [_legend(colors), *sections] if sections else []


def palette(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label."""
    return {label: _COLORS[i % len(_COLORS)] for i, label in enumerate(labels)}


def _legend(colors: dict[str, str]) -> Section:
    lines = [Line2D([], [], color=color, linewidth=3) for color in colors.values()]
    columns = max(1, 120 // (8 + max(map(len, colors))))

    def draw(part: SubFigure) -> None:
        part.legend(lines, [plain(label) for label in colors], loc='center', ncols=columns, frameon=False)

    return Section(0.1 + 0.25 * -(-len(colors) // columns), draw)


def _section(plots: dict[str, Curves], colors: dict[str, str], smooth: bool) -> Section:
    columns = 2 if len(plots) == 4 else min(len(plots), 3)
    rows = -(-len(plots) // columns)

    def draw(part: SubFigure) -> None:
        axes = part.subplots(rows, columns, squeeze=False).flat
        for axis, (title, curves) in zip(axes, plots.items(), strict=False):
            _decorate(axis, title)
            for label, series in curves.items():
                _plot(axis, series, colors[label], smooth)
        for axis in axes[len(plots) :]:
            axis.set_visible(False)

    return Section(2.5 * rows, draw)


def _decorate(axis: Axes, title: str) -> None:
    axis.set_title(plain(title), fontsize=10)
    axis.set_xlabel('iteration', fontsize=8)
    axis.xaxis.set_major_formatter(EngFormatter(sep=''))
    axis.tick_params(labelsize=8)
    axis.ticklabel_format(axis='y', useOffset=False)
    axis.grid(color='#e5e5e5')
    axis.spines[['top', 'right']].set_visible(False)


def _plot(axis: Axes, runs: list[Series], color: str, smooth: bool) -> None:
    common = sorted(set.intersection(*({iteration for iteration, _ in series} for series in runs)))
    values = np.array([[dict(series)[iteration] for iteration in common] for series in runs])
    steps, values = np.array(common), np.where(np.isfinite(values), values, np.nan)
    if smooth:
        axis.plot(steps, values.mean(axis=0), color=color, linewidth=0.8, alpha=0.25)
        steps, values = _running_mean(steps, values)
    mean = values.mean(axis=0)
    if len(runs) > 1:
        spread = values.std(axis=0, ddof=1)
        axis.fill_between(steps, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
    marker = 'o' if len(mean) <= 30 else ''
    axis.plot(steps, mean, color=color, linewidth=1.6, marker=marker, markersize=3.5)


def _running_mean(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of a twentieth of the steps (T,) and of each run's values (R, T), where those of all runs are finite."""
    finite = np.isfinite(values).all(axis=0)
    width = max(1, finite.sum() // 20)
    steps, values = steps[finite], values[:, finite]
    if not len(steps):
        return steps, values
    kernel = np.ones(width) / width
    smoothed = [np.convolve(series, kernel, mode='valid') for series in (steps, *values)]
    return smoothed[0], np.array(smoothed[1:])
