"""What is repaired in basicsr 1.4.2, the last release, and where HistoryModel takes part in its loop.

Nothing is changed on disk. Each repair is declared as an owner, an attribute and a wrapper. One that ends a fault says
when it is ``needed``; the others extend BasicSR and are always made. ``active()`` tells which are in force.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from mclir_basicsr.compat import accelerators, missing_modules, processes, registries, text_files, training
from mclir_basicsr.compat.repair import Repair, Shadow

Undo = Callable[[], None]

REPAIRS: tuple[Repair | Shadow, ...] = (
    *text_files.REPAIRS,
    *training.REPAIRS,
    *processes.REPAIRS,
    *accelerators.REPAIRS,
    *registries.REPAIRS,
)

_active: dict[str, str] = {}


def active() -> dict[str, str]:
    """Repairs made so far in this process: name and reason."""
    return dict(_active)


def before_import() -> Undo:
    """Supply the modules without which ``import basicsr`` fails; harmless when called again.

    Returns:
        A function that takes back what this call made.
    """
    return _all_or_none((supply, supply.__name__, supply) for supply in missing_modules.SUPPLIES)


def after_import() -> Undo:
    """Make the repairs of an imported basicsr, all or, where one fails, none; harmless when called again.

    Returns:
        A function that takes back what this call made.

    Raises:
        MclirError: This basicsr lacks what a repair wraps.
    """
    wanted = [(repair, repair.look_up()) for repair in REPAIRS]  # all is looked up before anything is changed
    return _all_or_none((repair.make, repair.wrapper.__name__, repair.wrapper) for repair, found in wanted if found)


def _all_or_none(steps: Iterable[tuple[Callable[[], Undo | None], str, Callable[..., Any]]]) -> Undo:
    """Take the steps, each a function that makes a change, the name of it and where its reason is written."""
    with ExitStack() as made:
        for step, name, documented in steps:
            undo = step()
            if undo is None:
                continue
            made.callback(undo)
            if name not in _active:
                _active[name] = (documented.__doc__ or '').splitlines()[0].rstrip('.')
                made.callback(_active.pop, name)
        return made.pop_all().close
