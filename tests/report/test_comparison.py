"""Which runs repeat one another, and what may be called a gain."""

import copy
import json

import numpy as np
import pytest
from experiment_log import END, real_head, training, validation, write_log
from scipy.stats import ttest_rel

from mclir_basicsr.report import compare, read_run, table
from mclir_basicsr.report.comparison import comparisons, group, with_repetitions
from mclir_basicsr.study import interval

SPN = {'type': 'SPNLoss', 'loss_weight': 1e-3}


def options(name, seed, **changes):
    """An option dict as BasicSR prints it; changes by dotted name, with a double underscore for the dot."""
    opt = {
        'name': name,
        'model_type': 'HistoryModel',
        'scale': 2,
        'num_gpu': 0,
        'manual_seed': seed,
        'datasets': {
            'train': {'name': 'T', 'dataroot_gt': 'data/gt', 'batch_size_per_gpu': 4, 'phase': 'train'},
            'val': {'name': 'Set14', 'dataroot_gt': 'val/gt', 'dataroot_lq': 'val/lq', 'phase': 'val'},
        },
        'path': {'pretrain_network_g': 'start.pth', 'experiments_root': f'/x/{name}', 'log': f'/x/{name}'},
        'train': {'total_iter': 200, 'optim_g': {'type': 'Adam', 'lr': 1e-4}},
        'val': {'val_freq': 100, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 2}}},
        'root_path': '/x',
    }
    for key, value in changes.items():
        *blocks, last = key.split('__')
        inner = opt
        for one in blocks:
            inner = inner.setdefault(one, {})
        inner[last] = value
    return opt


@pytest.fixture
def finished(tmp_path):
    """Write a finished run; returns its folder."""

    def make(name, seed, psnr, images=None, **changes):
        opt = options(name, seed, **changes)
        total = opt['train']['total_iter']
        folder = tmp_path / 'experiments' / name
        write_log(folder, real_head(opt), training(total, l_pix=0.1), END, validation('Set14', psnr=psnr))
        for image, value in (images or {}).items():
            line = {'iteration': total, 'dataset': 'Set14', 'image': image, 'metrics': {'psnr': value}}
            with (folder / 'metrics.jsonl').open('a') as file:
                file.write(json.dumps(line | {'weights': 'params'}) + '\n')
        return folder

    return make


PLAIN, GAINS = (29.4, 29.5, 29.45), (-0.0001, 0.0213, 0.01)


@pytest.fixture
def repeated(finished):
    """plain_s1 to plain_s3, then spn_s1 to spn_s3: the gain at the same seed is small beside that of the seeds."""
    plain = [finished(f'plain_s{s}', s, psnr) for s, psnr in enumerate(PLAIN, 1)]
    spn = [
        finished(f'spn_s{s}', s, round(psnr + gain, 4), train__spn_opt=SPN)
        for s, (psnr, gain) in enumerate(zip(PLAIN, GAINS, strict=True), 1)
    ]
    return plain, spn


def test_repetitions_are_grouped_and_paired_by_seed(repeated, tmp_path):
    """Once "spn_s2 +0.1213" over plain_s1."""
    plain, spn = repeated
    text = compare([*plain, *spn[::-1]], tmp_path / 'out')
    low, high = ttest_rel(np.array(PLAIN) + GAINS, PLAIN).confidence_interval(0.95)
    assert 'plain (n=3)' in text and 'spn (n=3)' in text
    assert f'+0.0104 ({low:.4f} to {high:.4f})' in text
    assert f'spn: +0.010 dB on Set14, 95 % {low:.3f} to {high:.3f}, 3 seeds; not settled: about' in text
    assert 'plain_s1' not in text


def test_other_budget_and_start_are_no_gain(finished, tmp_path):
    """400 iterations from scratch vs. 200 more from that checkpoint: once "+0.8058" without a word."""
    first = finished('edsr', 0, 28.0, train__total_iter=400, path__pretrain_network_g=None)
    second = finished('edsr_spn', 0, 28.8058, path__pretrain_network_g='experiments/edsr/net_g.pth')
    text = compare([first, second], tmp_path / 'out')
    page = (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
    assert 'gain' not in text and '>gain<' not in page
    assert '28.0000' in text and '28.8058' in text and '0.8058' not in text
    (line,) = (line for line in text.splitlines() if 'not comparable' in line)
    assert line in page
    for part in (
        'edsr_spn and edsr are not comparable: ',
        'start (path.pretrain_network_g) /x/experiments/edsr/net_g.pth vs. none',
        'train.total_iter 200 vs. 400',
        'iteration of the figures 200 vs. 400',
    ):
        assert part in line


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'datasets__train__dataroot_gt': 'other/gt'}, 'datasets.train.dataroot_gt /x/other/gt vs. /x/data/gt'),
        ({'datasets__train__batch_size_per_gpu': 8}, 'datasets.train.batch_size_per_gpu 8 vs. 4'),
        ({'datasets__val__dataroot_gt': 'other/gt'}, 'dataroot_gt /x/other/gt vs. /x/val/gt'),
        ({'val__metrics__psnr__crop_border': 0}, 'val.metrics.psnr.crop_border 0 vs. 2'),
        ({'manual_seed': 5}, 'seeds (manual_seed) 5 vs. 0, none in common to pair by'),
        ({'num_gpu': 2}, 'num_gpu 2 vs. 1'),
    ],
)
def test_what_forbids_the_word_is_listed(finished, changes, reason):
    runs = [read_run(finished('plain', 0, 28.0)), read_run(finished('spn', 0, 28.5, **changes))]
    (found,) = comparisons(runs)
    assert [text for text in found.obstacles if text.endswith(reason)]
    assert found.gains == () and 'gain' not in table(runs)


