"""Stopping a training run on a signal, after the step, with everything saved.

A signal alone changes nothing: :func:`listen` puts handlers in place that note its name. The model asks between two
steps, and between two images of a validation, whether one was noted (:func:`agreed`). It then saves and ends the
process with status REQUEUE. The handlers belong to one run: :func:`finish` puts back what was there before it, and the
next run starts without what was noted in the last.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

from mclir_basicsr import ranks

# SLURM sends SIGUSR1 where asked to (--signal), and SIGTERM when it preempts; SIGINT is Ctrl+C; SIGHUP comes where a
# terminal is closed or its connection lost. Windows has the first two, and SIGBREAK for Ctrl+Break.
_NAMES = ('SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGHUP', 'SIGBREAK')
SIGNALS = tuple(signal.Signals[name] for name in _NAMES if hasattr(signal, name))
REQUEUE = 75  # exit status: EX_TEMPFAIL of sysexits.h, "try again"
_EVERY = 10  # iterations between agreements of the ranks, each of which waits for the GPU
_OUTPUTS = (1, 2)  # file descriptors of stdout and stderr

_asked: str | None = None
_before: dict[signal.Signals, Any] = {}  # handlers that were there before the run


def listen() -> None:
    """Let the signals ask for a stop instead of ending the process; a second Ctrl+C ends it. Main thread only.

    A SIGHUP that is ignored, as ``nohup`` has it, stays ignored.
    """
    global _asked
    if threading.current_thread() is not threading.main_thread():
        return
    _asked = None
    if not _before:
        _before.update((number, signal.getsignal(number)) for number in SIGNALS)
    pass_over()
    if hasattr(signal, 'pthread_sigmask'):  # not on Windows, which has no such process
        resource_tracker.ensure_running()  # Python's own; a signal to the group would end it, with many tracebacks
    for number in SIGNALS:
        if not (number.name == 'SIGHUP' and _before[number] == signal.SIG_IGN):
            signal.signal(number, _note)


def _note(number: int, _frame: FrameType | None) -> None:
    global _asked
    if _asked is not None and number == signal.SIGINT:
        raise KeyboardInterrupt
    _asked = signal.Signals(number).name
    if _asked == 'SIGHUP':
        _leave_closed_terminal()


def _leave_closed_terminal() -> None:
    """Send output to nowhere where the terminal is gone: the next line of it would raise, before the run is saved."""
    for output in _OUTPUTS:
        try:
            os.write(output, b'')
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, output)
            os.close(nowhere)


def finish() -> None:
    """The run is over: put back the handlers that were there before it, and forget what was noted."""
    global _asked
    if threading.current_thread() is threading.main_thread():
        for number, handler in _before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # None: not set from Python
        _before.clear()
    _asked = None


def run(train: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call ``train(*args, **kwargs)``, a run from its start to its end, and :func:`finish` behind it.

    Not where it ends the process by a signal's leave: there, the signals stay ignored to the end of Python.
    """
    try:
        result = train(*args, **kwargs)
    except SystemExit:
        raise
    except BaseException:
        finish()
        raise
    finish()
    return result


def pass_over() -> None:
    """Ignore the signals from now on, also while Python ends, which would bring back their default."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def shielded() -> Iterator[None]:
    """Processes that are started in this block never see the signals, from their first moment on.

    SLURM and torchrun signal the whole process group, which must not take the data away from the last step; and a
    worker that is still starting, or one in which torch has set its handlers, would die. Blocked signals are inherited.
    Where signals cannot be blocked (Windows, which signals no group either) nothing is done.
    """
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
