"""Signals ask for a stop, and leave the step alone."""

import os
import pty
import signal
import sys

import basicsr.train
import pytest

from mclir_basicsr import ranks
from mclir_basicsr.errors import MclirError
from mclir_basicsr.run import stop


@pytest.fixture(autouse=True)
def _put_back():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started without
    yield
    stop.finish()
    signal.signal(signal.SIGINT, before)


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


def test_a_second_run_in_one_process_does_not_stop_at_its_first_step():
    before = {number: signal.getsignal(number) for number in stop.SIGNALS}

    def stopped():
        stop.listen()
        signal.raise_signal(signal.SIGTERM)
        stop.pass_over()
        raise SystemExit(stop.REQUEUE)

    def second():
        stop.listen()
        assert not stop.noted()
        return 'trained'

    with pytest.raises(SystemExit):
        stop.run(stopped)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN, 'the process ends with this status, whatever comes'
    assert stop.run(second) == 'trained'
    assert {number: signal.getsignal(number) for number in stop.SIGNALS} == before


def test_the_first_ctrl_c_after_a_run_interrupts():
    stop.run(stop.listen)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_handlers_come_back_where_a_run_fails():
    handler = signal.signal(signal.SIGUSR1, lambda *_: None)
    own = signal.getsignal(signal.SIGUSR1)

    def fails():
        stop.listen()
        signal.raise_signal(signal.SIGUSR1)
        raise MclirError('a fault')

    try:
        with pytest.raises(MclirError):
            stop.run(fails)
        assert signal.getsignal(signal.SIGUSR1) is own
        assert not stop.noted()
    finally:
        signal.signal(signal.SIGUSR1, handler)


def test_train_pipeline_is_such_a_run(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['train'])
    stop.listen()
    with pytest.raises(SystemExit):  # of the parser: a run that did not begin
        basicsr.train.train_pipeline('.')
    monkeypatch.setattr('basicsr.train.parse_options', lambda *_, **__: (_ for _ in ()).throw(MclirError('a fault')))
    with pytest.raises(MclirError):
        basicsr.train.train_pipeline('.')
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize('ignored', [False, True])
def test_a_lost_connection_asks_for_a_stop_but_not_under_nohup(ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        stop.listen()
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.agreed() == (None if ignored else 'SIGHUP')
        stop.finish()
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if ignored else signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_output_to_a_closed_terminal_does_not_fail(monkeypatch):
    """What a run prints behind the signal would raise before it is saved."""
    terminal, own = pty.openpty()
    monkeypatch.setattr(stop, '_OUTPUTS', (own,))
    stop._leave_closed_terminal()
    os.write(own, b'still there')
    assert os.read(terminal, 99) == b'still there'
    os.close(terminal)
    with pytest.raises(OSError, match='Input/output'):
        os.write(own, b'x')
    stop._leave_closed_terminal()
    assert os.write(own, b'nowhere') == 7
    os.close(own)


@pytest.mark.parametrize(('per_step', 'due'), [(1, [10, 20, 30]), (4, [12, 20, 32]), (16, [16, 32])])
def test_ranks_agree_about_every_ten_iterations_behind_an_optimizer_step(monkeypatch, per_step, due):
    steps = range(per_step, 33, per_step)
    assert all(stop.is_due(iteration, per_step) for iteration in steps), 'a process of its own'
    monkeypatch.setattr(ranks, 'several', lambda: True)
    assert [iteration for iteration in steps if stop.is_due(iteration, per_step)] == due


@pytest.mark.parametrize('is_validating', [False, True])
def test_a_run_whose_terminal_is_closed_saves(option_file, tmp_path, is_validating):
    """In a terminal of its own, which is closed after some iterations; a progress bar would write to it."""
    train = {'total_iter': 1_000_000}
    val = {'val_freq': 2, 'save_img': False, 'pbar': True, 'metrics': {}}
    file = option_file(train=train, val=val) if is_validating else option_file(train=train)
    command = (sys.executable, '-m', 'mclir_basicsr', 'train', '-opt', str(file))
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execv(sys.executable, command)
    said = b''
    while b'iter:       5,' not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    folder = tmp_path / 'experiments' / 'tiny'
    log = next(folder.glob('train_*.log')).read_text()
    assert 'SIGHUP: iteration' in log
    assert len(list((folder / 'training_states').iterdir())) == 1
    assert status == stop.REQUEUE
