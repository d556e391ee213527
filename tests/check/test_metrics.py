"""Metrics that cannot tell what they are asked for."""

import shutil

import cv2
import numpy as np
import pytest
from basicsr.metrics import calculate_metric

from mclir_basicsr.check.metrics import small
from mclir_basicsr.check.preflight import check, check_test
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file

PSNR, SSIM, NIQE = ({'type': f'calculate_{name}', 'crop_border': 2} for name in ('psnr', 'ssim', 'niqe'))


@pytest.fixture
def faults(option_file, tmp_path):
    """Faults of the tiny run with other metrics and a change to its options."""

    def of(change=lambda opt: None, examine=check, **metrics):
        opt = parse_file(option_file())
        opt['val']['metrics'] = metrics
        change(opt)
        with pytest.raises(MclirError) as error:
            examine(opt, tmp_path)
        return str(error.value).split('\n  ')[1:]

    return of


def without_gt(opt):
    val = opt['datasets']['val']
    opt['datasets']['val'] = {key: value for key, value in val.items() if key != 'dataroot_gt'}
    opt['datasets']['val']['type'] = 'SingleImageDataset'


@pytest.mark.parametrize('examine', [check, check_test])
def test_a_metric_that_needs_gt_on_a_set_without_gt(examine, faults):
    (line,) = faults(without_gt, examine, psnr=PSNR, ssim=SSIM)
    assert line == (
        'datasets.val: SingleImageDataset gives no gt, with which val.metrics.psnr, val.metrics.ssim must compare. '
        'Use a data set with dataroot_gt, such as PairedImageDataset, or take out the metric.'
    )


def test_a_set_without_gt_where_no_metric_needs_any(option_file, tmp_path, write_pairs):
    write_pairs(side=512)
    opt = parse_file(option_file())
    opt['val']['metrics'] = {'niqe': NIQE | {'better': 'lower'}}
    without_gt(opt)
    notes = check(opt, tmp_path)
    assert 'datasets.val: 1 samples.' in notes
    opt['val']['metrics'] = None
    check(opt, tmp_path)


@pytest.mark.parametrize('with_gt', [True, False])
def test_every_image_that_is_too_small_is_named(with_gt, faults, write_pairs, tmp_path):
    """Not the first alone: of three images the last two are restored to 14x18."""
    write_pairs(3, side=400)
    shutil.copytree(tmp_path / 'pairs', tmp_path / 'val')
    for name in ('001', '002'):
        for part, (height, width) in {'lq': (7, 9), 'gt': (14, 18)}.items():
            cv2.imwrite(str(tmp_path / 'val' / part / f'{name}.png'), np.zeros((height, width, 3), np.uint8))

    def change(opt):
        opt['datasets']['val'] |= {f'dataroot_{part}': str(tmp_path / 'val' / part) for part in ('lq', 'gt')}
        if not with_gt:
            without_gt(opt)

    metrics = {'niqe': NIQE} | ({'ssim': SSIM | {'crop_border': 12}} if with_gt else {})
    why = {
        'niqe': 'calculate_niqe needs 96x192 or 192x96 pixels, and crop_border 2 leaves 10x14',
        'ssim': 'calculate_ssim needs 11x11 pixels, and crop_border 12 leaves 0x0',
    }
    assert faults(change, **metrics) == [
        f'datasets.val: val.metrics.{metric}: {why[metric]}: {tmp_path / "val" / "lq" / name}.png, restored to 14x18 '
        '(height x width).'
        for name in ('001', '002')
        for metric in metrics
    ]


def test_of_many_images_that_are_too_small_five_are_named(faults, write_pairs):
    write_pairs(7)
    lines = faults(niqe=NIQE)
    assert len(lines) == 6
    assert lines[-1] == 'datasets.val: and 2 more such faults.'


@pytest.mark.filterwarnings('ignore:Mean of empty slice')
@pytest.mark.parametrize('kind', ['psnr', 'ssim', 'niqe'])
@pytest.mark.parametrize('border', [0, 3])
def test_sizes_are_those_at_which_basicsr_fails(kind, border):
    """At the smallest size that passes, the metric is a number; a pixel less, it is nan or an error."""
    metric = {'type': f'calculate_{kind}', 'crop_border': border}
    least = {'psnr': (1, 1), 'ssim': (11, 11), 'niqe': (96, 192)}[kind]

    def value(height, width):
        image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        try:
            with np.errstate(all='ignore'):
                return float(calculate_metric({'img': image, 'img2': image // 2}, metric))
        except (ArithmeticError, RuntimeError, ValueError):
            return float('nan')

    for less in (0, 1):
        height, width = (side + 2 * border - less for side in least)
        assert np.isnan(value(height, width)) == bool(less)
        assert bool(small(metric, height, width)) == bool(less)


@pytest.mark.parametrize(
    ('metric', 'said'),
    [
        ({'type': 'calculate_psnr', 'crop_border': 2, 'better': 'lower'}, 'of calculate_psnr the higher is better'),
        ({'type': 'calculate_psnr', 'crop_border': 2, 'better': 'most'}, "val.metrics.m.better is 'most'"),
    ],
)
def test_keep_best_by_a_metric_whose_direction_contradicts(metric, said, faults):
    (line,) = faults(lambda opt: opt['train'].update(keep={'best': 'm'}), m=metric)
    assert line.startswith('train.keep.best: ')
    assert said in line


def test_keep_best_by_a_metric_of_unknown_direction(faults, monkeypatch):
    from basicsr.utils.registry import METRIC_REGISTRY

    monkeypatch.setitem(METRIC_REGISTRY._obj_map, 'sharpness', lambda img, **_: 1.0)
    (line,) = faults(lambda opt: opt['train'].update(keep={'best': 'm'}), m={'type': 'sharpness'})
    assert line.startswith('train.keep.best: whether a higher or a lower sharpness is better is not known: set val.met')


def test_val_sets_of_the_same_name(faults):
    def twice(opt):
        opt['datasets'] |= {'val_2': dict(opt['datasets']['val']), 'val_3': opt['datasets']['val'] | {'name': 'other'}}

    (line,) = faults(twice, psnr=PSNR)
    assert line == (
        "datasets.val and datasets.val_2 have the same name, 'held-out', under which their figures and images go. "
        'Rename one.'
    )
