"""Curves of validation figures and training values."""

import math
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from mclir_basicsr.report import Run
from mclir_basicsr.report.curves import curve_sections
from mclir_basicsr.report.layout import compose


def draw(runs):
    """The figures of the sections: legend, then validation and training where there are any."""
    figures = []
    for section in curve_sections(runs):
        figures.append(Figure(layout='constrained'))
        section.draw(figures[-1].subfigures())
    return figures


def run(label, psnr=(), **training):
    return Run(label, label, training, {'Set5': {'psnr': list(psnr)}} if psnr else {})


def axes(figure):
    return {axis.get_title(): axis for axis in figure.subfigs[0].axes if axis.get_visible()}


def test_a_plot_for_each_metric_and_a_line_for_each_run():
    plain, spn = run('plain', [(10, 26.0), (20, 27.0)]), run('spn', [(10, 26.5), (30, math.inf)])
    spn.validation['Set14'] = {'ssim': [(10, 0.5)]}
    _, figure = draw([plain, spn])
    plots = axes(figure)
    assert [len(axis.lines) for axis in plots.values()] == [2, 1]
    assert list(plots) == ['Set5: psnr', 'Set14: ssim']
    first, second = plots['Set5: psnr'].lines
    assert first.get_xydata().tolist() == [[10, 26], [20, 27]]
    assert second.get_xydata()[0].tolist() == [10, 26.5]
    assert np.isnan(second.get_ydata()[1])
    assert plots['Set14: ssim'].lines[0].get_color() == second.get_color() != first.get_color()


def test_repetitions_are_their_mean_with_a_band():
    seeds = [(10, 20.0), (20, 26.0)], [(10, 22.0), (20, 27.0), (30, 28.0)]
    _, figure = draw([run('spn', psnr) for psnr in seeds])
    (axis,) = axes(figure).values()
    (line,), (band,) = axis.lines, axis.collections
    assert line.get_xydata().tolist() == [[10, 21], [20, 26.5]]
    corners = {tuple(np.round(corner, 6)) for corner in band.get_paths()[0].vertices}
    assert {(10, round(21 - 2**0.5, 6)), (10, round(21 + 2**0.5, 6))} <= corners


def test_training_values_are_smoothed_over_what_is_finite():
    values = [(i, math.nan if i == 50 else float(i % 2)) for i in range(1, 102)]
    _, figure = draw([run('spn', l_pix=values, spn_dist=[(1, math.nan)], other=values)])
    plots = axes(figure)
    assert [title.split(':')[0] for title in plots] == ['l_pix', 'spn_dist']
    raw, smooth = plots['l_pix: reconstruction loss'].lines
    assert len(raw.get_xdata()) == 101
    assert len(smooth.get_xdata()) == 100 - 5 + 1
    assert smooth.get_ydata().min() >= 0.4 - 1e-9 and smooth.get_ydata().max() <= 0.6 + 1e-9


@pytest.mark.parametrize('label', ['_hidden', 'costs $5', '$a$ $', 'a' * 200])
def test_any_label_is_legible(label):
    runs = [run(label, [(10, 26.0)]), run('plain', [(10, 25.0)])]
    text = draw(runs)[0].subfigs[0].legends[0].get_texts()[0].get_text()
    assert text.replace('\\', '').strip() == label
    assert not text.startswith('_')  # which matplotlib 3.7 leaves out
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        compose(curve_sections(runs))


def test_no_values_no_section():
    assert curve_sections([]) == curve_sections([run('plain', other=[(1, 0.5)])]) == []
