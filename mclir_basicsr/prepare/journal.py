"""Folders that get their final name when they are complete, and know until then how far they are."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file

PARTIAL = '.partial'
_JOURNAL = '.mclir.json'


@dataclass(frozen=True, slots=True)
class Journal:
    """What a folder holds for sure.

    Attributes:
        plan: Fingerprint of what it is made from.
        sources: How many sources are done, from the first one on.
        images: How many images they gave.
    """

    plan: str
    sources: int = 0
    images: int = 0


def read_journal(folder: Path) -> Journal | None:
    """Journal of a finished or unfinished folder; None where it has none, or a damaged one."""
    try:
        journal = Journal(**json.loads((folder / _JOURNAL).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    counts = journal.sources, journal.images
    sound = isinstance(journal.plan, str) and all(type(count) is int and count >= 0 for count in counts)
    return journal if sound else None


def write_journal(folder: Path, journal: Journal) -> None:
    """Replace the journal; what it says must be on disk already.

    Raises:
        OSError: It could not be written.
    """
    with whole_file(folder / _JOURNAL) as file:
        file.write(json.dumps(asdict(journal)).encode())


def visible_files(folder: Path) -> list[Path]:
    """Files that are not hidden. BasicSR takes each of them for an image, so what else a folder holds must be."""
    return [file for file in folder.iterdir() if not file.name.startswith('.')]


def finished(target: Path, plan: str) -> Journal | None:
    """Journal of ``target`` where an earlier call with the same plan finished it; None where nothing is there.

    Raises:
        MclirError: It exists with another plan, or is none of ours.
    """
    if not target.exists():
        return None
    journal = read_journal(target)
    if journal is None or journal.plan != plan:
        what = 'is none of ours' if journal is None else 'was made from other images or with other settings'
        raise MclirError(f'{target} exists already and {what}. Remove it or choose another --out.')
    return journal


@contextmanager
def unfinished(target: Path, plan: str) -> Iterator[tuple[Path, Journal]]:
    """The unfinished folder of ``target``, new or as an interrupted call with the same plan left it.

    Yields:
        The folder, and its journal. Within the block no other process gets it.

    Raises:
        MclirError: Another process is at it, or it is none of ours.
        OSError: It could not be made.
    """
    folder = target.with_name(f'{target.name}{PARTIAL}')
    folder.mkdir(parents=True, exist_ok=True)
    with _alone_in(folder):
        journal = read_journal(folder)
        if journal is None and visible_files(folder):
            raise MclirError(f'{folder} is needed for unfinished work, but holds something else: remove or rename it.')
        if journal is not None and journal.plan == plan:
            _remove(folder.glob(f'{_JOURNAL}.*'))  # what a kill left of replacing it
        else:
            _remove(folder.iterdir())
            journal = Journal(plan)
            write_journal(folder, journal)
        yield folder, journal


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink()


def finish(folder: Path, target: Path) -> None:
    """Give a complete folder, whose files are on disk and closed, its final name.

    Raises:
        OSError: It could not be renamed.
    """
    _flush_folder(folder)
    folder.rename(target)
    _flush_folder(target.parent)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends."""
    if sys.platform == 'win32':  # no such lock on a folder
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MclirError(f'{folder} is being written by another process: wait until it ends.') from error
        except OSError:  # some network file systems have no locks
            pass
        yield
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    """Have names on disk, as fsync has contents."""
    if sys.platform == 'win32':  # folders cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
