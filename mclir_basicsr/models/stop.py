"""Stopping a training run on a signal, after the step, with everything saved."""

import atexit
import multiprocessing
import os
import signal
import threading
from types import FrameType

import torch
from torch import distributed

# SLURM sends SIGUSR1 where asked to (--signal), and SIGTERM when it preempts; SIGINT is Ctrl+C.
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
REQUEUE = 75  # exit status: EX_TEMPFAIL of sysexits.h, "try again"
_EVERY = 10  # iterations between agreements of the ranks, each of which waits for the GPU

_asked: str | None = None


def listen() -> None:
    """Let the signals ask for a stop instead of ending the process; a second Ctrl+C ends it. Main thread only.

    Worker processes pass them over: a signal to the whole process group must not take the data away from the last step.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    owner = os.getpid()

    def note(number: int, _frame: FrameType | None) -> None:
        global _asked
        if os.getpid() != owner:
            return
        if _asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        _asked = signal.Signals(number).name

    for number in SIGNALS:
        signal.signal(number, note)
    atexit.register(_end_workers)


def _end_workers() -> None:
    """Python ends them by SIGTERM, which they pass over, and would wait for ever."""
    for worker in multiprocessing.active_children():
        worker.kill()


def asked(iteration: int) -> str | None:
    """Name of the signal that asked for a stop, alike on every rank; None where none did."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return _asked
    if iteration % _EVERY:
        return None
    device = torch.device('cuda') if distributed.get_backend() == 'nccl' else torch.device('cpu')
    number = torch.tensor(signal.Signals[_asked] if _asked else 0, device=device)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return signal.Signals(int(number)).name if number else None
