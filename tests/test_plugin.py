"""Registration: once, all or nothing, in any import order, and never in the way."""

import subprocess
import sys

import pytest
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY
from conftest import run

import mclir_basicsr
from mclir_basicsr import autoload
from mclir_basicsr.errors import MclirError


def test_registering_again_is_harmless():
    before = list(MODEL_REGISTRY), list(LOSS_REGISTRY)
    mclir_basicsr.register()
    mclir_basicsr.register()
    assert (list(MODEL_REGISTRY), list(LOSS_REGISTRY)) == before
    assert MODEL_REGISTRY.get('HistoryModel') is mclir_basicsr.HistoryModel
    assert LOSS_REGISTRY.get('SPNLoss') is mclir_basicsr.SPNLoss


@pytest.mark.parametrize(
    ('first', 'hook'),
    [
        ('from mclir_basicsr import HistoryModel', '0'),
        ('from mclir_basicsr import HistoryModel', '1'),
        ('from mclir_basicsr import SPNLoss, ModelHistory', '1'),
        ('from basicsr.models import build_model', '1'),
    ],
)
def test_any_import_order(first, hook, tmp_path):
    """The fault "already registered" on a second import."""
    code = (
        f'import mclir_basicsr, mclir_basicsr.autoload; mclir_basicsr.autoload.install(); {first}; '
        'mclir_basicsr.register(); from basicsr.utils.registry import MODEL_REGISTRY as m; '
        "print(m.get('HistoryModel') is mclir_basicsr.HistoryModel)"
    )
    result = run(sys.executable, '-W', 'error::UserWarning', '-c', code, cwd=tmp_path, MCLIR_AUTOLOAD=hook)
    assert result.stdout == 'True\n', result.stderr


def test_a_name_held_by_another_package_is_said_and_nothing_is_registered(monkeypatch):
    class SPNLoss:
        pass

    monkeypatch.setitem(LOSS_REGISTRY._obj_map, 'SPNLoss', SPNLoss)
    monkeypatch.delitem(MODEL_REGISTRY._obj_map, 'HistoryModel')
    with pytest.raises(MclirError, match='SPNLoss is already registered with BasicSR by test_plugin'):
        mclir_basicsr.register()
    assert 'HistoryModel' not in MODEL_REGISTRY


@pytest.mark.parametrize('order', ['before', 'after'])
def test_a_network_of_the_users_project_comes_first(monkeypatch, order):
    class FFANet:
        pass

    monkeypatch.setattr(ARCH_REGISTRY, '_obj_map', dict(ARCH_REGISTRY._obj_map))
    if order == 'before':
        del ARCH_REGISTRY._obj_map['FFANet']
    ARCH_REGISTRY.register(FFANet)
    mclir_basicsr.register()
    assert ARCH_REGISTRY.get('FFANet') is FFANet
    with pytest.raises(AssertionError, match='already registered'):  # two of the user's own still clash
        ARCH_REGISTRY.register(FFANet)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        'import os, sys; before = set(sys.modules); import mclir_basicsr.autoload; '
        'print(sorted(set(sys.modules) - before))'
    )
    out = subprocess.check_output([sys.executable, '-S', '-c', code], text=True, cwd=mclir_basicsr.__path__[0] + '/..')
    assert out == "['mclir_basicsr', 'mclir_basicsr.autoload']\n"


def test_names_of_the_package():
    assert set(mclir_basicsr.__all__) <= set(dir(mclir_basicsr))
    with pytest.raises(AttributeError, match="no attribute 'HistroyModel'"):
        _ = mclir_basicsr.HistroyModel


def test_a_failing_registration_is_a_warning_that_names_the_cause(monkeypatch):
    monkeypatch.setattr('mclir_basicsr.plugin.register', lambda: 1 / 0)
    with pytest.warns(
        UserWarning, match='mclir_basicsr is not registered with BasicSR: ZeroDivisionError: division by zero'
    ):
        autoload._safely('after_import')


def test_the_hook_leaves_other_imports_alone():
    finder = autoload._Finder()
    assert finder.find_spec('basicsr.utils') is None
    assert finder.find_spec('json') is None
    spec = finder.find_spec('basicsr')
    assert spec.origin.endswith('__init__.py')
    assert 'SwinIR' in spec.loader.get_source('basicsr') or spec.loader.get_source('basicsr')  # the real loader answers


class Without:
    """As finders were before Python 3.4."""


class Broken:
    def find_spec(self, *_):
        raise RuntimeError('broken')


@pytest.mark.parametrize(('other', 'is_found'), [(Without(), True), (Broken(), False)])
def test_the_hook_never_raises_for_another_finder(monkeypatch, other, is_found):
    monkeypatch.setattr(sys, 'meta_path', [other, *sys.meta_path])
    assert (autoload._Finder().find_spec('basicsr') is not None) == is_found


def test_the_hook_is_installed_once_and_can_be_switched_off(monkeypatch):
    monkeypatch.setattr(sys, 'meta_path', [])
    monkeypatch.setenv('MCLIR_AUTOLOAD', '0')
    autoload.install()
    assert sys.meta_path == []
    monkeypatch.delenv('MCLIR_AUTOLOAD')
    autoload.install()
    autoload.install()
    assert len(sys.meta_path) == 1
