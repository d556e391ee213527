"""Signals ask for a stop, and leave the step alone."""

import multiprocessing
import os
import signal

import pytest
from torch.utils.data import DataLoader

from mclir_basicsr import ranks
from mclir_basicsr.run import stop


@pytest.fixture(autouse=True)
def _put_back(monkeypatch):
    handlers = {number: signal.getsignal(number) for number in stop.SIGNALS}
    monkeypatch.setattr(stop, '_asked', None)
    monkeypatch.setattr(stop.atexit, 'register', lambda function: None)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize('number', stop.SIGNALS)
def test_a_signal_is_noted(number):
    stop.listen()
    assert stop.agreed() is None
    os.kill(os.getpid(), number)
    assert stop.agreed() == signal.Signals(number).name


def test_a_second_ctrl_c_interrupts():
    stop.listen()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_workers_never_see_signals_and_end_with_the_process(monkeypatch):
    others, active = set(multiprocessing.active_children()), multiprocessing.active_children
    monkeypatch.setattr(multiprocessing, 'active_children', lambda: [each for each in active() if each not in others])
    stop.listen()
    loader = DataLoader(range(9), num_workers=1, batch_size=None)
    samples = stop.shielded(lambda: iter(loader))
    (worker,) = multiprocessing.active_children()
    for expected in range(9):  # at first torch has not yet set its handlers there
        for number in stop.SIGNALS:
            os.kill(worker.pid, number)
        assert next(samples) == expected
    assert list(samples) == []
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()).isdisjoint(stop.SIGNALS)
    assert stop.agreed() is None

    samples = stop.shielded(lambda: iter(loader))
    next(samples)
    (worker,) = multiprocessing.active_children()
    of_torch = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # it would report the loss of a worker
    stop._end_workers()
    worker.join(60)
    signal.signal(signal.SIGCHLD, of_torch)
    assert worker.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(('per_step', 'due'), [(1, [10, 20, 30]), (4, [12, 20, 32]), (16, [16, 32])])
def test_ranks_agree_about_every_ten_iterations_behind_an_optimizer_step(monkeypatch, per_step, due):
    steps = range(per_step, 33, per_step)
    assert all(stop.is_due(iteration, per_step) for iteration in steps), 'a process of its own'
    monkeypatch.setattr(ranks, 'several', lambda: True)
    assert [iteration for iteration in steps if stop.is_due(iteration, per_step)] == due
