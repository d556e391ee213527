"""Networks of spandrel by name, for option files: ``network_g: {type: NAFNet, width: 32, ...}``.

spandrel (https://github.com/chaiNNer-org/spandrel, 0.4) is imported only where a network of it is asked for. So is
spandrel_extra_arches (0.2), its collection of networks with licences of their own, where that is installed.
"""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

from torch import nn

HOMES = 'spandrel', 'spandrel_extra_arches'
_PREFIX = 'spandrel.'  # before names that BasicSR or this package has too

# See mclir_basicsr.inference.Needs: by class, the size_requirements of spandrel's descriptors. Most networks of windows
# pad to them themselves, but fail where an image is smaller than what is added.
_NEEDS: dict[str, dict[str, int]] = {
    'ATD': {'min_side': 8},
    'CRAFT': {'pad_multiple': 16, 'min_side': 16},
    'DAT': {'min_side': 16},
    'DCTLSA': {'min_side': 16},
    'DITN': {'pad_multiple': 8},
    'DRCT': {'pad_multiple': 16},
    'DRUNet': {'pad_multiple': 8},
    'FFTformer': {'pad_multiple': 32},
    'HAT': {'min_side': 16},
    'HVICIDNet': {'pad_multiple': 8},
    'KBNet_l': {'pad_multiple': 16},
    'M3SNet': {'pad_multiple': 16},
    'MIRNet2': {'pad_multiple': 4},
    'MPRNet': {'pad_multiple': 8},
    'MixDehazeNet': {'min_side': 40},
    'OmniSR': {'min_side': 16},
    'RGT': {'min_side': 16},
    'Restormer': {'pad_multiple': 8},
    'RetinexFormer': {'pad_multiple': 8},
    'SAFMN': {'pad_multiple': 8},
    'SAFMNBCIE': {'pad_multiple': 16},
    'SCUNet': {'min_side': 40},
    'SRFormer': {'min_side': 16},
    'SeemoRe': {'min_side': 16},
    'Swin2SR': {'min_side': 16},
    'SwinIR': {'min_side': 16},
    'Uformer': {'pad_multiple': 128, 'square': True},
    'UpCunet2x': {'min_side': 32},
    'UpCunet2x_fast': {'pad_multiple': 4, 'min_side': 40},
    'UpCunet3x': {'min_side': 32},
    'UpCunet4x': {'min_side': 32},
}


def architecture_names() -> list[str]:
    """Names of spandrel's architectures, read off its folders; empty where spandrel is not installed."""
    return list(_homes())


def _homes() -> dict[str, str]:
    """The package of HOMES that has it, by architecture; spandrel's own before another's of that name."""
    found: dict[str, str] = {}
    for home in reversed(HOMES):
        spec = find_spec(home)
        places = spec.submodule_search_locations or () if spec else ()
        folders = [str(Path(place) / 'architectures') for place in places]
        found |= {module.name: home for module in iter_modules(folders) if not module.name.startswith('_')}
    return found


@cache
def find_architecture(name: str) -> type[nn.Module] | None:
    """The network class of this name in spandrel, e.g. NAFNet, HAT, DAT, Uformer, FFTformer or RealPLKSR.

    Where the network needs sizes that it does not make itself, the class says so as
    :class:`~mclir_basicsr.inference.restore.Needs` has it; it is then a subclass of spandrel's.

    Args:
        name: Name of an architecture (spandrel's id, the name of its package) or of a class of one. With ``spandrel.``
            before it, it is spandrel's also where BasicSR or this package has a network of that name.

    Returns:
        The class, to be called with the network's hyper-parameters as keywords; None where spandrel has no such name.
    """
    name = name.removeprefix(_PREFIX)
    packages = architecture_names()
    for package in [name] if name in packages else packages:
        networks = _networks(package)
        first = next(iter(networks), '') if package == name else ''
        key = name if name in networks else first
        if key:
            return _telling(networks[key], _NEEDS.get(key, {}))
    return None


def _networks(package: str) -> dict[str, type[nn.Module]]:
    """The network classes that a package of spandrel's gives out, by name."""
    module = import_module(f'{_homes()[package]}.architectures.{package}')
    given = {key: getattr(module, key) for key in module.__all__}
    return {key: kind for key, kind in given.items() if isinstance(kind, type) and issubclass(kind, nn.Module)}


def _telling(kind: type[nn.Module], needs: dict[str, int]) -> type[nn.Module]:
    """The class, or a subclass that says what it needs and is the same otherwise."""
    return type(kind.__name__, (kind,), {'__module__': kind.__module__} | needs) if needs else kind
