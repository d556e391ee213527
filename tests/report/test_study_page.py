"""The page of a study, from figures that are known."""

import re

import numpy as np
import pytest
from test_page import Page

from mclir_basicsr.report import Picture, Run
from mclir_basicsr.report.study_page import write_study_page
from mclir_basicsr.run import figures
from mclir_basicsr.run.figures import Figure
from mclir_basicsr.study.results import collect

METRICS = {'psnr': {'type': 'calculate_psnr'}, 'lpips': {'type': 'calculate_lpips'}}
COMPARED = {
    'option file': {'name': 'tiny <x2>', 'val': {'metrics': METRICS}},
    'seeds': 3,
    'time_ratios': {'plain_time': 2.5},
    'differing': {'train.spn_opt.type': {'spn': 'SPNLoss'}},
    'made_with': {'torch': '2.4'},
    'files': {'net.pth': {'sha256': '0123456789abcdef' * 4, 'of': 'content'}},
}
ENDS = {'plain': 10, 'plain_time': 25, 'spn': 10}


@pytest.fixture
def results(tmp_path):
    for arm, end in ENDS.items():
        for seed in range(3):
            more = {'plain': 0.0, 'plain_time': (0.1, -0.1, 0.02)[seed], 'spn': 0.5 + 0.01 * seed}[arm]
            values = [(0, 29.0, 0.5), (end, 30.0 + more, 0.4 - more / 10)]
            lines = [
                Figure(t, 'Set', image, {'psnr': psnr, 'lpips': lpips}, 'params')
                for t, psnr, lpips in values
                for image in 'ab'
            ]
            folder = tmp_path / 'experiments' / f'{arm}_s{seed}'
            folder.mkdir(parents=True)
            figures.append(folder, lines)
    return collect(tmp_path, ENDS, range(3), 0.05, None)


def runs(points=1):
    random = np.random.default_rng(0)
    return [
        Run(f'{arm}_s{seed}', arm, {'l_pix': [(t, random.random()) for t in range(1, 11)]},
            {'Set': {'psnr': [(5 * i, 29.0 + i) for i in range(points)]}})
        for arm in ENDS for seed in range(3)
    ]  # fmt: skip


def picture(name='Set: a, least gain'):
    random = np.random.default_rng(0)
    images = {arm: random.integers(0, 256, (16, 16, 3), dtype=np.uint8) for arm in ENDS}
    return Picture(name, images, images['plain'][::2, ::2], images['plain'])


def test_a_page_that_needs_no_other_file(tmp_path, results):
    file = write_study_page(tmp_path, results, COMPARED, runs(), [picture()], ['A note.'])
    page = Page(file)
    assert page.tags.count('img') == 3, 'forest, curves, pictures'
    assert all(link.startswith('data:image/png;base64,') for link in page.links)
    said = ' '.join(page.text.split())
    assert 'Study of tiny <x2>' in said
    assert 'spn: +0.510 dB on Set, 95 % 0.485 to 0.535, 3 seeds.' in said
    assert 'Lower is better: lpips.' in said
    assert 'plain_time trains 2.5 times the iterations of the option file.' in said
    assert 'train.spn_opt.type--SPNLoss' in said
    assert 'torch2.4' in said
    assert COMPARED['files']['net.pth']['sha256'] in said
    assert 'A note.' in said


def test_every_figure_stands_in_the_tables(tmp_path, results):
    text = write_study_page(tmp_path, results, COMPARED, []).read_text()
    rows = [re.sub('<[^>]*>', '|', line) for line in text.splitlines() if line.startswith('<tr><th scope="row">')]
    of_psnr = dict(zip(('start', *ENDS), rows, strict=False))
    assert '|29.0000|' in of_psnr['start']
    assert 'better' not in of_psnr['start']
    assert '+0.5100' in of_psnr['spn'] and '+1.5100' in of_psnr['spn']
    assert of_psnr['spn'].count('better') == 2
    assert 'not| |settled' in of_psnr['plain_time']
    assert any('-0.0510' in row and 'better' in row for row in rows), 'a lower lpips'
    assert '<img' in text and 'Curves' not in text and 'Pictures' not in text


def test_one_seed_and_no_start(tmp_path, results):
    (tmp_path / 'one').mkdir()
    for arm, end in ENDS.items():
        folder = tmp_path / 'one' / 'experiments' / f'{arm}_s0'
        folder.mkdir(parents=True)
        figures.append(folder, [Figure(end, 'Set', 'a', {'psnr': 30.0}, 'params')])
    alone = collect(tmp_path / 'one', ENDS, [0], 0.05, None)
    said = ' '.join(Page(write_study_page(tmp_path / 'one', alone, COMPARED, runs(2)[:1])).text.split())
    assert 'one seed' in said and 'over the start' not in said
