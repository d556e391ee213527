"""Intervals that stay honest when they are looked at seed by seed."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import stdtr

from mclir_basicsr.study.statistics import LEVEL

_PATHS = 400_000  # the levels then hold to about 1 % of their size
_POWER = 2.0


@dataclass(frozen=True)
class Looks:
    """The plan of a study that looks at its interval after each seed and may stop whenever it likes.

    Who looks at a 95 % interval after each seed and stops when it pleases is wrong far more often than in 5 % of the
    studies. So the 5 % are spent over the planned looks (Lan and DeMets, Biometrika 70, 1983): up to seed n the share
    ``(n / last) ** 2`` (the power family of Kim and DeMets, Biometrika 74, 1987), little at first, where three seeds
    hardly say anything. The intervals at all looks together then cover the gain with 95 % (the repeated confidence
    intervals of Jennison and Turnbull, JRSS B 51, 1989), so any rule for stopping is allowed: width, sign, patience.

    A confidence sequence without a last look needs no such plan. It is wider at every number of seeds that one can
    afford, and a study has a last seed in any case (``--max-seeds``). That number belongs to the plan: who raises it
    after looking has no 95 % any more.

    The levels are those of t statistics of few seeds, not of their limit for many: they are found from 400,000
    simulated sequences, the same ones each time.

    Attributes:
        first: Number of seeds at the first look, >= 2.
        last: Number of seeds at the last look, >= first.

    Raises:
        ValueError: Other numbers.

    >>> plan = Looks(3, 10)
    >>> plan.alpha(3) < plan.alpha(10) < 0.05
    True
    """

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 2 <= self.first <= self.last:
            raise ValueError(f'Looks must begin at 2 seeds or more and not end before, but are {self}.')

    def alpha(self, seeds: int) -> float:
        """How often the interval at this look may miss, for :func:`~mclir_basicsr.study.statistics.interval`.

        Args:
            seeds: Number of seeds, from first to last.

        Raises:
            ValueError: There is no such look.
        """
        if not self.first <= seeds <= self.last:
            raise ValueError(f'The plan has looks at {self.first} to {self.last} seeds, none at {seeds}.')
        return _levels(self.first, self.last)[seeds - self.first]


@lru_cache(maxsize=8)
def _levels(first: int, last: int) -> tuple[float, ...]:
    """The two-sided level of each look, such that the share of sequences that ever fell below is as planned."""
    rng = np.random.default_rng(0)
    total, squares, gone = np.zeros(_PATHS), np.zeros(_PATHS), np.zeros(_PATHS, dtype=bool)
    levels = []
    for seeds in range(1, last + 1):
        value = rng.standard_normal(_PATHS)
        total += value
        squares += value**2
        if seeds < first:
            continue
        variance = (squares - total**2 / seeds) / (seeds - 1)
        p_value = 2 * stdtr(seeds - 1, -np.abs(total) / np.sqrt(seeds * variance))
        p_value[gone] = 1.0
        may_go = int((1 - LEVEL) * (seeds / last) ** _POWER * _PATHS) - int(gone.sum())
        levels.append(float(np.partition(p_value, may_go)[may_go]))
        gone |= p_value < levels[-1]
    return tuple(levels)