@pytest.mark.parametrize(
    'changes',
    [
        {'datasets__train__dataroot_gt': '/x/data/../data/gt'},
        {'datasets__train__num_worker_per_gpu': 4},
        {'datasets__val_2': {'name': 'Set5', 'dataroot_gt': 'set5'}},
        {'val__metrics__ssim': {'type': 'calculate_ssim', 'crop_border': 4}},
        {'num_gpu': 1},
        {'val__save_img': True},
    ],
)
def test_what_does_not_change_the_figures_forbids_nothing(finished, changes):
    runs = [read_run(finished('plain', 0, 28.0)), read_run(finished('spn', 0, 28.5, **changes))]
    (found,) = comparisons(runs)
    assert found.obstacles == ()
    assert found.gain('Set14', 'psnr').interval.gain == pytest.approx(0.5)


def test_other_options_that_differ_are_named_on_the_page(finished, tmp_path):
    compare([finished('plain', 0, 28.0), finished('spn', 0, 28.5, train__spn_opt=SPN)], tmp_path)
    page = (tmp_path / 'report.html').read_text(encoding='utf-8')
    assert 'spn and plain differ in: train.spn_opt.type SPNLoss vs. none;' in page


def test_one_seed_gives_a_gain_without_an_interval(finished, tmp_path):
    text = compare([finished('plain', 0, 28.0), finished('spn', 0, 28.5)], tmp_path)
    assert '+0.5000 ' in text and '95 %' not in text
    assert 'One seed says nothing about chance' in text


def test_figures_per_image_give_an_interval_over_seeds_and_images(finished):
    rng = np.random.default_rng(0)
    figures = rng.normal(28, 1, (2, 3, 4)).round(4)  # arm, seed, image
    runs = [
        read_run(finished(f'{arm}_{s}', s, row.mean(), dict(zip('dcba', row, strict=True)), **changes))
        for arm, seeds, changes in zip(('plain', 'spn'), figures, ({}, {'train__spn_opt': SPN}), strict=True)
        for s, row in enumerate(seeds)
    ]
    (found,) = comparisons(with_repetitions(runs))
    expected = interval(figures[1] - figures[0])
    got = found.gain('Set14', 'psnr').interval
    assert (got.low, got.high, got.seeds, got.images) == (
        pytest.approx(expected.low),
        pytest.approx(expected.high),
        3,
        4,
    )
    assert 'Intervals speak of other seeds and of other images of the kind.' in table(with_repetitions(runs))


def test_figures_of_another_iteration_than_the_last_validation_are_not_taken(finished):
    folder = finished('plain', 0, 28.0, {'a': 1.0})
    old = (folder / 'metrics.jsonl').read_text()
    (folder / 'metrics.jsonl').write_text(old.replace('"iteration": 200', '"iteration": 100'))
    assert read_run(folder).figures == {}


def test_of_two_networks_the_moving_average_is_taken(finished):
    folder = finished('plain', 0, 28.0, {'a': 1.0})
    line = json.loads((folder / 'metrics.jsonl').read_text())
    for weights, value in (('params_ema', 2.0), ('params', 3.0)):
        with (folder / 'metrics.jsonl').open('a') as file:
            file.write(json.dumps(line | {'weights': weights, 'metrics': {'psnr': value}}) + '\n')
    assert read_run(folder).figures == {'Set14': {'psnr': {'a': 2.0}}}


def test_seeds_without_a_partner_are_named(repeated):
    plain, spn = repeated
    runs = with_repetitions([read_run(folder) for folder in (*plain, *spn[:2])])
    assert 'spn, Set14: Seed 3: only one of the two has it.' in table(runs)


def test_runs_of_one_seed_and_other_learning_rates_are_no_repetitions(finished):
    runs = [
        read_run(finished('a_s1', 1, 28.0)),
        read_run(finished('a_s2', 2, 28.0)),
        read_run(finished('a_s2_again', 2, 28.0)),
        read_run(finished('b_s1', 1, 28.0, train__optim_g__lr=1e-3)),
    ]
    assert list(group(with_repetitions(runs))) == ['a', 'a_s2_again', 'b_s1']


def test_groups_with_one_name_keep_their_runs_in_the_label(finished):
    runs = [read_run(finished(f'run_s{s}', s, 28.0, train__optim_g__lr=lr)) for s, lr in enumerate((1, 1, 2, 2))]
    assert list(group(with_repetitions(runs))) == ['run (run_s0, run_s1)', 'run (run_s2, run_s3)']


def test_the_options_of_the_log_are_those_that_were_in_force(finished):
    opt = options('plain', 3, val__metrics=None)
    found = read_run(finished('plain', 3, 28.0, val__metrics=None))

    def as_text(value):
        return {key: as_text(one) for key, one in value.items()} if isinstance(value, dict) else str(value)

    assert found.options == as_text(copy.deepcopy(opt))
    assert found.seed == '3'
