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
from threading import Thread

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
    """Ctrl+C, which reaches every process of a terminal, must not hit a worker that is still starting."""
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # submit() starts workers, which inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
