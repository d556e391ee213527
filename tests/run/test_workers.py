"""The processes that read training data."""

import gc
import multiprocessing
import os
import signal
import weakref

import pytest
import yaml
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import stop, workers


@pytest.fixture(autouse=True)
def _put_back(monkeypatch):
    of_torch, others = signal.getsignal(signal.SIGCHLD), set(multiprocessing.active_children())
    monkeypatch.setattr(signal_handling, '_SIGCHLD_handler_set', False)  # torch sets its handler once in a process
    monkeypatch.setattr(workers.atexit, 'register', lambda function: None)
    yield
    stop.finish()
    signal.signal(signal.SIGCHLD, of_torch)
    for worker in set(multiprocessing.active_children()) - others:
        worker.kill()


@pytest.fixture
def new_workers(monkeypatch):
    """The workers that a test has started."""
    others, active = set(multiprocessing.active_children()), multiprocessing.active_children
    monkeypatch.setattr(multiprocessing, 'active_children', lambda: [each for each in active() if each not in others])
    return multiprocessing.active_children


def cared_for(**options):
    loader = DataLoader(range(9), num_workers=1, batch_size=None, **options)
    workers.care_for(loader)
    return loader


def test_workers_never_see_signals_and_end_with_the_process(new_workers):
    stop.listen()
    loader = cared_for()
    samples = iter(loader)
    (worker,) = new_workers()
    for expected in range(9):  # at first torch has not yet set its handlers there
        for number in stop.SIGNALS:
            os.kill(worker.pid, number)
        assert next(samples) == expected
    assert list(samples) == []
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint(stop.SIGNALS)
    assert stop.agreed() is None

    samples = iter(loader)
    next(samples)
    (worker,) = new_workers()
    workers.end()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL


def test_persistent_workers_end_with_their_loader(new_workers):
    """A loader that held itself left them to the end of Python, which ended in "DataLoader worker is killed"."""
    loader = cared_for(persistent_workers=True)
    assert [list(loader), list(loader)] == [list(range(9))] * 2
    assert len(new_workers()) == 1
    gone = weakref.ref(loader)
    gc.disable()
    try:
        del loader
        assert gone() is None
        assert new_workers() == []
    finally:
        gc.enable()


def test_a_run_with_persistent_workers_ends_without_a_word(mclir, option_file):
    file = option_file()
    opt = yaml.safe_load(file.read_text())
    opt['datasets']['train'] |= {'num_worker_per_gpu': 1, 'persistent_workers': True}
    del opt['val'], opt['datasets']['val']
    file.write_text(yaml.safe_dump(opt))
    result = mclir('train', '-opt', file)
    assert result.returncode == 0, result.stderr[-3000:]
    assert 'Traceback' not in result.stderr
    assert 'killed' not in result.stderr


@pytest.mark.parametrize('moment', ['waiting', 'computing'])
@pytest.mark.parametrize('options', [{}, {'persistent_workers': True}])
def test_a_worker_that_is_killed_is_named_at_the_next_batch(new_workers, moment, options):
    """Not where the training is: PyTorch raises in a save, or within logging, which swallows it."""
    samples = iter(cared_for(prefetch_factor=1, **options))
    next(samples)
    (worker,) = new_workers()
    if moment == 'waiting':  # then PyTorch asks after its workers
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.kill(worker.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    found = 'exited unexpectedly' if moment == 'waiting' else 'is killed by signal: Killed'
    with pytest.raises(MclirError, match=rf'DataLoader worker, pid {worker.pid}\) {found}\.') as error:
        list(samples)
    assert all(word in str(error.value) for word in ('memory', '--shm-size', 'num_worker_per_gpu', '--auto_resume'))


def test_a_worker_that_is_lost_while_it_hands_a_batch_over_is_named(new_workers, monkeypatch):
    """The connection breaks before the system has told of its end."""
    loader = cared_for()
    samples = iter(loader)
    (worker,) = new_workers()

    class Broken:
        def __next__(self):
            os.kill(worker.pid, signal.SIGKILL)
            raise ConnectionResetError('reset by peer')

    monkeypatch.setattr(samples, '_batches', Broken())
    with pytest.raises(MclirError, match=f'pid {worker.pid}'):
        next(samples)


def test_faults_of_the_data_set_stay_what_they_are(new_workers):
    loader = DataLoader([], num_workers=1, batch_size=None, sampler=[0])
    workers.care_for(loader)
    with pytest.raises(IndexError, match='Caught IndexError in DataLoader worker process 0'):
        next(iter(loader))
