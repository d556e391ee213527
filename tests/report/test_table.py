"""The table of validation figures."""

import math
import re
from statistics import mean, stdev

import pytest
from scipy.stats import ttest_rel

from mclir_basicsr.report import Run, table


def run(label, psnr, **more):
    return Run(label, label, validation={'Set5': {'psnr': psnr, **more}}, lower_is_better=frozenset({'niqe'}))


def cells(text, row):
    """Cells of the row that starts with a word, by column name."""
    first, *lines = text.splitlines()
    line = next(line for line in lines if line.startswith(row))
    return [cell for cell in re.split(r'\s{2,}', line) if cell], re.split(r'\s{2,}', first)


def test_rows_and_columns():
    plain = run('plain', [(1000, 26.0), (2000, 26.5), (3000, 26.25)], ssim=[(3000, 0.8)])
    spn = run('spn', [(1000, 26.125), (3000, 26.75)], ssim=[(3000, 0.7875)])
    assert table([plain, spn]).splitlines()[:4] == [
        'Set5   iterations  last psnr     gain        best psnr  last ssim     gain       best ssim',
        '-' * 90,
        'plain       3,000    26.2500           26.5000 @ 2,000     0.8000           0.8000 @ 3,000',
        'spn         3,000    26.7500  +0.5000  26.7500 @ 3,000     0.7875  -0.0125  0.7875 @ 3,000',
    ]


def test_repetitions_become_mean_and_deviation():
    plain, spn = (26.0, 26.5, 26.25), (26.5, 26.75, 27.0)
    text = table([run(label, [(9, value)]) for label, values in (('plain', plain), ('spn', spn)) for value in values])
    low, high = ttest_rel(spn, plain).confidence_interval(0.95)
    row, _ = cells(text, 'spn')
    expected = f'{mean(spn):.4f} ± {stdev(spn):.4f}'
    gain = f'{mean(spn) - mean(plain):+.4f} ({low:.4f} to {high:.4f})'
    assert row == ['spn (n=3)', '9', expected, gain, expected]
    assert 'over n runs' in text
    assert 'Intervals speak of other seeds and of these very images, as only their mean is known.' in text


def test_unequal_numbers_of_repetitions_without_known_seeds_cannot_be_paired():
    text = table([run('plain', [(9, 26.0)]), run('plain', [(9, 27.0)]), run('spn', [(9, 27.0)])])
    assert cells(text, 'spn')[0] == ['spn', '9', '27.0000', '27.0000 @ 9']
    assert 'spn and plain are not comparable: seeds (manual_seed) unknown vs. unknown, unknown, none in common' in text


def test_lower_is_better():
    text = table([run('plain', [(9, 26.0)], niqe=[(5, 4.0), (6, 3.0), (9, 5.0)])])
    assert cells(text, 'plain')[0][-2:] == ['5.0000', '3.0000 @ 6']
    assert 'Lower is better: niqe.' in text
    assert 'niqe' not in table([run('plain', [(9, 26.0)])])


def test_a_figure_that_one_run_lacks():
    spn = Run('spn', 'spn', validation={'Set5': {'ssim': [(9, 0.5)]}, 'Set14': {'psnr': [(9, 20.0)]}})
    text = table([run('plain', [(9, 26.0)]), spn])
    assert cells(text, 'spn')[0] == ['spn', '9', '-', '-', '0.5000', '0.5000 @ 9']
    assert cells(text[text.index('Set14') :], 'plain')[0] == ['plain', '-', '-', '-']
    assert 'gain' not in text


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_values_that_are_not_finite(value):
    text = table([run('plain', [(9, 26.0)]), run('spn', [(5, 25.0), (9, value)])])
    row, _ = cells(text, 'spn')
    assert row[2:] == [f'{value:.4f}', '25.0000 @ 5' if math.isnan(value) else 'inf @ 9']
    assert 'spn, Set5 psnr: no figure of both with one seed that is finite.' in text


def test_one_run_has_no_gain():
    assert 'gain' not in table([run('plain', [(9, 26.0)])])


def test_no_validation_figures():
    assert 'set val.val_freq and val.metrics' in table([Run('plain', 'plain', training={'l_pix': [(1, 0.5)]})])
