"""Whether a map of uncertainty tells where an image is wrong."""

from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

STEPS = 100  # shares of the pixels that are taken away, from none on


class Calibration(NamedTuple):
    """How a map fits the errors of its image.

    Attributes:
        spearman: Rank correlation over the pixels, in [-1, 1]; nan where one of the two is the same everywhere.
        ause: Area under the sparsification error, see :func:`sparsification_error`; 0 is a perfect order.
        ause_random: What a map that knows nothing would have on average.
    """

    spearman: float
    ause: float
    ause_random: float


def calibration(uncertainty: np.ndarray, error: np.ndarray) -> Calibration:
    """Compare a map with the error, pixel by pixel.

    Args:
        uncertainty: (H, W), any unit; only its order counts.
        error: (H, W), at least 0 and somewhere above, e.g. the absolute difference from gt.

    Raises:
        ValueError: They are of different shapes.

    >>> error = np.arange(12.0).reshape(3, 4)
    >>> found = calibration(error**2, error)
    >>> [round(value, 3) for value in found[:2]]
    [1.0, 0.0]
    >>> round(calibration(-error, error).ause, 2) > round(found.ause_random, 2)
    True
    """
    if uncertainty.shape != error.shape:
        raise ValueError(f'uncertainty is {uncertainty.shape}, but error {error.shape}: they must have one shape.')
    constant = np.ptp(uncertainty) == 0 or np.ptp(error) == 0
    rank = float('nan') if constant else float(spearmanr(uncertainty, error, axis=None).statistic)
    best = sparsification(error, error)
    return Calibration(rank, float((sparsification(uncertainty, error) - best).mean()), float((1 - best).mean()))


def sparsification(uncertainty: np.ndarray, error: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """Mean error of what is left where ever more of the most uncertain pixels are taken away.

    Divided by the mean error of all pixels. The mean difference of two such curves, that of a map and that of the error
    itself, is the area under the sparsification error (AUSE): Ilg et al., "Uncertainty Estimates and Multi-Hypotheses
    Networks for Optical Flow", ECCV 2018, section 4.

    Args:
        uncertainty: (H, W).
        error: (H, W), at least 0.
        steps: Shares 0, 1/steps, ... of the pixels that are taken away.

    Returns:
        ``(steps,)``; it begins with 1.

    >>> sparsification(np.array([[3, 1], [2, 0]]), np.array([[4.0, 2.0], [2.0, 0.0]]), steps=4)
    array([1.        , 0.66666667, 0.5       , 0.        ])
    """
    order = np.argsort(uncertainty, axis=None, kind='stable')  # the most certain first
    sums = np.cumsum(error.ravel()[order], dtype=np.float64)
    kept = np.maximum((error.size * (1 - np.arange(steps) / steps)).round().astype(int), 1)
    means = sums[kept - 1] / kept
    return means / means[0] if means[0] > 0 else np.ones(steps)
