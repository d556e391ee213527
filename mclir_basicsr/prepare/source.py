"""What is to be written: one image of a data set, whole or cut into subimages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Subimages of one size, as BasicSR's preparation scripts cut them.

    Along a side of length L windows start at 0, step, 2 step, ... while they fit, and once more at L - size where more
    than ``threshold`` pixels would be left. Numbered row by row from 1: ``<key>_s001``.

    Attributes:
        size: Side in pixels.
        step: Distance of neighbours in pixels.
        threshold: Pixels that may be left over at the end of a side.
    """

    size: int
    step: int
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """One image file and what becomes of it.

    Attributes:
        key: Name in the database or folder, without ending: ASCII, no dots.
        path: The image file.
        window: Cut into subimages; None writes the whole image, in its original bytes where nothing else changes it.
        modcrop: Cut at the bottom and the right to a multiple of this first (1: not at all).
        reduce: Then reduce by this whole factor as MATLAB's imresize does (1: not at all).
    """

    key: str
    path: str
    window: Window | None = None
    modcrop: int = 1
    reduce: int = 1
