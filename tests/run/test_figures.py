"""Figures of each image beside a run."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from mclir_basicsr.report import read_run
from mclir_basicsr.run import figures
from mclir_basicsr.run.figures import Figure

PSNR = {'psnr': 30.0}


def figure(iteration, image='000', dataset='set', value=30.0):
    return Figure(iteration, dataset, image, {'psnr': value}, 'params')


def test_figures_are_read_as_they_were_written(tmp_path):
    written = [figure(0), figure(5, 'ä 1'), figure(5, dataset='other', value=float('nan'))]
    figures.append(tmp_path, written[:1])
    figures.append(tmp_path, written[1:])
    found = list(figures.read(tmp_path))
    assert [each[:3] for each in found] == [each[:3] for each in written]
    assert found[:2] == written[:2]
    assert str(found[2].metrics['psnr']) == 'nan'


def test_there_are_none_before_the_first_validation(tmp_path):
    assert list(figures.read(tmp_path)) == []
    figures.drop_after(tmp_path, 3)
    assert not list(tmp_path.iterdir())


def test_what_a_kill_cut_off_is_passed_over_and_mended(tmp_path):
    figures.append(tmp_path, [figure(1), figure(2)])
    file = tmp_path / figures.FIGURES
    file.write_text(file.read_text()[:-20])
    assert [each.iteration for each in figures.read(tmp_path)] == [1]
    figures.drop_after(tmp_path, 9)
    figures.append(tmp_path, [figure(2)])
    assert [each.iteration for each in figures.read(tmp_path)] == [1, 2]


def test_of_two_validations_at_an_iteration_the_last_counts(tmp_path):
    figures.append(tmp_path, [figure(4, value=1.0), figure(4, value=2.0), figure(3, value=9.0), figure(4, 'b')])
    assert figures.of_iteration(tmp_path, 4) == {'set': {'psnr': {'000': 2.0, 'b': 30.0}}}


def test_a_run_writes_every_image_at_start_and_at_each_validation(mclir, tmp_path, option_file, write_pairs):
    write_pairs(2)
    val = {'val_freq': 2, 'save_img': False, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 2}}}
    first = option_file(name='first', train={'total_iter': 1, 'spn_opt': None, 'history': None})
    done = mclir('train', '-opt', first)
    assert done.returncode == 0, done.stderr
    start = tmp_path / 'experiments' / 'first' / 'models' / 'net_g_latest.pth'
    path = {'pretrain_network_g': str(start), 'strict_load_g': True, 'resume_state': None}
    second = option_file(name='second', train={'total_iter': 3, 'ema_decay': 0.9}, val=val, path=path)
    other = tmp_path / 'elsewhere'
    other.mkdir()
    done = mclir('train', '--root', other, '-opt', second)
    assert done.returncode == 0, done.stderr
    lines = (other / 'experiments' / 'second' / figures.FIGURES).read_text().splitlines()
    seen = [json.loads(line) for line in lines]
    assert [(each['iteration'], each['image']) for each in seen] == [
        (iteration, image) for iteration in (0, 2, 3) for image in ('000', '001')
    ]
    assert {each['weights'] for each in seen} == {'params_ema'}
    assert all(each['metrics'].keys() == PSNR.keys() for each in seen)
    log = next((other / 'experiments' / 'second').glob('train_*.log')).read_text()
    end = figures.of_iteration(other / 'experiments' / 'second', 3)['held-out']['psnr']
    assert f'# psnr: {sum(end.values()) / 2:.4f}' in log
    in_log = read_run(other / 'experiments' / 'second').validation['held-out']['psnr']
    assert [iteration for iteration, _ in in_log] == [0, 2, 3]
    before = figures.of_iteration(tmp_path / 'experiments' / 'first', 1)
    at_start = figures.of_iteration(other / 'experiments' / 'second', 0)
    assert at_start == before, 'the same network'


def test_a_figure_measured_twice_is_there_once(tmp_path):
    """BasicSR validates at the last iteration and once more after it."""
    for _ in range(2):
        figures.append(tmp_path, [Figure(5, 'Set5', 'a', {'psnr': math.nan}, 'params')])
    assert len(list(figures.read(tmp_path))) == 1


@given(length=st.integers(0, 190))
def test_a_kill_leaves_whole_lines(tmp_path_factory, length):
    """Wherever the write was cut: reading takes the whole lines, and the next to append goes on behind them."""
    folder = tmp_path_factory.mktemp('run')
    two = [Figure(5, 'Set5', 'a', {'psnr': 37.5}, 'params'), Figure(10, 'Set5', 'a', {'psnr': 37.5}, 'params')]
    figures.append(folder, two)
    content = (folder / figures.FIGURES).read_bytes()[:length]
    (folder / figures.FIGURES).write_bytes(content)
    figures.append(folder, two[1:])
    whole = two[: content.count(b'\n')]
    assert list(figures.read(folder)) == (two if whole else two[1:])
