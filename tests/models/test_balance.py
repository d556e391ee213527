"""λ follows what was measured."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.models.balance import Balance
from mclir_basicsr.models.lazy import Lazy


@given(st.floats(1e-3, 10), st.floats(1e-6, 1e3))
def test_a_constant_ratio_is_met_at_once_and_kept(ratio, per_weight):
    balance = Balance(ratio, 1e-3)
    for _ in range(5):
        balance.measured(per_weight * balance.weight)
        assert per_weight * balance.weight == pytest.approx(ratio)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=30))
def test_one_measurement_moves_the_weight_little(per_weight):
    balance, weights = Balance(0.1, 1e-3), []
    for value in per_weight:
        balance.measured(value * balance.weight)
        weights.append(balance.weight)
    for before, after in pairwise(weights):
        assert abs(math.log(after / before)) <= 0.2 * math.log(2) + 1e-9


def test_a_change_of_the_ratio_is_followed():
    balance = Balance(0.1, 1e-3)
    for per_weight in [10.0] * 5 + [30.0] * 60:
        balance.measured(per_weight * balance.weight)
    assert 30 * balance.weight == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize('ratio', [0.0, math.nan, math.inf])
def test_what_tells_nothing_changes_nothing(ratio):
    balance = Balance(0.1, 1e-3)
    balance.measured(ratio)
    assert balance.weight == 1e-3
    assert balance.is_due(7, Lazy(1, 1))
    balance.measured(1.0)
    assert not balance.is_due(7, Lazy(1, 1))
    assert balance.is_due(100, Lazy(1, 1))


def test_a_resumed_balance_goes_on():
    first, second = Balance(0.1, 1e-3), Balance(0.1, 1e-3)
    first.measured(3.0)
    second.load_state_dict(first.state_dict())
    for balance in (first, second):
        balance.measured(5.0)
    assert first.weight == second.weight
