"""Intervals under looking seed by seed."""

import numpy as np
import pytest
from scipy import stats

from mclir_basicsr.study import Looks
from mclir_basicsr.study.statistics import half_width


def test_a_single_look_spends_all():
    assert Looks(5, 5).alpha(5) == pytest.approx(0.05, rel=0.02)


def test_looking_costs_and_spends_little_at_first():
    levels = [Looks(3, 10).alpha(n) for n in range(3, 11)]
    assert levels[0] == pytest.approx(0.05 * 0.3**2, rel=0.05)
    assert levels[-1] < 0.05
    assert levels[1:] == sorted(levels[1:])


def test_levels_are_the_same_each_time():
    from mclir_basicsr.study.looks import _levels

    assert _levels.__wrapped__(3, 6) == _levels.__wrapped__(3, 6)


def test_stopping_at_the_first_interval_without_zero_misses_in_five_percent():
    """While intervals of 95 % at each look, so stopped, miss about three times as often."""
    plan, rng = Looks(3, 10), np.random.default_rng(3)
    tables = rng.standard_normal((20_000, 10, 1))

    def missed(alpha):
        looks = [np.abs(tables[:, :n].mean((1, 2))) > half_width(tables[:, :n], alpha(n)) for n in range(3, 11)]
        return np.any(looks, axis=0).mean()

    assert missed(plan.alpha) == pytest.approx(0.05, abs=0.006)
    assert missed(lambda n: 0.05) > 0.12


def test_a_look_that_was_not_planned_is_refused():
    with pytest.raises(ValueError, match='looks at 3 to 10 seeds, none at 11'):
        Looks(3, 10).alpha(11)
    for first, last in ((1, 5), (4, 3)):
        with pytest.raises(ValueError, match='at 2 seeds or more'):
            Looks(first, last)


def test_one_look_at_three_seeds_is_about_the_t_interval():
    table = np.array([[0.01], [0.02], [0.04]])
    plain = stats.t.ppf(0.975, 2) * table.std(ddof=1) / 3**0.5
    assert half_width(table, Looks(3, 3).alpha(3)) == pytest.approx(plain, rel=0.02)
