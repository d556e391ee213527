"""The main job, shortened, as a user runs it; and the photographs that it trains on."""

import re
import sys

import numpy as np
import pytest
from conftest import run
from PIL import Image

from mclir_basicsr.commands.demo import _quoted, _write_options
from mclir_basicsr.commands.demo.photographs import HELD_OUT, TRAIN, write_pairs
from mclir_basicsr.options import parse_file, read_options
from mclir_basicsr.report import read_run


def test_the_demo_shows_what_spn_brings(tmp_path):
    result = run(sys.executable, '-c', SHORT_DEMO, 'demo', '--iters', 5, '--seeds', 2, '--out', 'shown', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for part in (r'held-out .*last psnr', r'plain \(n=2\) .*\d\d\.\d{4} ± ', r'SPN \(n=2\) .*[+-]0\.\d{4} \(', 'λ = 0.',
                 'Real features: VGG16', r'spn_ratio near 0\.02; measured 0\.0', 'published 0.001 would give 0.0',
                 r'report\.html'):  # fmt: skip
        assert re.search(part, result.stdout), result.stdout
    out = tmp_path / 'shown'
    assert '<table' in (out / 'report.html').read_text(encoding='utf-8')
    with Image.open(out / 'report.png') as picture:
        assert min(picture.size) > 500
    assert 'compare a gain with its interval' in result.stdout
    # both continuations begin with the same batch
    plain = parse_file(out / 'plain_seed1.yml')
    assert plain['model_type'] == 'HistoryModel'
    assert not {'spn_opt', 'history'} & plain['train'].keys()
    first = [read_run(out / 'experiments' / f'{name}_seed1').training['l_pix'][0] for name in ('plain', 'spn')]
    assert first[0] == first[1]
    # the option file that stays, and was trained with, is one to go on with
    options = parse_file(out / 'spn_seed1.yml')
    assert options['manual_seed'] == 1
    assert read_options(options)[1] == []


SHORT_DEMO = """
import sys
import mclir_basicsr.commands.demo
from mclir_basicsr.commands.cli import main
mclir_basicsr.commands.demo.BASELINE_ITERS = 10
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ('flags', 'said'),
    [
        (['--vgg-weights', 'gone.pth'], 'there is no file'),
        (['--vgg-weights', 'empty.pth'], 'empty.pth is truncated, damaged or no checkpoint'),
        (['--iters', '1'], '--iters must be at least 5'),
        (['--seeds', '0'], '--seeds at least 1'),
    ],
)
def test_what_cannot_be_shown(mclir, flags, said, tmp_path):
    (tmp_path / 'empty.pth').touch()
    result = mclir('demo', *flags)
    assert result.returncode == 2
    assert said in result.stderr
    assert 'Traceback' not in result.stderr
    assert not (tmp_path / 'demo').exists()  # nothing was trained


@pytest.mark.parametrize('path', ['/w #1/vgg.pth', '/it\'s: {a} "b" $c/ü.pth', '/' + 'a b ' * 40 + '.pth', 'imagenet'])
def test_any_path_of_weights_comes_through_the_option_file(path, tmp_path):
    spn = {'loss_weight': 0.1, 'weights': _quoted(path)}
    assert parse_file(_write_options(tmp_path, 'spn', 9, lr=1, spn=spn))['train']['spn_opt']['weights'] == path


def test_pairs_are_photographs_and_their_bicubic_reductions(tmp_path):
    for _ in range(2):  # the second finds all there
        write_pairs(tmp_path)
    assert {file.stem.rpartition('_s')[0] for file in (tmp_path / 'train' / 'gt').glob('*.png')} == set(TRAIN)
    assert {file.stem for file in (tmp_path / 'held-out' / 'gt').glob('*.png')} == set(HELD_OUT)
    for part in ('train', 'held-out'):
        names = {kind: sorted(file.name for file in (tmp_path / part / kind).glob('*.png')) for kind in ('gt', 'lq')}
        assert names['gt'] == names['lq']
        gt, lq = (Image.open(tmp_path / part / kind / names['gt'][0]) for kind in ('gt', 'lq'))
        assert gt.size == (lq.size[0] * 2, lq.size[1] * 2)
        # Pillow's bicubic is antialiased too, with another kernel parameter (-0.5 as well) and rounding
        reduced = np.asarray(gt.resize(lq.size, Image.Resampling.BICUBIC), dtype=float)
        assert np.abs(reduced - np.asarray(lq, dtype=float))[2:-2, 2:-2].mean() < 1
