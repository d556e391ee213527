"""The mean gain over seeds and images, with an interval for it.

The model
    A gain is the difference of two runs that share a seed, on one image: ``d[s, i]``, for S seeds and I images, each
    seed with each image (a crossed design). It is read as ``gain + seed effect[s] + image effect[i] + rest[s, i]``.
    Seeds and images are both random: a draw from the seeds that could have been taken, and from the images that the
    data set stands for. The interval speaks of the mean gain over *new seeds and new images of that kind*. So more
    seeds cannot narrow it below what the few images of a small data set leave open. With one figure for each seed (the
    mean of a data set) it is the paired t interval, which speaks of new seeds on *these very images*.

The method
    The mean squares of the two-way table of differences give the variance of the mean, ``(MS_seeds + MS_images -
    MS_rest) / (S I)``, without a negative image component (Searle, Casella, McCulloch: Variance Components, 1992,
    ch. 4). It is the situation of readers and cases in diagnostic imaging, whose degrees of freedom we take (Hillis,
    Statistics in Medicine 26, 2007, after Satterthwaite, Biometrics Bulletin 2, 1946). With three seeds and many
    images the quantile so found is too small, since the degrees of freedom are estimated too; that of Cochran and Cox
    (Experimental Designs, 1957, 4.14), the mean of both components' t quantiles weighted by their variances, is too
    large. Two thirds of the one and a third of the other hold 93 to 97 % over the whole range that occurs
    (``benchmarks/interval_coverage.py``).

Why no bootstrap
    Resampling seeds and images together (the pigeonhole bootstrap of Owen, Annals of Applied Statistics 1, 2007) is
    sound for many of both. Of three seeds there are ten different resamples. Its 95 % interval covers about 80 % then;
    the same benchmark prints it beside ours.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
"""How often an interval is meant to cover the gain."""

MOST_SEEDS = 10_000  # what needs more will not be run
_COCHRAN = 1 / 3  # share of the quantile of Cochran and Cox


@dataclass(frozen=True)
class Interval:
    """A mean gain and where it lies with 95 %.

    Attributes:
        gain: Mean difference to the baseline, in the unit of the metric.
        low: Lower end; minus infinity with one seed, which says nothing about chance.
        high: Upper end; infinity with one seed.
        seeds: How many seeds it is from.
        images: How many images it is from; 1 where there are only means over a data set.
    """

    gain: float
    low: float
    high: float
    seeds: int
    images: int

    @property
    def half_width(self) -> float:
        """Half of the distance from low to high."""
        return (self.high - self.low) / 2

    @property
    def decided(self) -> bool:
        """Zero lies outside."""
        return self.low > 0 or self.high < 0


def interval(differences: np.ndarray, alpha: float = 1 - LEVEL) -> Interval:
    """The mean gain and its interval.

    Args:
        differences: (S, I), or (S,) for one figure a seed: each run's figures minus those of the baseline's run with
            the same seed. Finite.
        alpha: How often the interval may miss, in (0, 1).

    Raises:
        ValueError: There is no difference, or one that is not finite.

    >>> found = interval(np.array([0.03, 0.04, 0.05]))
    >>> f'{found.gain:.3f}, {found.low:.3f} to {found.high:.3f}'
    '0.040, 0.015 to 0.065'
    """
    table = _as_table(differences)
    seeds, images = table.shape
    gain = float(table.mean())
    half = math.inf if seeds == 1 else float(half_width(table, alpha))
    return Interval(gain, gain - half, gain + half, seeds, images)


def half_width(differences: np.ndarray, alpha: float = 1 - LEVEL) -> np.ndarray:
    """Half of the width of the intervals of many studies.

    Args:
        differences: (..., S, I) with S >= 2 and I >= 1; one study for each leading index.
        alpha: How often the interval may miss, in (0, 1).

    Returns:
        (...): in the unit of the differences.
    """
    seeds, images = differences.shape[-2:]
    return _half_width(*_mean_squares(differences), seeds, images, alpha)


def seeds_needed(differences: np.ndarray, width: float, alpha: float = 1 - LEVEL) -> int | None:
    """About how many seeds would bring the half of the interval's width down to ``width``.

    Args:
        differences: As for :func:`interval`, of at least two seeds.
        width: > 0, in the unit of the metric.
        alpha: As for :func:`interval`.

    Returns:
        The number, >= 2; None where even 10,000 seeds would not do, since the images leave more open than that.

    Raises:
        ValueError: One seed, no difference, or one that is not finite.
    """
    numbers = np.arange(2, MOST_SEEDS + 1)
    enough = _expected(_as_table(differences), numbers, alpha) <= width
    return int(numbers[enough.argmax()]) if enough.any() else None


def narrowest(differences: np.ndarray, alpha: float = 1 - LEVEL) -> float:
    """Half of the width that the images leave open, however many seeds there are.

    Args:
        differences: As for :func:`seeds_needed`.
        alpha: As for :func:`interval`.
    """
    return float(_expected(_as_table(differences), np.array([MOST_SEEDS]), alpha)[0])


def _as_table(differences: np.ndarray) -> np.ndarray:
    table = np.asarray(differences, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or not table.size:
        raise ValueError(f'Differences must be (seeds, images) and not empty, but they are of shape {table.shape}.')
    if not np.isfinite(table).all():
        raise ValueError('Differences must be finite.')
    return table


def _mean_squares(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean square of the seeds (...), and that of the images (...) without what chance in the rest adds to it.

    Their sum over S * I is the variance of the mean.
    """
    seeds, images = differences.shape[-2:]
    mean = differences.mean((-2, -1), keepdims=True)
    by_seed = differences.mean(-1, keepdims=True) - mean  # (..., S, 1)
    of_seeds = images * (by_seed**2).sum((-2, -1)) / (seeds - 1)
    if images == 1:
        return of_seeds, np.zeros_like(of_seeds)
    by_image = differences.mean(-2, keepdims=True) - mean  # (..., 1, I)
    of_images = seeds * (by_image**2).sum((-2, -1)) / (images - 1)
    rest = ((differences - mean - by_seed - by_image) ** 2).sum((-2, -1)) / ((seeds - 1) * (images - 1))
    return of_seeds, np.maximum(of_images - rest, 0.0)


def _half_width(
    of_seeds: np.ndarray, of_images: np.ndarray, seeds: int | np.ndarray, images: int, alpha: float
) -> np.ndarray:
    total = of_seeds + of_images
    share = np.divide(of_seeds, total, out=np.ones_like(total), where=total > 0)  # of the seeds, in the variance
    upper = 1 - alpha / 2
    of_few, of_many = stdtrit(seeds - 1.0, upper), stdtrit(max(images - 1.0, 1.0), upper)
    freedom = 1 / (share**2 / (seeds - 1) + (1 - share) ** 2 / max(images - 1, 1))
    quantile = (1 - _COCHRAN) * stdtrit(freedom, upper) + _COCHRAN * (share * of_few + (1 - share) * of_many)
    return quantile * np.sqrt(total / (seeds * images))


def _expected(table: np.ndarray, numbers: np.ndarray, alpha: float) -> np.ndarray:
    """Half of the width that studies of other numbers of seeds would have if their components were those of this."""
    seeds, images = table.shape
    if seeds == 1:
        raise ValueError('One seed says nothing about chance.')
    of_seeds, of_images = _mean_squares(table)
    grown = of_images / seeds * numbers  # each image's mean square grows by the seeds that it averages
    return _half_width(np.broadcast_to(of_seeds, numbers.shape), grown, numbers, images, alpha)
