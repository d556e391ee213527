"""Attributes that are others for a while."""

from types import SimpleNamespace

import pytest

from mclir_basicsr.stand_in import stand_in


def test_what_stood_in_goes_also_behind_an_error():
    owner = SimpleNamespace(a=1, b=2)
    with pytest.raises(ZeroDivisionError), stand_in(owner, a=3, b=4):
        assert (owner.a, owner.b) == (3, 4)
        _ = 1 / 0
    assert (owner.a, owner.b) == (1, 2)


def test_an_attribute_that_is_not_there_changes_nothing():
    owner = SimpleNamespace(a=1)
    with pytest.raises(AttributeError, match='c'), stand_in(owner, a=3, c=4):
        pass
    assert owner.a == 1
