"""The start-up hook: lets a stock BasicSR find the plugin without a line written by the user.

BasicSR has no plugin mechanism. ``mclir_basicsr.pth`` in site-packages, from Python 3.15 on ``mclir_basicsr.start``,
makes Python call :func:`install` at every start; it waits for ``import basicsr``, repairs what that needs and registers
our classes right after it. Another project's copy of basicsr, old or in parts, is left as it is. ``MCLIR_AUTOLOAD=0``
turns it off.
Standard library only, and nothing heavy: every Python start pays for it.
"""

import os
import sys

TYPE_CHECKING = False  # see mclir_basicsr/__init__.py
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def install() -> None:
    """Wait for ``import basicsr``."""
    if os.environ.get('MCLIR_AUTOLOAD') != '0' and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds basicsr as the other finders do, with a loader that also calls us."""

    def find_spec(self, name: str, path: 'Any' = None, target: 'Any' = None) -> 'Any':
        if name != 'basicsr':
            return None
        for finder in sys.meta_path:
            if isinstance(finder, _Finder) or not hasattr(finder, 'find_spec'):  # Python, too, passes over such a one
                continue
            try:
                spec = finder.find_spec(name, path, target)
            except Exception:  # Python asks the finder again after us, and tells the error where it comes from
                return None
            if spec is not None:
                from mclir_basicsr.served import is_served  # not at the top: a Python start does not need it

                if spec.loader is not None and is_served(spec.submodule_search_locations):
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """A loader that calls us before and after basicsr runs, and leaves no trace of itself."""

    def __init__(self, loader: 'Any') -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> 'Any':
        return getattr(self._loader, name)

    def create_module(self, spec: 'Any') -> 'ModuleType | None':
        return self._loader.create_module(spec)

    def exec_module(self, module: 'ModuleType') -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        _safely('before_import')
        self._loader.exec_module(module)
        _safely('after_import')


def _safely(step: str) -> None:
    """Never let the plugin stop a program that only wanted BasicSR, also where warnings are errors (``-W error``)."""
    import warnings

    if any(entry[0] == 'error' for entry in warnings.filters):
        with warnings.catch_warnings():
            warnings.simplefilter('default')
            _take(step)
    else:
        _take(step)


def _take(step: str) -> None:
    try:
        from mclir_basicsr import compat, plugin

        if step == 'before_import':
            compat.before_import()
        else:
            plugin.register()
    except Exception as error:  # whatever it is, the user shall read the cause
        import warnings

        warnings.warn(f'mclir_basicsr is not registered with BasicSR: {type(error).__name__}: {error}', stacklevel=3)
