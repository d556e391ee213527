"""Sections one below the other on one PNG. No pyplot: matplotlib's global state is the user's."""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure, SubFigure

WIDTH = 12.0
"""Width of the image in inches."""


class Section(NamedTuple):
    """A part of the image: its height in inches, and what draws it."""

    height: float
    draw: Callable[[SubFigure], None]


def compose(sections: Sequence[Section]) -> bytes:
    """PNG of at least one section."""
    heights = [section.height for section in sections]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout='constrained')
    parts = figure.subfigures(len(sections), 1, squeeze=False, height_ratios=heights)
    for part, section in zip(parts[:, 0], sections, strict=True):
        section.draw(part)
    png = io.BytesIO()
    figure.savefig(png, format='png', dpi=120, facecolor='white')  # drawn by Agg, whatever the default backend
    return png.getvalue()


def text_section(text: str) -> Section:
    """Text in a fixed-width font, as large as its longest line allows."""
    lines = text.splitlines()
    size = min(9.0, (WIDTH - 0.4) * 72 / (0.61 * max(map(len, lines))))  # a character is 0.6 of the size wide
    height = (len(lines) * 1.3 * size + 20) / 72

    def draw(part: SubFigure) -> None:
        top = 1 - 12 / 72 / height
        part.text(0.015, top, plain(text), va='top', family='monospace', fontsize=size, linespacing=1.3)

    return Section(height, draw)


def plain(text: str) -> str:
    """Text for matplotlib to show as it is: no formulas, and no underscore in front, which hides it from a legend."""
    text = text.replace('$', r'\$')
    return f' {text}' if text.startswith('_') else text
