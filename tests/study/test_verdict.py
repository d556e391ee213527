"""Verdicts."""

import numpy as np
import pytest

from mclir_basicsr.study import Gain, interval, sentence, settled
from mclir_basicsr.study.verdict import word


def gain(differences, metric='psnr', alpha=0.05):
    table = np.array(differences)
    return Gain('spn', 'Set14', metric, interval(table, alpha), table, alpha)


def test_a_gain_told_from_zero():
    found = gain([0.03, 0.05, 0.04, 0.02, 0.06])
    assert sentence(found) == '+0.040 dB on Set14, 95 % 0.020 to 0.060, 5 seeds.'
    assert settled(found)


def test_a_loss_told_from_zero():
    assert sentence(gain([-0.03, -0.05, -0.04])) == '-0.040 dB on Set14, 95 % -0.065 to -0.015, 3 seeds.'


def test_not_settled_says_how_many_seeds_would_do():
    found = gain([0.03, -0.01, 0.02])
    assert not settled(found)
    assert sentence(found, 0.01) == (
        '+0.013 dB on Set14, 95 % -0.038 to 0.065, 3 seeds; not settled: about 20 seeds would be needed for ±0.01.'
    )
    assert 'needed for ±0.01.' in sentence(found)  # the gain itself, in one digit


def test_an_interval_as_narrow_as_asked_for_is_settled_whatever_it_holds():
    found = gain([0.001, -0.001, 0.0])
    assert settled(found, 0.01) and not settled(found)
    assert sentence(found, 0.01) == '+0.0000 dB on Set14, 95 % -0.0025 to 0.0025, 3 seeds.'
    assert not settled(gain([0.5, 0.6, 0.7]), 0.01)


def test_few_images_are_named_where_seeds_cannot_settle_it():
    found = gain(np.array([-0.1, 0.0, 0.13]) + np.array([[-0.01], [0.0], [0.01]]))
    assert 'for ±0.01 it takes more images; these 3 leave ±0.29 open at any number of seeds' in sentence(found, 0.01)


def test_one_seed_is_never_settled():
    found = gain([[0.1, 0.2]])
    assert sentence(found) == '+0.1500 dB on Set14, 1 seed; not settled: one seed says nothing about chance.'
    assert not settled(found) and not settled(found, 1.0)


def test_no_difference_at_all():
    assert sentence(gain(np.zeros((3, 2)))) == '+0.0000 dB on Set14, 95 % 0.0000 to 0.0000, 3 seeds.'


@pytest.mark.parametrize(('metric', 'unit'), [('psnr', ' dB'), ('psnr_y', ' dB'), ('ssim', ' ssim'), ('niqe', ' niqe')])
def test_units(metric, unit):
    assert f'{unit} on Set14' in sentence(gain([0.03, 0.05, 0.04], metric))


@pytest.mark.parametrize(
    ('differences', 'better', 'width', 'said'),
    [
        ([0.03, 0.05, 0.04], 'higher', None, 'better'),
        ([0.03, 0.05, 0.04], 'lower', None, 'worse'),
        ([-0.03, -0.05, -0.04], 'lower', None, 'better'),
        ([0.03, 0.05, 0.04], None, None, 'higher'),
        ([0.03, -0.01, 0.02], 'higher', None, 'not settled'),
        ([0.001, -0.001, 0.0], 'higher', 0.01, 'no difference seen'),
        ([0.0, 0.0], 'higher', None, 'no difference seen'),
        ([0.03], 'higher', None, 'one seed'),
    ],
)
def test_the_verdict_in_a_word(differences, better, width, said):
    assert word(gain(differences), better, width) == said
