"""A progress bar for a training that somebody watches: on a terminal, by the first rank alone."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from mclir_basicsr import ranks


class _Shown:
    """The bar of the run, made at its first iteration: only then its name, its length and its log are known."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.stack = ExitStack()

    def reach(self, iteration: int, total: int | None, name: str) -> None:
        if self.bar is None:
            # Lines of the log go above the bar; its handler is there now.
            self.stack.enter_context(logging_redirect_tqdm([logging.getLogger('basicsr')]))
            self.bar = self.stack.enter_context(
                tqdm(total=total, initial=iteration - 1, desc=name, unit='it', dynamic_ncols=True, file=sys.stderr)
            )
        self.bar.update(iteration - self.bar.n)


_shown: _Shown | None = None


@contextmanager
def shown() -> Iterator[None]:
    """Let runs of this block show a bar, if standard error is a terminal."""
    global _shown
    if not sys.stderr.isatty():
        yield
        return
    _shown = _Shown()
    try:
        with _shown.stack:
            yield
    finally:
        _shown = None


def is_shown() -> bool:
    """Whether runs show a bar now.

    >>> is_shown()
    False
    """
    return _shown is not None


def reach(iteration: int, opt: Mapping[str, Any]) -> None:
    """Show that a run with these options has done so many iterations; outside of :func:`shown` nothing.

    >>> reach(1, {'name': 'spn', 'train': {'total_iter': 100}})
    """
    if _shown is not None and ranks.is_first():
        _shown.reach(iteration, int(opt['train']['total_iter']), opt['name'])
