"""Pairing of figures by seed and image."""

import math

import numpy as np
import pytest

from mclir_basicsr.study import Looks, gains, pair

PLAIN = {'0': {'a': 30.0, 'b': 31.0}, '1': {'a': 30.5, 'b': 31.5}}


def plus(figures, value):
    return {seed: {image: old + value for image, old in images.items()} for seed, images in figures.items()}


def test_figures_are_paired_by_seed_and_image_in_any_order():
    spn = {'1': {'b': 31.75, 'a': 30.5}, '0': {'b': 31.0, 'a': 30.125}}
    differences, left_out = pair(PLAIN, spn)
    assert differences.tolist() == [[0.125, 0.0], [0.0, 0.25]]
    assert left_out == []


def test_what_has_no_partner_is_left_out_and_named():
    spn = {'0': {'a': 30.0, 'c': 1.0}, '1': {'a': 30.0, 'b': 31.0}, '7': {'a': 30.0}}
    differences, left_out = pair(PLAIN, spn)
    assert differences.tolist() == [[0.0], [-0.5]]
    assert left_out == [
        'Seed 7: only one of the two has it.',
        'Image b: 1 of 2 pairs of runs lack it.',
        'Image c: 2 of 2 pairs of runs lack it.',
    ]


@pytest.mark.parametrize('value', [math.inf, math.nan])
def test_figures_that_are_not_finite_are_left_out_and_named(value):
    plain = {'0': {'a': value, 'b': 1.0}}
    differences, left_out = pair(plain, {'0': {'a': value, 'b': 2.0}})
    assert differences.tolist() == [[1.0]]
    assert left_out == ['Image a: a figure is not finite.']


def test_a_gain_for_each_arm_data_set_and_metric_over_the_first_arm():
    arms = {
        'plain': {'Set5': {'psnr': PLAIN, 'ssim': PLAIN}, 'Set14': {'psnr': PLAIN}},
        'plain_time': {'Set5': {'psnr': plus(PLAIN, 0.25)}},
        'spn': {'Set5': {'psnr': plus(PLAIN, 0.5), 'ssim': {}}, 'Set14': {'psnr': plus(PLAIN, -1.0)}},
    }
    found = gains(arms, Looks(2, 4).alpha(2))
    assert [(one.arm, one.dataset, one.metric, one.interval.gain) for one in found] == [
        ('plain_time', 'Set5', 'psnr', 0.25),
        ('spn', 'Set5', 'psnr', 0.5),
        ('spn', 'Set14', 'psnr', -1.0),
    ]
    assert found[0].interval.seeds == found[0].interval.images == 2
    assert found[0].alpha == Looks(2, 4).alpha(2)


def test_nothing_to_pair():
    assert gains({}) == gains({'plain': {'Set5': {'psnr': PLAIN}}}) == []
    assert pair({}, PLAIN)[0].shape == (0, 0)
    assert isinstance(pair(PLAIN, {})[0], np.ndarray)
