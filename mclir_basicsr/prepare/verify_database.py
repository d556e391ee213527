"""Reading back a database, in a process of its own: LMDB ends the process that comes to certain damaged pages."""

import os
import signal
from collections import deque
from collections.abc import Iterator, Mapping, MutableSequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import lmdb

from mclir_basicsr.data.meta_info import META_INFO, Shape, read_meta_info
from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.pool import start_worker
from mclir_basicsr.prepare.stored import image_fault

DATA = 'data.mdb'
_MOST_ENDS = 20  # of the process; a page that ends it may be the way to thousands of images
_READ, _READING, _TOTAL = range(3)  # places of the counts that both processes see
_NOTHING = -1  # being read


def verify_database(folder: Path) -> list[str]:
    """Read every image of a database as training does, by its key, and decode it.

    Where LMDB ends the process that reads, another one goes on after the image that it was at.

    Returns:
        A line for each fault.

    Raises:
        MclirError: The process ended for a reason that does not lie in the database.
    """
    faults: list[str] = []
    fatal: dict[int, str] = {}
    counts = get_context('spawn').RawArray('q', [0, _NOTHING, 0])
    while (end := _read_in_process(folder, fatal, counts, faults)) is not None:
        if counts[_READING] == _NOTHING:
            return [*faults, f'{DATA}: is damaged; to read it ended the process ({end})']
        fatal[counts[_READING]] = end
        if len(fatal) == _MOST_ENDS:
            left = counts[_TOTAL] - counts[_READ]
            return [
                *faults,
                f'{DATA}: is damaged; {_MOST_ENDS} processes have ended over it, and {left} images are not read',
            ]
    return faults


def _read_in_process(
    folder: Path, fatal: Mapping[int, str], counts: MutableSequence[int], faults: list[str]
) -> str | None:
    """Take in the faults that a process finds; the name of the signal that ended it early, if any."""
    context = get_context('spawn')  # as in pool.py
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_read, args=(folder, fatal, counts, sender), daemon=True)
    process.start()
    sender.close()
    try:
        while (fault := receiver.recv()) is not None:
            faults.append(fault)
    except EOFError:
        process.join()
        return _end(folder, process.exitcode or 0)
    finally:
        process.terminate()
        process.join()
        receiver.close()
    return None


def _end(folder: Path, status: int) -> str:
    """Name of the signal that ended a process, where it is one that the database is to blame for."""
    ended = signal.Signals(-status).name if status < 0 else f'status {status}'
    if status < 0 and ended not in ('SIGKILL', 'SIGTERM', 'SIGHUP'):
        return ended
    if status > 255:  # Windows has statuses such as 0xC0000005 in place of signals
        return f'{status:#x}'
    raise MclirError(
        f'{folder}: the process that reads it ended with {ended}. If memory ran out, free some and verify again. '
        "A script must make this call under `if __name__ == '__main__':`."
    )


def _read(folder: Path, fatal: Mapping[int, str], counts: MutableSequence[int], sender: Connection) -> None:
    """What the process does: send each fault, and None at the end."""
    start_worker()
    try:
        for fault in _faults(folder, fatal, counts):
            sender.send(fault)
    except (OSError, lmdb.Error) as error:
        sender.send(f'cannot be opened: {error}')
    sender.send(None)


def _faults(folder: Path, fatal: Mapping[int, str], counts: MutableSequence[int]) -> Iterator[str]:
    counts[_READING] = _NOTHING
    listed = read_meta_info(folder / META_INFO)
    shapes = listed.by_key()
    counts[_TOTAL] = len(shapes)
    if not fatal:
        yield from listed.faults
    with lmdb.open(os.fsencode(folder), readonly=True, lock=False) as environment:  # checks both meta pages
        size = (folder / DATA).stat().st_size
        least = (max(environment.info()['last_pgno'], 1) + 1) * environment.stat()['psize']
        if size < least:
            yield f'{DATA} is truncated: {size} bytes of {least}'
            return
        yield from _image_faults(environment, shapes, fatal, counts)
        yield from _key_faults(environment, shapes)


def _image_faults(
    environment: lmdb.Environment,
    shapes: Mapping[str, Shape | None],
    fatal: Mapping[int, str],
    counts: MutableSequence[int],
) -> Iterator[str]:
    """Faults of the images that are yet to be read, in order; few are in memory at once."""
    threads = os.cpu_count() or 1
    waiting: deque[Future[str | None]] = deque()

    def first() -> Iterator[str]:
        fault = waiting.popleft().result()
        if fault is not None:
            yield fault
        counts[_READ] += 1

    reader = _Reader(environment)
    begin = counts[_READ]
    with ThreadPoolExecutor(threads) as pool:
        for place, (key, shape) in enumerate(shapes.items()):
            if place < begin:
                continue
            counts[_READING] = place
            found = f'{key}: to read it ended the process ({fatal[place]})' if place in fatal else reader.get(key)
            counts[_READING] = _NOTHING
            waiting.append(pool.submit(_fault, found, key, shape))
            if len(waiting) == 2 * threads:
                yield from first()
        while waiting:
            yield from first()


class _Reader:
    """Gets values, whatever came of the ones before."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment
        self._transaction = environment.begin()

    def get(self, key: str) -> bytes | str:
        """The value of a key, or the fault in its place."""
        try:
            value = self._transaction.get(key.encode('ascii'))
        except (lmdb.Error, MemoryError) as error:
            self._transaction.abort()  # after some errors it is of no more use
            self._transaction = self._environment.begin()
            return f'{key}: cannot be read: {error}'
        return f'{key}: in {META_INFO}, but not in the database' if value is None else value


def _fault(found: bytes | str, key: str, shape: Shape | None) -> str | None:
    return found if isinstance(found, str) else image_fault(found, key, shape)


def _key_faults(environment: lmdb.Environment, shapes: Mapping[str, Shape | None]) -> Iterator[str]:
    """Faults of the keys that meta_info.txt lacks."""
    before = b''
    try:
        with environment.begin() as transaction:
            for key in transaction.cursor().iternext(values=False):
                if key <= before:
                    yield f'{DATA}: is damaged; its keys are not in order after {_text(before)}'
                    return
                before = key
                if _text(key) not in shapes:
                    yield f'{_text(key)}: in the database, but not in {META_INFO}'
    except lmdb.Error as error:
        yield f'{DATA}: is damaged; its keys cannot be read after {_text(before)}: {error}'


def _text(key: bytes) -> str:
    return key.decode('ascii', 'backslashreplace')
