"""Pictures side by side."""

from collections.abc import Callable, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from mclir_basicsr.report.layout import WIDTH, Section, plain
from mclir_basicsr.report.pictures import Picture, psnr, telling_patch

_FACTORS = (1, 2, 5, 10, 20, 50, 100)


def picture_section(pictures: Sequence[Picture]) -> Section:
    """A row for each picture: a patch of lq, of each result, of gt, and of how the last result differs from the first.

    Args:
        pictures: At least one; all with results of the same labels. Of each, :func:`telling_patch` is shown.
    """
    patches = [telling_patch(picture) for picture in pictures]
    columns = _columns(patches)
    side = WIDTH / max(len(columns), 4)

    def draw(part: SubFigure) -> None:
        part.suptitle(plain(_caption(patches)), fontsize=9)
        axes = part.subplots(len(patches), len(columns), squeeze=False)
        for row, patch in zip(axes, patches, strict=True):
            row[0].set_ylabel(plain(fill(patch.name, int(side * 9))), fontsize=9)
            for axis, (title, get) in zip(row, columns.items(), strict=True):
                _show(axis, get(patch))
                if patch.gt is not None and title in patch.results:
                    axis.set_xlabel(f'{psnr(patch.results[title], patch.gt):.2f} dB', fontsize=9)

        for axis, title in zip(axes[0], columns, strict=True):
            axis.set_title(plain(fill(title, int(side * 9))), fontsize=10)

    return Section(0.8 + (side + 0.1) * len(patches), draw)


def _columns(patches: Sequence[Picture]) -> dict[str, Callable[[Picture], np.ndarray | None]]:
    """What each column shows of a patch, by its title."""
    labels = list(patches[0].results)
    columns: dict[str, Callable[[Picture], np.ndarray | None]] = {}
    if any(patch.lq is not None for patch in patches):
        columns['lq'] = lambda patch: patch.lq
    for label in labels:
        columns[label] = lambda patch, label=label: patch.results[label]  # type: ignore[misc]
    if any(patch.gt is not None for patch in patches):
        columns['gt'] = lambda patch: patch.gt
    if len(labels) > 1:
        factor = _factor(patches)
        columns[f'|{labels[-1]} - {labels[0]}| x {factor}'] = lambda patch: patch.difference() * factor
    return columns


def _factor(patches: Sequence[Picture]) -> int:
    """The largest round factor that keeps all but the strongest differences within the grey scale."""
    strong = max(float(np.percentile(patch.difference(), 99.5)) for patch in patches)
    return max((factor for factor in _FACTORS if 0 < strong * factor <= 255), default=1)


def _caption(patches: Sequence[Picture]) -> str:
    labels = list(patches[0].results)
    side = min(patches[0].size)
    where = f'{labels[-1]} and {labels[0]} differ most' if len(labels) > 1 else 'there is most detail'
    caption = f'Of each image the square of {side} pixels where {where}.'
    if any(patch.gt is not None for patch in patches):
        caption += ' PSNR: of this square, RGB.'
    return caption


def _show(axis: Axes, image: np.ndarray | None) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.set_aspect('equal')
    if image is not None:
        axis.imshow(image, cmap='gray', vmin=0, vmax=255, interpolation='nearest')
