"""Networks of spandrel by name, for option files: ``network_g: {type: NAFNet, width: 32, ...}``."""

from importlib import import_module
from importlib.util import find_spec

from torch import nn


def find_architecture(name: str) -> type[nn.Module] | None:
    """The network class of the spandrel architecture of this name, e.g. NAFNet, HAT, DAT, Uformer or FFTformer.

    spandrel (https://github.com/chaiNNer-org/spandrel, 0.4) is imported only here.

    Args:
        name: Name of the architecture (spandrel's id), which is that of its package.

    Returns:
        The class, to be called with the network's hyper-parameters as keywords; None where spandrel has no such name.
    """
    if not name.isidentifier() or name.startswith('_') or find_spec('spandrel') is None:
        return None
    home = f'spandrel.architectures.{name}'
    if find_spec(home) is None:
        return None
    package = import_module(home)
    networks = [
        kind
        for key in package.__all__
        if isinstance(kind := getattr(package, key), type) and issubclass(kind, nn.Module)
    ]
    same = [kind for kind in networks if kind.__name__ == name]
    return next(iter(same or networks), None)
