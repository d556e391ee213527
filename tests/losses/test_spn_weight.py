"""Which λ fits, and what is said of one that does not."""

import math

import pytest

from mclir_basicsr.losses.spn_weight import RATIO, judge, weight_for


def test_the_weight_gives_the_ratio_to_two_digits():
    for per_weight in (1e-3, 0.06, 23.4, 5e4):
        weight = weight_for(RATIO, per_weight)
        assert weight * per_weight == pytest.approx(RATIO, rel=0.05)
        assert float(f'{weight:.1e}') == weight


def test_a_ratio_that_is_too_low_or_too_high_is_told_with_the_way_out():
    low = judge(6e-5, 1e-3)
    assert 'spn_ratio is 6e-05: the SPN term hardly acts' in low
    assert '0.33 would give 0.02' in low
    assert 'spn_opt.balance: 0.02' in low
    assert 'pushes harder than the reconstruction' in judge(1.5, 1e-3)


@pytest.mark.parametrize('ratio', [0, math.nan, math.inf, 0.002, 0.02, 1])
def test_a_ratio_that_fits_or_tells_nothing_gives_no_warning(ratio):
    assert judge(ratio, 1e-3) == ''
