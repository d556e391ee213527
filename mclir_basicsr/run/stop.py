"""Stopping a training run on a signal, after the step, with everything saved."""

import atexit
import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing import resource_tracker
from types import FrameType
from typing import TypeVar

from mclir_basicsr import ranks

# SLURM sends SIGUSR1 where asked to (--signal), and SIGTERM when it preempts; SIGINT is Ctrl+C.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
REQUEUE = 75  # exit status: EX_TEMPFAIL of sysexits.h, "try again"
_EVERY = 10  # iterations between agreements of the ranks, each of which waits for the GPU

_T = TypeVar('_T')
_asked: str | None = None


def listen() -> None:
    """Let the signals ask for a stop instead of ending the process; a second Ctrl+C ends it. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return

    def note(number: int, _frame: FrameType | None) -> None:
        global _asked
        if _asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        _asked = signal.Signals(number).name

    pass_over()
    resource_tracker.ensure_running()  # Python's own process; a signal to the group would end it, with many tracebacks
    for number in SIGNALS:
        signal.signal(number, note)
    atexit.register(_end_workers)


def pass_over() -> None:
    """Ignore the signals from now on, also while Python ends, which would bring back their default."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def shielded(start: Callable[[], _T]) -> _T:
    """Call ``start``; the processes that it starts never see the signals, from their first moment on.

    SLURM and torchrun signal the whole process group, which must not take the data away from the last step; and a
    worker that is still starting, or one in which torch has set its handlers, would die. Blocked signals are inherited.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_workers() -> None:
    """Python ends them by SIGTERM, which they do not see, and would wait for ever."""
    for worker in multiprocessing.active_children():
        worker.kill()


def noted() -> bool:
    """Whether this process was asked to stop; other ranks may not know."""
    return _asked is not None


def is_due(iteration: int, per_step: int = 1) -> bool:
    """Whether ranks are to agree where the optimizer step that holds this iteration ends; one process always may.

    Args:
        iteration: The last one that is done.
        per_step: Iterations that make one optimizer step.
    """
    return not ranks.several() or iteration % _EVERY < per_step


def agreed() -> str | None:
    """Name of the signal that asked any rank for a stop, alike on all; None where none did. Call it on every rank."""
    number = ranks.largest(signal.Signals[_asked] if _asked else 0)
    return signal.Signals(number).name if number else None
