"""Where subimages lie in an image, and cutting them out."""

from collections.abc import Iterator

import numpy as np

from mclir_basicsr.prepare.source import Window


def starts(length: int, window: Window) -> list[int]:
    """First pixels of the windows along a side of ``length`` pixels; none where it is shorter than a window.

    >>> starts(1356, Window(480, 240))
    [0, 240, 480, 720, 876]
    """
    regular = list(range(0, length - window.size + 1, window.step))
    if regular and length - (regular[-1] + window.size) > window.threshold:
        regular.append(length - window.size)
    return regular


def cut(image: np.ndarray, window: Window) -> Iterator[np.ndarray]:
    """Views of the windows of an image ``(H, W)`` or ``(H, W, C)``, row by row."""
    height, width = image.shape[:2]
    for top in starts(height, window):
        for left in starts(width, window):
            yield image[top : top + window.size, left : left + window.size]
