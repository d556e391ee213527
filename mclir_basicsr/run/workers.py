"""The processes that read training data: they never see the signals, end with the run, and are named where they die."""

import atexit
import multiprocessing
import re
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any
from weakref import WeakMethod

from torch.utils.data import DataLoader

from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import stop

_LOST = re.compile(r'DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (is killed by signal: [\w ]+|exited unexpectedly)')
_WAIT = 1.0  # seconds for the signal of a worker's end to come
_lost: RuntimeError | None = None  # noted, and not told yet


def care_for(loader: DataLoader) -> None:
    """Let the workers of a loader start out of reach of the signals, and name one that is lost.

    Args:
        loader: Of the training data; it is changed.
    """
    global _lost
    _lost = None  # of an earlier run
    # A weak one: a loader that held itself would stay behind the end of the run, and its persistent workers with it.
    start = WeakMethod(loader._get_iterator)

    def start_shielded() -> '_Batches':
        with stop.shielded():
            batches = start()()  # type: ignore[misc]
        _note_lost_workers()
        return _Batches(batches)

    loader._get_iterator = start_shielded  # type: ignore[method-assign, assignment]
    atexit.unregister(end)  # once is enough
    atexit.register(end)


class _Batches:
    """The iterator of a loader, which persistent workers use again in every epoch."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if _lost is not None:
            _raise_if_lost(_lost)
        try:
            return next(self._batches)
        except RuntimeError as error:
            _raise_if_lost(_lost or error)
            raise
        except (OSError, EOFError):  # of a worker that is just going, while it hands a batch over
            until = time.monotonic() + _WAIT
            while _lost is None and time.monotonic() < until:
                time.sleep(0.01)
            if _lost is not None:
                _raise_if_lost(_lost)
            raise


def _note_lost_workers() -> None:
    """Leave the loss of a worker, which PyTorch raises in its handler of SIGCHLD, to the next batch.

    The handler runs wherever the training is. What it raises there breaks into a save, or is swallowed by the code that
    it meets, as logging does. On Windows there is no such signal, and PyTorch asks for its workers at each batch.
    """
    if not hasattr(signal, 'SIGCHLD'):
        return
    of_torch = signal.getsignal(signal.SIGCHLD)
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and callable(of_torch)) or hasattr(of_torch, 'notes_lost_workers'):
        return

    def note(number: int, frame: FrameType | None) -> None:
        global _lost
        try:
            of_torch(number, frame)
        except RuntimeError as error:
            if not _LOST.match(str(error)):
                raise
            _lost = error

    note.notes_lost_workers = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGCHLD, note)


def _raise_if_lost(error: RuntimeError) -> None:
    lost = _LOST.match(str(error))
    if lost is not None:
        raise MclirError(
            f'A process that reads the training data (DataLoader worker, pid {lost[1]}) {lost[2]}. "Killed" is mostly '
            'want of memory (`dmesg` tells): lower datasets.train.num_worker_per_gpu or the batch. "Bus error" is want '
            'of shared memory (/dev/shm): give the container more (docker run --shm-size=8g), or lower '
            'num_worker_per_gpu. --auto_resume goes on from the last save.'
        ) from error


def end() -> None:
    """Kill the workers that are left. Python would end them by SIGTERM, which they do not see, and wait for ever."""
    if multiprocessing.active_children() and hasattr(signal, 'SIGCHLD'):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would raise "DataLoader worker is killed"
    for worker in multiprocessing.active_children():
        worker.kill()
