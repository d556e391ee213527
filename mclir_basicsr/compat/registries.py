"""BasicSR's registries: other homes of a name, a message that helps, and a project's own classes before ours."""

import inspect
import logging
from collections.abc import Callable
from typing import Any

from mclir_basicsr.compat.repair import Repair
from mclir_basicsr.errors import UnknownNameError, did_you_mean

logger = logging.getLogger('basicsr')
_told: set[str] = set()  # names of networks


def registry_message(original: Callable[..., Any], self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    """A name that is not registered is reported without the names that are."""
    if name in self or f'{name}_{_suffix(original, self, name, *args, **kwargs)}' in self:
        return original(self, name, *args, **kwargs)
    known: list[str] = []
    if self._name == 'arch':
        from mclir_basicsr.archs.spandrel_bridge import architecture_names, find_architecture

        found = find_architecture(name)
        if found is not None:
            _tell_of_spandrel(name, found)
            return found
        if name == 'auto':
            raise UnknownNameError(
                'type: auto is for `mclir enable FILE --pretrain CKPT -o OUT`, which finds the network of CKPT.'
            )
        known = architecture_names()
    question = did_you_mean(name, [*known, *self.keys()])
    raise UnknownNameError(
        f"There is no {self._name} named '{name}' in BasicSR's registry; "
        + (question or f'it holds {", ".join(sorted(self.keys()))}.')
        + f' (The plugin mclir_basicsr is {_loaded()}.)'
    )


def _tell_of_spandrel(name: str, found: type) -> None:
    """Tell once, in the log of a run, that a network is spandrel's: one that was not imported may be meant."""
    if name not in _told and logger.isEnabledFor(logging.INFO):
        _told.add(name)
        logger.info(
            "network %s: %s's; no network of that name is registered (--import takes one of yours).",
            name,
            found.__module__.split('.')[0],
        )


def registry_yields(original: Callable[..., None], self: Any, name: str, obj: Any, *args: Any, **kwargs: Any) -> None:
    """A project that registers a network of its own under a name of ours must not stop with "already registered"."""
    held = self._obj_map.get(name)
    takes_it = _suffix(original, self, name, obj, *args, **kwargs) is None
    if takes_it and held is not None and _is_ours(held) and not _is_ours(obj):
        logger.warning(
            '%s %s: that of %s takes the place of the one of mclir_basicsr.', self._name, name, obj.__module__
        )
        del self._obj_map[name]
    original(self, name, obj, *args, **kwargs)


def _suffix(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str | None:
    """What BasicSR adds to a name, in a call of this function."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    suffix: str | None = bound.arguments['suffix']
    return suffix


def _is_ours(kind: Any) -> bool:
    return str(kind.__module__).split('.')[0] == 'mclir_basicsr'


def _loaded() -> str:
    from basicsr.utils.registry import MODEL_REGISTRY

    from mclir_basicsr import __version__

    return f'loaded, version {__version__}' if 'HistoryModel' in MODEL_REGISTRY else 'not loaded: see `mclir doctor`'


_REGISTRY = 'basicsr.utils.registry:Registry'
REPAIRS = (Repair(_REGISTRY, 'get', registry_message), Repair(_REGISTRY, '_do_register', registry_yields))
