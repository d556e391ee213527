"""Writing goes on where it stopped, whatever ended it: a bad image, a full disk, Ctrl+C, a dead worker."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from threading import Thread

import lmdb
import pytest
from sets import WINDOW, planted, sources, write_set
from trees import stored

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare import pool, writer
from mclir_basicsr.prepare.database import Database
from mclir_basicsr.prepare.source import Source
from mclir_basicsr.prepare.verify import verify
from mclir_basicsr.prepare.writer import Written, write


@pytest.fixture
def images(tmp_path):
    return planted(tmp_path / 'images', 12)


def flush_always(monkeypatch):
    monkeypatch.setattr(writer, '_BATCH_SECONDS', 0)


@pytest.mark.parametrize('name', ['gt.lmdb', 'gt'])
@pytest.mark.parametrize('kind', [{}, {'window': WINDOW}])
def test_goes_on_after_an_unreadable_image(tmp_path, images, monkeypatch, name, kind):
    flush_always(monkeypatch)
    whole = images[7].read_bytes()
    images[7].write_bytes(whole[:20])  # not even the header
    with pytest.raises(MclirError, match=r'07\.png'):
        write_set(sources(images, **kind), tmp_path / name)
    assert not (tmp_path / name).exists()
    images[7].write_bytes(whole)
    each = 12 if kind else 1
    assert write_set(sources(images, **kind), tmp_path / name) == Written(5 * each, 7 * each)
    write_set(sources(images, **kind), tmp_path / f'at_once_{name}')
    assert stored(tmp_path / name) == stored(tmp_path / f'at_once_{name}')
    assert not list(tmp_path.glob('*.partial'))


def test_truncated_image_is_named_by_a_worker(tmp_path, images):
    images[7].write_bytes(images[7].read_bytes()[:-200])
    with pytest.raises(MclirError, match=r'07\.png cannot be decoded: it is truncated'):
        write_set(sources(images, window=WINDOW), tmp_path / 'gt.lmdb', jobs=2)


def test_unfinished_work_with_another_plan_starts_anew(tmp_path, images, monkeypatch):
    flush_always(monkeypatch)
    cut_short = [*sources(images[:4], window=WINDOW), Source('missing', str(tmp_path / 'missing.png'))]
    with pytest.raises(MclirError, match=r'missing\.png cannot be read: No such file'):
        write_set(cut_short, tmp_path / 'gt.lmdb')
    assert write_set(sources(images), tmp_path / 'gt.lmdb', plan='other') == Written(12, 0)
    assert stored(tmp_path / 'gt.lmdb') == {file.name: file.read_bytes() for file in images}


def test_full_disk_is_one_message_and_the_same_call_goes_on(tmp_path, images, monkeypatch):
    flush_always(monkeypatch)
    flush = Database.flush
    left = [5]

    def limited(store):
        left[0] -= 1
        if left[0] < 0:
            raise lmdb.Error('mdb_txn_commit: Input/output error')  # what LMDB says of a full disk
        flush(store)

    monkeypatch.setattr(Database, 'flush', limited)
    words = r'gt\.lmdb could not be written: .*error\. \d+ MB are free .* run the same command again'
    with pytest.raises(MclirError, match=words):
        write_set(sources(images), tmp_path / 'gt.lmdb')
    left[0] = 100
    assert write_set(sources(images), tmp_path / 'gt.lmdb') == Written(7, 5)
    assert verify(tmp_path / 'gt.lmdb') == []


def test_a_real_write_error_goes_the_same_way(tmp_path, images):
    # a limit on file size stands for a full disk: LMDB sees a write that falls short
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
run()
"""
    ended = driver(tmp_path / 'gt.lmdb', images, code=code)
    assert 'MclirError' in ended.communicate()[1]
    assert not (tmp_path / 'gt.lmdb').exists()
    write_set(sources(images, window=WINDOW), tmp_path / 'gt.lmdb')
    assert verify(tmp_path / 'gt.lmdb') == []


def test_two_processes_do_not_write_the_same(tmp_path, images):
    def interfering():
        yield from sources(images[:1])
        with pytest.raises(MclirError, match=r'gt\.lmdb\.partial is being written by another process'):
            write_set(sources(images), tmp_path / 'gt.lmdb')
        yield from sources(images[1:])

    write(interfering(), 12, tmp_path / 'gt.lmdb', form='lmdb', jobs=1, plan='plan', progress=False)
    assert verify(tmp_path / 'gt.lmdb') == []


DRIVER = """
import sys
from pathlib import Path
from mclir_basicsr.prepare import verify, writer
from mclir_basicsr.prepare.source import Source, Window
assert not {'torch', 'basicsr', 'scipy', 'matplotlib'} & set(sys.modules), 'must start quickly'
writer._BATCH_BYTES, writer._BATCH_SECONDS = 20_000, 0.1
jobs, target, *files = sys.argv[1:]
def run():
    items = [Source(Path(file).stem, file, Window(24, 24)) for file in files]
    form = 'lmdb' if target.endswith('lmdb') else 'folder'
    print(writer.write(items, len(items), Path(target), form=form, jobs=int(jobs), plan='plan', progress=False))
"""


def driver(target, images, jobs=1, code='run()'):
    """A process of its own; its standard output and error end only when all of its workers have."""
    return subprocess.Popen(
        [sys.executable, '-c', DRIVER + code, str(jobs), str(target), *map(str, images)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_ctrl_c_ends_all_processes_quietly(tmp_path, images):
    # without an end of its own: the signal finds it at work, however long it takes to come
    code = """
import signal
from itertools import count
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so do its children
items = (Source(str(i), files[i % len(files)], Window(24, 24)) for i in count())
try:
    writer.write(items, 0, Path(target), form='lmdb', jobs=2, plan='plan', progress=False)
except KeyboardInterrupt:
    sys.exit(130)
"""
    process = driver(tmp_path / 'gt.lmdb', images, jobs=2, code=code)
    try:
        while not (tmp_path / 'gt.lmdb.partial').exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.1)  # mostly while the workers are still starting
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, out, err) == (130, '', '')
    assert not (tmp_path / 'gt.lmdb').exists()


def test_ctrl_c_that_another_thread_takes_waits_until_a_worker_has_started():
    """tqdm and BLAS have threads, whose masks are their own; half a start left a traceback of the worker."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), pool._interrupts_held_back():
            thread = Thread(target=taken_here)
            thread.start()
            thread.join()
            has_started = True
        assert has_started
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGINT, before)


def taken_here():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.raise_signal(signal.SIGINT)


def test_a_worker_that_dies_is_one_message(tmp_path, images):
    code = """
import os
from concurrent.futures import ProcessPoolExecutor
submit = ProcessPoolExecutor.submit
ProcessPoolExecutor.submit = lambda pool, *_: submit(pool, os._exit, 1)
run()
"""
    err = driver(tmp_path / 'gt.lmdb', images, jobs=2, code=code).communicate()[1]
    assert 'MclirError: A worker process ended unexpectedly. If memory ran out' in err
