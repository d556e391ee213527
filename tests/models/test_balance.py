"""λ follows what was measured."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.models.balance import EVERY, Balance


@given(st.floats(1e-3, 10), st.floats(1e-6, 1e3))
def test_a_constant_ratio_is_met_at_once_and_kept(ratio, per_weight):
    balance, weight = Balance(ratio), 1e-3
    for _ in range(5):
        weight = balance.weight(per_weight * weight, weight)
        assert per_weight * weight == pytest.approx(ratio)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=30))
def test_one_measurement_moves_the_weight_little(measurements):
    balance = Balance(0.1)
    weights = [balance.weight(value, 1.0) for value in measurements]
    for before, after in pairwise(weights):
        assert abs(math.log(after / before)) <= 0.2 * math.log(2) + 1e-9


def test_a_change_of_the_ratio_is_followed():
    balance, weight = Balance(0.1), 1e-3
    for per_weight in [10.0] * 5 + [30.0] * 60:
        weight = balance.weight(per_weight * weight, weight)
    assert 30 * weight == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize('measured', [0.0, math.nan, math.inf])
def test_what_tells_nothing_changes_nothing(measured):
    balance = Balance(0.1)
    assert balance.weight(measured, 1e-3) == 1e-3
    assert balance.is_due(7)
    balance.weight(1.0, 1e-3)
    assert not balance.is_due(7)
    assert balance.is_due(2 * EVERY)


def test_a_resumed_balance_goes_on():
    first, second = Balance(0.1), Balance(0.1)
    first.weight(3.0, 1e-3)
    second.load_state_dict(first.state_dict())
    assert first.weight(5.0, 1e-3) == second.weight(5.0, 1e-3)
