"""The start-up hook serves BasicSR, and leaves any other package of that name as it is, in silence."""

import shutil
import sys
from pathlib import Path

import basicsr
import pytest
from conftest import run

import mclir_basicsr
from mclir_basicsr.errors import MclirError
from mclir_basicsr.served import RELEASE, is_served

STOCK = Path(basicsr.__file__).parent
# Registry of BasicSR 1.3.2, which CodeFormer, NAFNet and DAT carry: its functions take no suffix.
OLD_REGISTRY = """
class Registry():
    def __init__(self, name):
        self._name, self._obj_map = name, {}
    def _do_register(self, name, obj):
        assert name not in self._obj_map
        self._obj_map[name] = obj
    def get(self, name):
        return self._obj_map[name]
MODEL_REGISTRY = Registry('model')
"""


def copy_of_basicsr(folder):
    return shutil.copytree(STOCK, folder / 'basicsr', ignore=shutil.ignore_patterns('__pycache__'))


def old(folder):
    home = copy_of_basicsr(folder)
    (home / 'utils' / 'registry.py').write_text(OLD_REGISTRY)
    (home / '__init__.py').write_text('')


def of_our_version_in_parts(folder):
    home = copy_of_basicsr(folder)
    shutil.rmtree(home / 'data')
    (home / 'train.py').unlink()
    (home / '__init__.py').write_text('')


def foreign(folder):
    (folder / 'basicsr').mkdir()
    (folder / 'basicsr' / '__init__.py').write_text('')


def bare_folder(folder):
    (folder / 'basicsr').mkdir()


def one_file(folder):
    (folder / 'basicsr.py').write_text('')


CODE = """
import importlib.util, sys
from mclir_basicsr import autoload
autoload.install()
import basicsr
print(sorted({'torch', 'torchvision', 'mclir_basicsr.plugin', 'mclir_basicsr.compat'} & set(sys.modules)))
"""


@pytest.mark.parametrize('make', [old, of_our_version_in_parts, foreign, bare_folder, one_file])
@pytest.mark.parametrize('flags', [(), ('-W', 'error')], ids=['', '-W error'])
def test_a_foreign_old_or_partial_basicsr_is_left_alone_in_silence(make, flags, tmp_path):
    make(tmp_path)
    ours = tmp_path / 'ours'  # alone: beside it, where it is installed, lies the basicsr that serves
    ours.mkdir()
    (ours / 'mclir_basicsr').symlink_to(Path(mclir_basicsr.__file__).parent)
    path = f'{tmp_path}:{ours}'
    # -S: site-packages, and the basicsr in it, does not stand in for the bare folder
    result = run(sys.executable, '-S', *flags, '-c', CODE, cwd=tmp_path, PYTHONPATH=path)
    assert (result.returncode, result.stdout, result.stderr) == (0, '[]\n', '')


def test_the_basicsr_that_is_installed_is_served():
    assert is_served(basicsr.__path__)


@pytest.mark.parametrize('path', [None, [], [3], ['gone'], basicsr.utils.__path__])
def test_a_path_of_any_kind_is_no_error(path):
    assert not is_served(path)


def test_register_refuses_an_old_basicsr_and_names_it(monkeypatch, tmp_path):
    old(tmp_path)
    monkeypatch.setattr(basicsr, '__path__', [str(tmp_path / 'basicsr')])
    with pytest.raises(MclirError, match=rf'{tmp_path}/basicsr is not BasicSR 1\.4\.2 .*pip install {RELEASE}'):
        mclir_basicsr.register()


FAILING = """
from mclir_basicsr import autoload, plugin
autoload.install()
def register():
    raise OSError('injected')
plugin.register = register
import warnings
filters = list(warnings.filters)
import basicsr
print(basicsr.__version__, filters[0][0])
"""


def test_a_failing_registration_stops_nothing_where_warnings_are_errors(tmp_path):
    flags = ('-W', 'error', '-W', 'ignore::DeprecationWarning')  # of basicsr's own imports
    result = run(sys.executable, *flags, '-c', FAILING, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, f'{basicsr.__version__} ignore\n'), result.stderr[-3000:]
    assert 'mclir_basicsr is not registered with BasicSR: OSError: injected' in result.stderr
