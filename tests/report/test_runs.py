"""Reading experiment folders."""

import logging
import math
from types import SimpleNamespace

import pytest
from basicsr.models.sr_model import SRModel
from basicsr.utils import MessageLogger
from basicsr.utils.options import dict2str
from experiment_log import END, STAMP, head, noise, real_head, training, validation, write_image, write_log
from hypothesis import assume, given
from hypothesis import strategies as st

from mclir_basicsr.errors import MclirError
from mclir_basicsr.report import read_run


@pytest.fixture
def basicsr_log(tmp_path):
    """The folder and the logger of BasicSR that writes there, in its format."""
    logger = logging.getLogger('basicsr')
    handler = logging.FileHandler(tmp_path / 'train_tiny_20260102_030405.log')
    handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s: %(message)s'))
    level = logger.level
    logger.setLevel('INFO')
    logger.addHandler(handler)
    yield tmp_path, logger
    logger.removeHandler(handler)
    logger.setLevel(level)
    handler.close()


def test_what_basicsr_logs_is_read_back(basicsr_log):
    folder, logger = basicsr_log
    metrics = {'psnr': {'type': 'calculate_psnr'}, 'niqe': {'type': 'calculate_niqe', 'better': 'lower'}}
    opt = {
        'name': 'tiny run',
        'train': {'total_iter': 23},
        'val': {'val_freq': 5.0, 'save_img': True, 'metrics': metrics},
        'logger': {'print_freq': 7, 'use_tb_logger': False},
    }
    logger.info(dict2str(opt))
    logger.info('Start training from epoch: 0, iter: 0')
    messages = MessageLogger(opt)
    model = SimpleNamespace()

    def validate(iteration):
        model.metric_results = {'psnr': 20 + iteration / 8, 'niqe': math.nan}
        best = {'psnr': {'val': 99.0, 'iter': 5}, 'niqe': {'val': 1.0, 'iter': 5}}
        model.best_metric_results = {'Set 5': best}
        SRModel._log_validation_metric_values(model, iteration, 'Set 5', None)

    losses = {7: 1.25e-2, 14: math.inf, 21: math.nan}
    for iteration in range(1, 24):
        if iteration % 7 == 0:
            times = {'time': 0.5, 'data_time': 0.01}
            messages(
                {'epoch': 0, 'iter': iteration, 'lrs': [1e-4], **times, 'l_pix': losses[iteration], 'l_spn': -3e-4}
            )
        if iteration % 5 == 0:
            validate(iteration)
    logger.info('End of training. Time consumed: 0:00:01')
    validate(24)  # as basicsr.train counts once more when it leaves its loop

    run = read_run(folder)
    assert run.training['l_spn'] == [(7, -3e-4), (14, -3e-4), (21, -3e-4)]
    assert run.training['l_pix'][:2] == [(7, 0.0125), (14, math.inf)]
    assert math.isnan(run.training['l_pix'][2][1])
    assert run.validation['Set 5']['psnr'] == [(5, 20.625), (10, 21.25), (15, 21.875), (20, 22.5), (23, 23.0)]
    assert run.lower_is_better == {'niqe'}
    assert run.name == run.label == folder.name


@given(
    start=st.integers(0, 60),
    length=st.integers(1, 60),
    print_freq=st.integers(1, 70),
    val_freq=st.integers(1, 70),
    ended=st.booleans(),
)
def test_validations_are_placed_at_their_iterations(tmp_path_factory, start, length, print_freq, val_freq, ended):
    total = start + length
    parts, expected = [head(val_freq, total, start)], set()
    for iteration in range(start + 1, total + 1):
        if iteration % print_freq == 0:
            parts.append(training(iteration, l_pix=1.0))
        if iteration % val_freq == 0:
            expected.add(iteration)
            parts += [validation('A', psnr=iteration), validation('B', psnr=iteration)]
    if ended:
        expected.add(total)
        parts += [END, validation('A', psnr=total), validation('B', psnr=total)]
    assume(len(parts) > 1)
    run = read_run(write_log(tmp_path_factory.mktemp('run'), *parts))
    points = [(iteration, float(iteration)) for iteration in sorted(expected)]
    assert run.validation == ({'A': {'psnr': points}, 'B': {'psnr': points}} if points else {})


def test_training_lines_correct_for_a_validation_that_was_not_logged(tmp_path):
    write_log(tmp_path, head(10, 40), training(25, l_pix=1), validation('Set5', psnr=30), validation('Set5', psnr=31))
    assert read_run(tmp_path).validation['Set5']['psnr'] == [(30, 30), (40, 31)]


def test_without_val_freq_a_validation_is_at_the_last_training_line(tmp_path):
    write_log(tmp_path, head(None), training(1_234_567, l_pix=1), validation('Set5', psnr=30))
    assert read_run(tmp_path).validation['Set5']['psnr'] == [(1_234_567, 30)]


def test_a_resumed_run_replaces_what_lies_beyond_its_start(tmp_path):
    first = [training(i, l_pix=i) for i in (100, 200, 300, 400)]
    write_log(tmp_path, head(100), *first[:2], validation('Set5', psnr=1), *first[2:], time='20260102_235959')
    again = [training(i, l_pix=-i) for i in (250, 300)]
    write_log(tmp_path, head(100, start=200), *again, validation('Set5', psnr=3), time='20260103_000001')
    run = read_run(tmp_path)
    assert run.training['l_pix'] == [(100, 100), (200, 200), (250, -250), (300, -300)]
    assert run.validation['Set5']['psnr'] == [(200, 1), (300, 3)]


