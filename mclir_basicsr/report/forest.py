"""Gains with their intervals, one below the other."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from mclir_basicsr.report.layout import Section, plain
from mclir_basicsr.study.gains import Gain

_ROW, _FRAME = 0.3, 0.95  # inches: for an arm, and for the title and axis of a panel


def forest_section(
    columns: Mapping[str, Sequence[Gain]], word: Callable[[Gain], str], colors: Mapping[str, str]
) -> Section:
    """A forest plot: a point with its interval for each gain, a line at zero, and the verdict in a word.

    Args:
        columns: Gains by what they are over, e.g. "plain"; a column of panels each, a panel for each data set and
            metric. At least one gain.
        word: The verdict.
        colors: By arm.
    """
    rows = list(dict.fromkeys((one.dataset, one.metric) for gains in columns.values() for one in gains))
    panels = [
        [[one for one in gains if (one.dataset, one.metric) == row] for gains in columns.values()] for row in rows
    ]
    heights = [_FRAME + _ROW * max(map(len, panel)) for panel in panels]

    def draw(part: SubFigure) -> None:
        axes = part.subplots(len(rows), len(columns), squeeze=False, height_ratios=heights)
        for line, row, panel in zip(axes, rows, panels, strict=True):
            for axis, over, gains in zip(line, columns, panel, strict=True):
                axis.set_title(plain(f'{row[0]}: {row[1]}, gain over {over}'), fontsize=10)
                _panel(axis, gains, word, colors)

    return Section(sum(heights), draw)


def _panel(axis: Axes, gains: Sequence[Gain], word: Callable[[Gain], str], colors: Mapping[str, str]) -> None:
    axis.axvline(0, color='#888888', linewidth=1)
    for y, one in enumerate(gains):
        found, color = one.interval, colors[one.arm]
        if np.isfinite(found.half_width):
            axis.plot([found.low, found.high], [y, y], color=color, linewidth=2, solid_capstyle='butt')
            axis.plot([found.low, found.high], [y, y], '|', color=color, markersize=8, markeredgewidth=2)
        axis.plot(found.gain, y, 'o', color=color, markersize=6)
    axis.set_ylim(len(gains) - 0.5, -0.5)
    axis.set_yticks(range(len(gains)), [plain(one.arm) for one in gains], fontsize=9)
    axis.margins(x=0.08)
    axis.tick_params(axis='x', labelsize=8)
    axis.tick_params(axis='y', length=0)
    axis.ticklabel_format(axis='x', useOffset=False)
    axis.grid(axis='x', color='#e5e5e5')
    axis.set_axisbelow(True)
    axis.spines[['top', 'right', 'left']].set_visible(False)
    beside = axis.twinx()
    beside.set_ylim(axis.get_ylim())
    beside.set_yticks(range(len(gains)), [word(one) for one in gains], fontsize=9)
    beside.tick_params(axis='y', length=0)
    beside.spines[:].set_visible(False)
