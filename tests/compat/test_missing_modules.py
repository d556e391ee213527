"""Modules that are gone since basicsr 1.4.2."""

import sys
import types
from pathlib import Path

import torch
from conftest import run

import mclir_basicsr
from mclir_basicsr.compat import missing_modules


def test_functional_tensor_of_torchvision_0_17(monkeypatch):
    name = 'torchvision.transforms.functional_tensor'
    monkeypatch.delitem(sys.modules, name, raising=False)
    missing_modules.functional_tensor()
    from torchvision.transforms.functional_tensor import rgb_to_grayscale

    image = torch.rand(3, 4, 4)
    expected = 0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2]  # ITU-R 601-2, as torchvision documents it
    torch.testing.assert_close(rgb_to_grayscale(image)[0], expected, rtol=1e-3, atol=1e-3)
    present = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, present)
    missing_modules.functional_tensor()
    assert sys.modules[name] is present, 'an older torchvision has its own module: leave it'


def test_distutils_of_python_3_12(tmp_path):
    """In a Python of its own, whose distutils is hidden as 3.12 has none."""
    code = (
        'import sys, importlib.util as util\n'
        'for name in [name for name in sys.modules if name.split(".")[0] in ("distutils", "_distutils_hack")]:\n'
        '    del sys.modules[name]\n'
        'find = util.find_spec\n'
        'util.find_spec = lambda name, *rest: None if name == "distutils" else find(name, *rest)\n'
        'from mclir_basicsr.compat import missing_modules\n'
        'made = missing_modules.distutils()\n'
        'from distutils.version import LooseVersion\n'
        'print(LooseVersion("1.10") > LooseVersion("1.9"), LooseVersion.__module__, made is not None)\n'
    )
    environment = {'PYTHONPATH': str(Path(mclir_basicsr.__file__).parents[1])}
    result = run(sys.executable, '-c', code, cwd=tmp_path, MCLIR_AUTOLOAD='0', **environment)
    assert result.stdout.split()[::2] == ['True', 'True'], result.stderr
