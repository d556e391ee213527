"""Retrain a BasicSR network against its own past (MCLIR, AAAI 2024).

Importing this package is cheap: it is imported at every Python start (see autoload.py), so names that need torch
are looked up on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mclir_basicsr.history import ModelHistory
    from mclir_basicsr.losses import SPNLoss
    from mclir_basicsr.models import HistoryModel
    from mclir_basicsr.plugin import register

__version__ = '0.1.0'
__all__ = ['HistoryModel', 'ModelHistory', 'SPNLoss', '__version__', 'register']

_HOMES = {'SPNLoss': 'losses', 'ModelHistory': 'history', 'HistoryModel': 'models', 'register': 'plugin'}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
