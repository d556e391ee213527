"""Retrain a BasicSR network against its own past (MCLIR, AAAI 2024).

This module and autoload.py run at every Python start, so they import nothing that Python has not loaded by then:
names that need torch are looked up on first use.
"""

TYPE_CHECKING = False  # as type checkers know it; importing typing would cost more than all the rest
if TYPE_CHECKING:
    from mclir_basicsr.history import ModelHistory
    from mclir_basicsr.losses import SPNLoss
    from mclir_basicsr.models import HistoryModel
    from mclir_basicsr.plugin import register

__version__ = '0.1.0'
__all__ = ['HistoryModel', 'ModelHistory', 'SPNLoss', '__version__', 'register']

_HOMES = {'SPNLoss': 'losses', 'ModelHistory': 'history', 'HistoryModel': 'models', 'register': 'plugin'}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module

    return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
