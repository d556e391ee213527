"""Bicubic reduction as MATLAB's imresize does it, from which the published low-resolution images come."""

from functools import cache

import cv2
import numpy as np

from mclir_basicsr.errors import MclirError

_STRIP = 2**22  # values reduced at once: their sums take four times the memory, and a large image has 10^9


def reduce(image: np.ndarray, scale: int) -> np.ndarray:
    """Reduce an 8-bit image by a whole factor as ``imresize(image, 1 / scale)`` of MATLAB does, with antialiasing.

    The kernel is the cubic one of Keys (Cubic convolution interpolation for digital image processing, 1981, a = -0.5),
    stretched by ``scale``. Rows are reduced first, rounded to 8 bits (half up) and clipped, then columns. Beyond the
    border the outermost pixel is repeated. The published images of Set5, Set14 and BSD100 come out bit for bit.
    BasicSR's ``matlab_functions.imresize`` differs from them: it rounds once, at the end, and mirrors at the border,
    which is a level here and there inside and up to a dozen in the two outermost rows.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, uint8.
        scale: At least 1, at most 16.

    Returns:
        ``(ceil(H / scale), ceil(W / scale))``, and C where the image has it, uint8.

    Raises:
        MclirError: ``image`` is not of 8 bits, or ``scale`` is out of range.

    >>> reduce(np.full((7, 9, 3), 200, np.uint8), 2).shape
    (4, 5, 3)
    """
    if image.dtype != np.uint8:
        raise MclirError(f'Only 8-bit images can be reduced, but this one is {image.dtype}.')
    if not 1 <= scale <= 16:
        raise MclirError(f'The scale of a reduction must lie in 1 to 16, but is {scale}.')
    # cv2.transpose is many times as fast on pixels of 3 bytes as numpy, and drops a last axis of 1
    by_rows = cv2.transpose(_reduce_rows(image, scale))
    return cv2.transpose(_reduce_rows(by_rows, scale)).reshape(-1, -(-image.shape[1] // scale), *image.shape[2:])


def _reduce_rows(image: np.ndarray, scale: int) -> np.ndarray:
    """Reduce the number of rows only: ``(H, ...)`` to ``(ceil(H / scale), ...)``."""
    reduced = np.empty((-(-len(image) // scale), *image.shape[1:]), np.uint8)
    strip = max(_STRIP // max(reduced[:1].size, 1), 1)
    for first in range(0, len(reduced), strip):
        _reduce_strip(image, scale, first, reduced[first : first + strip])
    return reduced


def _reduce_strip(image: np.ndarray, scale: int, first: int, reduced: np.ndarray) -> None:
    """Fill ``reduced`` with the reduced rows from ``first`` on."""
    weights = _weights(scale)
    tops = np.arange(first, first + len(reduced)) * scale - (len(weights) - scale) // 2
    total = np.zeros(reduced.shape, np.int32)
    for tap, weight in enumerate(weights):
        rows = np.clip(tops + tap, 0, len(image) - 1)
        total += weight * image[rows].astype(np.int32)
    whole = sum(weights)
    reduced[...] = np.clip((total + whole // 2) // whole, 0, 255)


@cache
def _weights(scale: int) -> list[int]:
    """Kernel at the taps of one output pixel, times a common factor that makes whole numbers of them.

    Whole, since sums that end in exactly one half must not be left to float rounding.
    """
    unit = 2 * scale  # distances are multiples of half an input pixel; the kernel's unit is scale input pixels
    odd = scale % 2
    distances = range(-4 * scale + 1 + odd, 4 * scale, 2)
    return [_kernel(abs(distance), unit) for distance in distances]


def _kernel(distance: int, unit: int) -> int:
    """Cubic kernel at ``distance / unit``, in [0, 2), times ``2 unit^3``."""
    if distance <= unit:
        return 3 * distance**3 - 5 * distance**2 * unit + 2 * unit**3
    return -(distance**3) + 5 * distance**2 * unit - 8 * distance * unit**2 + 4 * unit**3