def test_an_unfinished_line_gives_no_value(tmp_path):
    write_log(tmp_path, head(), training(100, l_pix=0.5), training(200, l_pix=0.25)[:-6])
    assert read_run(tmp_path).training == {'l_pix': [(100, 0.5)]}


def test_other_lines_give_no_value(tmp_path):
    other = f'{STAMP}Validation of the pairs is done.\n{STAMP}Model [SRModel] is created.\n\t # of images: 5\n'
    write_log(tmp_path, head(), other, training(100, l_pix=0.5))
    with next(tmp_path.glob('*.log')).open('ab') as log:
        log.write(b'\xff\xfe of no encoding\n')
    run = read_run(tmp_path)
    assert run.validation == {}
    assert run.training == {'l_pix': [(100, 0.5)]}


def test_the_last_image_of_each_name_is_found(tmp_path):
    write_log(tmp_path, head(), training(100, l_pix=1))
    for iteration in (900, 1000, 101):
        write_image(tmp_path, 'a_1', iteration, noise(0))
    write_image(tmp_path, 'b', 7, noise(0)).with_name('b_best.png').write_bytes(b'')
    images = read_run(tmp_path, 'SPN').images
    assert {name: file.name for name, file in images.items()} == {'a_1': 'a_1_1000.png', 'b': 'b_7.png'}


def test_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(MclirError, match=r'There is no folder .*nowhere; give an experiment folder'):
        read_run(tmp_path / 'nowhere')
    (tmp_path / 'test_some_20260102_030405.log').write_text('')
    with pytest.raises(MclirError, match=f'{tmp_path.name} holds no training log'):
        read_run(tmp_path)
    write_log(tmp_path, head())
    with pytest.raises(MclirError, match=f'{tmp_path.name}: train_some_20260102_030405.log hold.* no training line'):
        read_run(tmp_path)


def at(text, time):
    """A log whose lines bear times of the form 03:04."""
    return text.replace('03:04:05', f'{time}:05')


def psnr_of(folder):
    return read_run(folder).validation['Set5']['psnr']


def test_a_clock_set_back_between_two_starts_loses_no_validation(tmp_path):
    """Killed at 130, resumed at 100 an hour earlier by the clock."""
    early = [head(50), *(validation('Set5', psnr=i) for i in (50, 100)), training(130, l_pix=1)]
    late = [head(50, start=100), training(140, l_pix=2), validation('Set5', psnr=3), training(190, l_pix=2)]
    write_log(tmp_path, at(''.join(early), '02:50'), time='20260102_025005')
    write_log(tmp_path, at(''.join(late), '02:10'), time='20260102_021005')
    assert psnr_of(tmp_path) == [(50, 50), (100, 100), (150, 3)]
    assert read_run(tmp_path).training['l_pix'] == [(140, 2), (190, 2)]


def test_a_clock_set_back_between_the_second_and_the_third_start(tmp_path):
    for start, first, last in ((0, '02:10', '02:40'), (100, '02:50', '02:58'), (200, '02:20', '02:45')):
        text = at(head(100, start=start), first) + at(training(start + 99, l_pix=start), last)
        write_log(
            tmp_path, text + at(validation('Set5', psnr=start), last), time=f'20260102_{first.replace(":", "")}05'
        )
    assert psnr_of(tmp_path) == [(100, 0), (200, 100), (300, 200)]


def test_logs_in_order_stay_so_where_a_run_went_back(tmp_path):
    """By hand from an earlier state: what came after it was given up, though it went further."""
    for start, reached, time in ((0, 200, '01:00'), (200, 400, '02:00'), (100, 250, '03:00')):
        lines = [
            at(head(50, start=start), time),
            *(at(validation('Set5', psnr=start), time),) * ((reached - start) // 50),
        ]
        write_log(tmp_path, *lines, time=f'20260102_{time.replace(":", "")}05')
    assert psnr_of(tmp_path) == [(50, 0), (100, 0), (150, 100), (200, 100), (250, 100)]


def test_a_log_whose_predecessors_are_lost_is_read(tmp_path):
    write_log(tmp_path, head(100, start=500), training(599, l_pix=1), validation('Set5', psnr=3))
    assert psnr_of(tmp_path) == [(600, 3)]


def test_val_sets_of_one_name_are_told_apart_by_their_keys(tmp_path):
    """Once 12 iterations of a run of 6."""
    opt = {
        'name': 'some',
        'datasets': {
            'train': {'name': 'X'},
            **{key: {'name': 'Set5'} for key in ('val', 'val_2')},
            'val_3': {'name': 'B'},
        },
        'train': {'total_iter': 6},
        'val': {'val_freq': 2},
    }
    rounds = [validation('Set5', psnr=i) + validation('Set5', psnr=-i) + validation('B', psnr=0) for i in (2, 4, 6)]
    write_log(tmp_path, real_head(opt), *rounds, END, rounds[-1])
    found = read_run(tmp_path).validation
    assert found['Set5 (val)']['psnr'] == [(2, 2), (4, 4), (6, 6)]
    assert found['Set5 (val_2)']['psnr'] == [(2, -2), (4, -4), (6, -6)]
    assert found['B']['psnr'] == [(2, 0), (4, 0), (6, 0)]


def test_the_validation_before_the_first_iteration_is_at_iteration_0(tmp_path):
    began = f'{STAMP}Validating before the first iteration.\n{STAMP}Model [X] says something.\n'
    sets = [validation('Set5', psnr=i) + validation('B', psnr=i) for i in (0, 1, 2)]
    write_log(tmp_path, head(10, 20), began, *sets[:2], training(15, l_pix=1), sets[2], END, sets[2])
    expected = [(0, 0), (10, 1), (20, 2)]
    assert psnr_of(tmp_path) == read_run(tmp_path).validation['B']['psnr'] == expected
