"""The picture grid."""

import numpy as np
import pytest
from experiment_log import noise
from matplotlib.figure import Figure

from mclir_basicsr.report import Picture
from mclir_basicsr.report.grid import picture_section
from mclir_basicsr.report.pictures import psnr


def draw(pictures):
    """The grid: caption and rows of axes."""
    part = Figure(layout='constrained').subfigures()
    picture_section(pictures).draw(part)
    rows = len(pictures)
    return part.texts[0].get_text(), np.array(part.axes).reshape(rows, -1)


def titles(axes):
    return [axis.get_title().replace('\n', ' ') for axis in axes[0]]


def test_all_columns_with_psnr_below_the_results():
    plain, gt = noise(1, 64, 64) // 2 + 60, noise(1, 64, 64)
    spn = plain + np.uint8(7)
    pictures = [
        Picture('a', {'plain': plain, 'SPN': spn}, gt[::2, ::2], gt),
        Picture('b', {'plain': plain, 'SPN': plain}),
    ]
    caption, axes = draw(pictures)
    assert titles(axes) == ['lq', 'plain', 'SPN', 'gt', '|SPN - plain| x 20']
    assert (
        caption == 'Of each image the square of 64 pixels where SPN and plain differ most. PSNR: of this square, RGB.'
    )
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ['a', 'b']
    below = f'{psnr(plain, gt):.2f} dB', f'{psnr(spn, gt):.2f} dB'
    assert [axis.get_xlabel() for axis in axes[0]] == ['', *below, '', '']
    assert [len(axis.images) for axis in axes[1]] == [0, 1, 1, 0, 1]
    shown = axes[0, 4].images[0]
    assert shown.get_array().min() == shown.get_array().max() == 140
    assert shown.get_clim() == (0, 255)


def test_without_gt_and_with_one_run():
    caption, axes = draw([Picture('a', {'plain': noise(1, 24, 32)})])
    assert titles(axes) == ['plain']
    assert caption == 'Of each image the square of 24 pixels where there is most detail.'


@pytest.mark.parametrize(('difference', 'factor'), [(0, 1), (1, 100), (3, 50), (100, 2), (200, 1)])
def test_the_difference_is_scaled_by_a_round_factor(difference, factor):
    plain = np.zeros((16, 16, 3), np.uint8)
    _, axes = draw([Picture('a', {'plain': plain, 'spn': plain + np.uint8(difference)})])
    assert titles(axes)[-1] == f'|spn - plain| x {factor}'
