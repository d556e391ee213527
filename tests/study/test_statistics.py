"""Mean gains with intervals."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from mclir_basicsr.study import interval, seeds_needed
from mclir_basicsr.study.statistics import half_width, narrowest

tables = arrays(
    np.float64,
    st.tuples(st.integers(2, 6), st.integers(1, 6)),
    elements=st.floats(-1, 1, allow_nan=False).map(lambda value: round(value, 3)),
)


def ends(table):
    found = interval(table)
    return np.array([found.gain, found.low, found.high])


@pytest.mark.parametrize('seeds', [2, 3, 5, 10])
def test_one_figure_a_seed_gives_the_paired_t_interval(seeds):
    plain, spn = np.random.default_rng(seeds).normal(30, 0.1, (2, seeds))
    expected = stats.ttest_rel(spn, plain).confidence_interval(0.95)
    assert ends(spn - plain) == pytest.approx([np.mean(spn - plain), *expected])
    assert interval(spn - plain).images == 1


def test_without_an_image_effect_it_is_the_paired_t_interval_of_the_seeds():
    by_seed = np.array([0.01, 0.04, 0.02, -0.01])
    table = by_seed[:, None] + np.zeros(7)
    assert ends(table)[1:] == pytest.approx(stats.ttest_1samp(by_seed, 0).confidence_interval(0.95))


def test_without_a_seed_effect_it_is_the_t_interval_of_the_images():
    by_image = np.array([0.01, 0.04, 0.02, -0.01, 0.03])
    table = by_image + np.zeros((3, 1))
    assert ends(table)[1:] == pytest.approx(stats.ttest_1samp(by_image, 0).confidence_interval(0.95))


def test_variances_of_seeds_and_images_add_up():
    """Both effects without a rest: the variance of the mean is the sum, and the quantile lies between the extremes."""
    by_seed, by_image = np.array([0.01, 0.04, 0.02]), np.array([0.01, 0.09, 0.02, -0.01, 0.03])
    table = by_seed[:, None] + by_image
    error = math.sqrt(by_seed.var(ddof=1) / 3 + by_image.var(ddof=1) / 5)
    quantile = half_width(table) / error
    assert stats.t.ppf(0.975, 6) < quantile < stats.t.ppf(0.975, 2)


def test_one_seed_says_nothing_about_chance():
    found = interval(np.array([[0.1, 0.2, 0.3]]))
    assert (found.gain, found.low, found.high) == (pytest.approx(0.2), -math.inf, math.inf)
    assert not found.decided


def test_no_difference_at_all_is_an_interval_of_no_width():
    found = interval(np.zeros((3, 4)))
    assert (found.gain, found.low, found.high, found.decided) == (0, 0, 0, False)


@pytest.mark.parametrize('table', [np.zeros((0, 3)), np.zeros((2, 2, 2)), [[0.0, math.nan], [0.0, 0.0]], [math.inf]])
def test_what_is_no_table_of_finite_differences_is_refused(table):
    with pytest.raises(ValueError, match='must be'):
        interval(np.array(table))


@given(table=tables, shift=st.floats(-10, 10), scale=st.floats(0.1, 10))
def test_interval_moves_with_the_gain_and_grows_with_the_unit(table, shift, scale):
    assert ends(table + shift) == pytest.approx(ends(table) + shift, abs=1e-6)
    assert ends(table * scale) == pytest.approx(ends(table) * scale, abs=1e-9)


@given(table=tables)
def test_exchanging_arm_and_baseline_flips_the_sign(table):
    gain, low, high = ends(table)
    assert ends(-table) == pytest.approx([-gain, -high, -low])


@given(table=tables, data=st.data())
def test_order_of_seeds_and_images_does_not_matter(table, data):
    rows, columns = (data.draw(st.permutations(range(size))) for size in table.shape)
    assert ends(table[rows][:, columns]) == pytest.approx(ends(table), abs=1e-9)


@given(table=tables)
@settings(max_examples=50)
def test_a_wider_interval_for_a_smaller_alpha(table):
    assert (half_width(table, 0.01) >= half_width(table, 0.05)).all()


@given(table=tables)
@settings(max_examples=50, deadline=None)
def test_seeds_needed_for_the_present_width_are_at_most_the_present_ones(table):
    width = float(half_width(table))
    assume(width > 1e-6)
    assert seeds_needed(table, width * 1.000001) <= len(table)


def test_seeds_needed_are_those_of_the_t_interval_where_only_seeds_differ():
    by_seed = np.array([-0.02, 0.0, 0.02])  # standard deviation 0.02
    needed = seeds_needed(by_seed, 0.01)
    widths = {n: stats.t.ppf(0.975, n - 1) * 0.02 / math.sqrt(n) for n in (needed - 1, needed)}
    assert widths[needed] <= 0.01 < widths[needed - 1]


def test_no_number_of_seeds_makes_up_for_few_images():
    table = np.array([-0.1, 0.0, 0.1]) + np.array([[-0.01], [0.0], [0.01]])
    assert seeds_needed(table, 0.1) is None
    assert narrowest(table) == pytest.approx(stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3), rel=0.01)
    with pytest.raises(ValueError, match='One seed'):
        seeds_needed(table[:1], 0.1)


@pytest.mark.parametrize(('seeds', 'images'), [(3, 5), (3, 100), (10, 14)])
def test_intervals_cover_as_often_as_they_say(seeds, images):
    """A small part of benchmarks/interval_coverage.py."""
    rng = np.random.default_rng(7)
    table = (
        0.02 * rng.standard_normal((4000, seeds, 1))
        + 0.05 * rng.standard_normal((4000, 1, images))
        + 0.02 * rng.standard_normal((4000, seeds, images))
    )
    covered = (np.abs(table.mean((1, 2))) <= half_width(table)).mean()
    assert 0.93 <= covered <= 0.97
