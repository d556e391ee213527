"""Modules that are gone since basicsr 1.4.2 and without which ``import basicsr`` fails."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType


def functional_tensor() -> Callable[[], None] | None:
    """Torchvision 0.17 removed transforms.functional_tensor, which basicsr.data.degradations imports.

    Returns:
        A function that takes it out again; None where nothing was missing.
    """
    name = 'torchvision.transforms.functional_tensor'
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return None
    from torchvision.transforms.functional import rgb_to_grayscale

    module = ModuleType(name, 'The one function of the removed module that BasicSR uses.')
    module.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules[name] = module

    def take_out() -> None:
        if sys.modules.get(name) is module:
            del sys.modules[name]

    return take_out


def distutils() -> Callable[[], None] | None:
    """Python 3.12 removed distutils, whose LooseVersion basicsr.archs.arch_util imports; setuptools has its own.

    Returns:
        A function that does nothing, for an import cannot be taken back; None where nothing was missing.
    """
    if 'distutils' in sys.modules or importlib.util.find_spec('distutils') is not None:
        return None
    importlib.import_module('setuptools')  # puts its distutils in place of the missing one
    return lambda: None


SUPPLIES: tuple[Callable[[], Callable[[], None] | None], ...] = (functional_tensor, distutils)
