"""Signals ask for a stop, and leave the step alone."""

import multiprocessing
import os
import signal
import time

import pytest

from mclir_basicsr.models import stop


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
    assert stop.asked(7) is None
    os.kill(os.getpid(), number)
    assert stop.asked(7) == signal.Signals(number).name


def test_a_second_ctrl_c_interrupts():
    stop.listen()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def _wait():
    time.sleep(60)


def test_workers_pass_signals_over_and_end_with_the_process():
    stop.listen()
    worker = multiprocessing.get_context('fork').Process(target=_wait, daemon=True)
    worker.start()
    for number in stop.SIGNALS:
        os.kill(worker.pid, number)
    worker.join(0.3)
    assert worker.is_alive()
    stop._end_workers()
    worker.join(5)
    assert worker.exitcode == -signal.SIGKILL
    assert stop.asked(1) is None
