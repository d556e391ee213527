"""A value in another's place is gone again, however the block ends."""

from types import SimpleNamespace

import pytest

from mclir_basicsr.stand_in import put, stand_in


class Base:
    def method(self):
        return 'method'

    @staticmethod
    def static():
        return 'static'


class Derived(Base):
    pass


@pytest.mark.parametrize('owner', [Base, Derived])
@pytest.mark.parametrize('name', ['method', 'static'])
def test_what_was_there_is_back_also_where_it_was_inherited_or_static(owner, name):
    before = dict(vars(owner))
    with stand_in(owner, name, lambda *_: 'stand-in'):
        assert getattr(owner(), name)() == 'stand-in'
    assert dict(vars(owner)) == before
    assert getattr(owner(), name)() == name


def test_it_is_back_after_an_error():
    owner = SimpleNamespace(value=1)
    with pytest.raises(ZeroDivisionError), stand_in(owner, 'value', 2):
        assert owner.value == 2
        _ = 1 / 0
    assert owner.value == 1


def test_a_name_that_is_not_there_is_refused_and_not_made():
    owner = SimpleNamespace()
    with pytest.raises(AttributeError):
        put(owner, 'valeu', 2)
    assert vars(owner) == {}
