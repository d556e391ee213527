"""The files of results, from figures that are known."""

import csv
import json

import pytest

from mclir_basicsr.run import figures
from mclir_basicsr.run.figures import Figure
from mclir_basicsr.study import results_files
from mclir_basicsr.study.results import collect, is_finished

ENDS = {'plain': 10, 'spn': 20}
GAIN = {0: 0.1, 1: 0.2, 2: 0.3}


@pytest.fixture
def root(tmp_path):
    """Two arms, three seeds, two images; the gain of a seed is that of both images."""
    for arm, end in ENDS.items():
        for seed, gain in GAIN.items():
            folder = tmp_path / 'experiments' / f'{arm}_s{seed}'
            (folder / 'models').mkdir(parents=True)
            more = gain if arm == 'spn' else 0.0
            lines = [(0, 'a', 20.0), (0, 'b', 21.0), (5, 'a', 1.0), (end, 'a', 30.0 + more), (end, 'b', 32.0 + more)]
            figures.append(folder, [Figure(t, 'Set', image, {'psnr': v}, 'params') for t, image, v in lines])
            (folder / 'models' / 'net_g_latest.pth').touch()
    return tmp_path


def test_a_run_is_finished_when_it_is_saved_and_measured_on_every_set(root):
    folder = root / 'experiments' / 'spn_s0'
    assert is_finished(folder, 20, ['Set'])
    assert not is_finished(folder, 30, ['Set'])
    assert not is_finished(folder, 20, ['Set', 'Other'])
    (folder / 'models' / 'net_g_latest.pth').unlink()
    assert not is_finished(folder, 20, ['Set'])


def test_gains_are_paired_and_written(root):
    results = collect(root, ENDS, [0, 1, 2], 0.05, None)
    results_files.write(results, root, {'seeds': 3})
    found = json.loads((root / 'results.json').read_text())
    gain = found['gains']['spn']['Set']['psnr']
    assert gain['gain'] == pytest.approx(0.2)
    half = 4.302652729911275 * 0.1 / 3**0.5  # t of 2 degrees of freedom: no image effect is left
    assert (gain['low'], gain['high']) == pytest.approx((0.2 - half, 0.2 + half))
    assert (gain['seeds'], gain['images']) == (3, 2)
    assert found['figures']['spn']['Set']['psnr']['2'] == {'a': 30.3, 'b': 32.3}
    assert found['at_start']['spn'] == {'Set': {'psnr': {key: {'a': 20.0, 'b': 21.0} for key in '012'}}}
    over_start = found['gains_over_start']
    assert over_start['plain']['Set']['psnr']['gain'] == pytest.approx(10.5)  # of 10 and 11
    assert over_start['spn']['Set']['psnr']['gain'] == pytest.approx(10.7)
    assert over_start['plain']['Set']['psnr']['low'] < 10, 'the two images differ'
    assert found['compared'] == {'seeds': 3}
    with (root / 'results.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    assert [row['value'] for row in rows if row['arm'] == 'start'] == ['20.0', '21.0'] * 3
    assert rows[-1] == {
        'arm': 'spn', 'seed': '2', 'dataset': 'Set', 'metric': 'psnr', 'image': 'b', 'value': '32.3'
    }  # fmt: skip
    latex = (root / 'results.tex').read_text().splitlines()
    assert latex[0] == r'% arm & Set psnr \\'
    assert latex[1] == r'start & $20.5000$ \\'
    assert latex[3].startswith('spn & $31.20$ (+0.20 [-0.05, 0.45])')
    text = '\n'.join(results.lines())
    assert 'psnr on Set: start 20.5000, plain 31.0000, spn 31.2000' in text
    assert 'spn: +0.20 dB on Set, 95 % -0.05 to 0.45, 3 seeds; not settled' in text
    assert 'spn: +10.7' in text.partition('Gains over the start')[2]


def test_one_seed_has_no_interval(root):
    results = collect(root, ENDS, [1], 0.05, None)
    results_files.write(results, root, {})
    gain = json.loads((root / 'results.json').read_text())['gains']['spn']['Set']['psnr']
    assert (gain['gain'], gain['low'], gain['high']) == (pytest.approx(0.2), None, None)
    assert 'one seed says nothing about chance' in gain['verdict']


def test_starts_that_differ_are_named_by_their_arms(root):
    for seed in GAIN:
        folder = root / 'experiments' / f'spn_s{seed}'
        figures.append(folder, [Figure(0, 'Set', image, {'psnr': 25.0}, 'params') for image in 'ab'])
    results = collect(root, ENDS, [0, 1, 2], 0.05, None)
    assert list(results.rows) == ['start of plain', 'start of spn', 'plain', 'spn']
    assert [gain.interval.gain for gain in results.gains_over_start] == pytest.approx([10.5, 6.2])
