"""What a training says while it runs."""

import logging
import re
from types import SimpleNamespace

import pytest
import torch
from basicsr.utils import MessageLogger

from mclir_basicsr.report.log import read_log
from mclir_basicsr.run import log_line, progress


@pytest.fixture
def said(monkeypatch):
    """A MessageLogger of 100 iterations with a clock that is set by hand, and the lines that it logs."""
    clock, lines = SimpleNamespace(now=1000.0), []
    monkeypatch.setattr(log_line.time, 'time', lambda: clock.now)

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    opt = {
        'name': 'denoising_long',
        'logger': {'print_freq': 1, 'use_tb_logger': False},
        'train': {'total_iter': 100.0},
    }
    message = MessageLogger(opt, 0)
    message.logger = logging.getLogger('said')
    message.logger.handlers, message.logger.level = [Kept()], logging.INFO
    message.clock, message.lines = clock, lines
    return message


def values(iteration, **more):
    return {'epoch': 0, 'iter': iteration, 'lrs': [1e-4], 'time': 0.5, 'data_time': 0.1, **more}


def test_the_time_left_is_right_to_the_end(said):
    """A run of 2 s an iteration, its clock set anew behind the first as BasicSR does."""
    left = []
    for iteration in range(1, 101):
        said.clock.now += 2
        if iteration == 1:
            said.reset_start_time()
        said(values(iteration))
        left.append(re.search(r'eta: (\S+),', said.lines[-1])[1])
    assert left[0] == '0:00:50'  # only the time of the iteration itself is known yet: 0.5 s
    assert left[1] == '0:03:16' and left[49] == '0:01:40' and left[98:] == ['0:00:02', '0:00:00']


def test_a_resumed_run_goes_by_its_own_iterations(said):
    said.start_iter = 90
    said.clock.now += 30
    said(values(93))
    assert 'eta: 0:01:10, 2.00 it/s, time (data): 0.500 (0.100)]' in said.lines[-1]


def test_names_are_whole_and_whole_numbers_are_no_fractions(said, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda: 3_210_000_000)
    said(values(7, l_pix=0.25, neg_refresh=1234))
    assert said.lines[-1].startswith('[denoising_long][epoch:  0, iter:       7, lr:(1.000e-04,)] ')
    assert said.lines[-1].endswith(
        'GPU peak: 3.21 GB, time (data): 0.500 (0.100)] l_pix: 2.5000e-01 neg_refresh: 1234 '
    )
    log = read_log(f'2026-01-02 03:04:05,678 INFO: {said.lines[-1]}\n')
    assert (log.training['l_pix'], log.training['neg_refresh']) == ({7: 0.25}, {7: 1234.0})
    cut = read_log(f'2026-01-02 03:04:05,678 INFO: {said.lines[-1][:-2]}')  # '123' of 1234
    assert 'neg_refresh' not in cut.training


def test_a_run_ends_with_nothing_left_and_shows_its_pictures(option_file, tmp_path, mclir):
    """As a user runs it; the event file is read back."""
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = {'print_freq': 1, 'save_checkpoint_freq': 100, 'use_tb_logger': True}
    done = mclir('train', '--fast', '-opt', option_file('tiny_run', logger=logger))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if '[tiny_run][epoch:' in line]
    assert len(lines) == 2 and 'eta: 0:00:00,' in lines[-1]
    assert re.search(r'neg_refresh: \d+ *$', lines[-1])
    assert '\r' not in done.stderr  # no bar: this is no terminal
    events = EventAccumulator(str(tmp_path / 'tb_logger' / 'tiny_run'))
    events.Reload()
    assert [event.step for event in events.Scalars('losses/l_spn')] == [1, 2]
    (picture,) = events.Images('held-out/000')
    assert (picture.step, picture.width, picture.height) == (2, 4 * 32, 32)  # lq, output, gt, spread


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    progress.reach(1, {'name': 'outside', 'train': {'total_iter': 3}})
    assert not progress.is_shown() and capsys.readouterr().err == ''
    monkeypatch.setattr('sys.stderr.isatty', lambda: True)
    with progress.shown():
        assert progress.is_shown()
        for iteration in (2, 3):  # a resumed run
            progress.reach(iteration, {'name': 'spn', 'train': {'total_iter': 3}})
    assert not progress.is_shown()
    assert re.search(r'spn: 100%.*3/3', capsys.readouterr().err)
