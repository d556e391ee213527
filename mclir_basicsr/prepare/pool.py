"""Making entries in several processes, in order, with a bounded number of them in memory."""

import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import groupby
from multiprocessing import get_context, parent_process
from threading import Thread, current_thread, main_thread

import cv2

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.entries import Entry, entries_of, is_unchanged
from mclir_basicsr.prepare.source import Source


def make_all(sources: Iterable[Source], jobs: int) -> Generator[list[Entry], None, None]:
    """Entries of each source, in order; files whose bytes are kept never go through another process.

    Close the generator to end the processes early.

    Raises:
        MclirError: A source cannot be used, or a process ended unexpectedly.
    """
    for unchanged, group in groupby(sources, is_unchanged):
        yield from _make(group, 1 if unchanged else jobs)


def _make(sources: Iterable[Source], jobs: int) -> Iterator[list[Entry]]:
    return map(entries_of, sources) if jobs == 1 else _in_parallel(sources, jobs)


def _in_parallel(sources: Iterable[Source], jobs: int) -> Iterator[list[Entry]]:
    # spawn: a fork of a process that runs torch or a database may lock up
    pool = ProcessPoolExecutor(jobs, get_context('spawn'), start_worker)
    waiting: deque[Future[list[Entry]]] = deque()
    try:
        for source in sources:
            with _interrupts_held_back():
                waiting.append(pool.submit(entries_of, source))
            if len(waiting) == 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise MclirError(
            'A worker process ended unexpectedly. If memory ran out, run the same command again with fewer --jobs: it '
            "goes on where it stopped. A script must make this call under `if __name__ == '__main__':`."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl+C, which reaches every process of a terminal, must not hit a worker that is still starting.

    The mask is for the worker, which inherits it. Here another thread may take the signal all the same, and Python then
    calls the handler in the middle of the worker's start, so the handler waits as well.
    """
    handler, noted = signal.getsignal(signal.SIGINT), []
    waits = callable(handler) and current_thread() is main_thread()  # only there are handlers set and called
    if waits:
        signal.signal(signal.SIGINT, lambda number, frame: noted.append((number, frame)))
    has_mask = hasattr(signal, 'pthread_sigmask')
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if has_mask else set()
    try:
        yield
    finally:
        if has_mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if callable(handler) and waits:
            signal.signal(signal.SIGINT, handler)
            if noted:
                handler(*noted[0])


def start_worker() -> None:
    """Prepare a process that works for this one: Ctrl+C is its parent's business, and it ends when that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its workers to end."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
