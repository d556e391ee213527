"""The off-line tool starts in a moment: it loads neither torch nor BasicSR."""

import pkgutil
import sys

from conftest import run

import mclir_basicsr.prepare


def test_no_module_of_prepare_loads_torch_or_basicsr(tmp_path):
    modules = [
        f'mclir_basicsr.prepare.{module.name}' for module in pkgutil.iter_modules(mclir_basicsr.prepare.__path__)
    ]
    assert len(modules) > 20
    code = f"""
import importlib, sys
for name in ['mclir_basicsr.prepare', *{modules}]:
    importlib.import_module(name)
    heavy = {{'torch', 'torchvision', 'basicsr', 'scipy', 'matplotlib'}} & set(sys.modules)
    assert not heavy, (name, heavy)
"""
    result = run(sys.executable, '-c', code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
