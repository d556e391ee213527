"""Writing the images of a plan to an LMDB database or a folder, whatever interrupts it."""

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import lmdb
from tqdm import tqdm

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.database import Database
from mclir_basicsr.prepare.entries import Entry
from mclir_basicsr.prepare.image_folder import ImageFolder
from mclir_basicsr.prepare.journal import Journal, finish, finished, unfinished, write_journal
from mclir_basicsr.prepare.pool import make_all
from mclir_basicsr.prepare.source import Source

Form = Literal['lmdb', 'folder']

# An interrupted call loses no more work than this, and no more is held in memory.
_BATCH_BYTES = 16 * 2**20
_BATCH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Written:
    """What a call did.

    Attributes:
        images: Images that it wrote.
        skipped: Images that were there already.
    """

    images: int
    skipped: int


def write(
    sources: Iterable[Source],
    total: int,
    target: Path,
    *,
    form: Form,
    jobs: int,
    plan: str,
    progress: bool = True,
) -> Written:
    """Write every image of ``sources`` to ``target``, which appears when all are there and on disk.

    Until then they are gathered in ``<target>.partial``. A call that ends early, by an error, Ctrl+C, a kill or a
    full disk, leaves it there, and the same call goes on where it stopped. With a finished target it does nothing.

    Args:
        sources: The images, always in the same order for one ``plan``. Read once, and only as far as needed.
        total: How many there are, for the progress bar.
        target: Folder to make; BasicSR wants the ending ``.lmdb`` for a database.
        form: ``lmdb``: a database as BasicSR's own tool writes it; ``folder``: plain files. Whole images keep their
            bytes in both, and their ending in the names; others are PNG.
        jobs: Processes that make subimages and reduced images; 1: this one.
        plan: Fingerprint of everything that determines the result.
        progress: Show a bar on standard error.

    Returns:
        How many images were written and how many skipped.

    Raises:
        MclirError: ``target`` exists with another plan, a source cannot be used, two have the same key, or the disk
            does not take what is written.
    """
    if jobs < 1:
        raise MclirError(f'jobs must be at least 1, but is {jobs}.')
    done = finished(target, plan)
    if done is not None:
        return Written(0, done.images)
    with _disk_errors_named(target), unfinished(target, plan) as (folder, before):
        store = (Database if form == 'lmdb' else ImageFolder)(folder, before.images)
        rest = islice(_checked(sources), before.sources, None)
        with closing(store), closing(make_all(rest, jobs)) as made:
            bar = tqdm(made, total=total, initial=before.sources, unit='image', desc=target.name, disable=not progress)
            with bar:
                after = _fill(store, bar, folder, before)
            _check_count(store.count(), after.images, folder)
        finish(folder, target)
    return Written(after.images - before.images, before.images)


def _fill(store: Database | ImageFolder, made: Iterable[list[Entry]], folder: Path, journal: Journal) -> Journal:
    """Write the images of each further source; returns the journal with all of them."""
    flushed = time.monotonic()
    for entries in made:
        for entry in entries:
            store.put(entry)
        journal = replace(journal, sources=journal.sources + 1, images=journal.images + len(entries))
        if store.pending >= _BATCH_BYTES or time.monotonic() - flushed >= _BATCH_SECONDS:
            store.flush()
            write_journal(folder, journal)
            flushed = time.monotonic()
    store.flush()
    write_journal(folder, journal)
    return journal


def _check_count(names: int, images: int, folder: Path) -> None:
    if names != images:
        raise MclirError(
            f'{folder} has {names} images, but {images} were written to it: subimages of one image are named like '
            'another image. Rename one, remove this folder and run the command again.'
        )


def _checked(sources: Iterable[Source]) -> Iterator[Source]:
    """Pass on sources whose keys BasicSR can read and that differ."""
    seen: dict[str, str] = {}
    for source in sources:
        key = source.key
        if not (0 < len(key) <= 200 and key.isascii() and key.isprintable() and not set(key) & set('./\\')):
            raise MclirError(
                f'{source.path}: the key {key!r} must be 1 to 200 printable ASCII characters without dots and slashes.'
            )
        if key in seen:
            raise MclirError(f'{source.path} and {seen[key]} have the same key {key}.')
        seen[key] = source.path
        yield source


@contextmanager
def _disk_errors_named(target: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, lmdb.Error) as error:  # a full disk is often no more than "Input/output error" to LMDB
        raise MclirError(
            f'{target} could not be written: {error}. {_free(target)} MB are free there. Make room if that is too '
            'little, and run the same command again: it goes on where this one stopped.'
        ) from error


def _free(target: Path) -> int:
    """Free space of the disk of ``target``, in 10^6 bytes."""
    there = next(folder for folder in target.absolute().parents if folder.exists())
    return shutil.disk_usage(there).free // 10**6
