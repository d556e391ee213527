"""What validation measures, and what it cannot."""

import numpy as np
import pytest
import torch
from basicsr.models import build_model
from basicsr.utils import get_root_logger
from basicsr.utils.registry import METRIC_REGISTRY
from test_normalised_images import loader
from torch.utils.data import DataLoader, Dataset

from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.measuring import means, measure, needs_gt

PSNR = {'type': 'calculate_psnr', 'crop_border': 2}


class WithoutGt(Dataset):
    opt = {'name': 'inputs'}  # noqa: RUF012

    def __len__(self):
        return 1

    def __getitem__(self, _):
        return {'lq': torch.rand(3, 12, 12), 'lq_path': 'x.png'}


def test_which_metrics_compare_with_gt():
    assert needs_gt(PSNR)
    assert not needs_gt({'type': 'calculate_niqe', 'crop_border': 0})


def test_a_metric_without_gt_is_not_measured_against_the_last_training_patch(options):
    model = build_model(options())
    model.feed_data({'lq': torch.rand(1, 3, 12, 12), 'gt': torch.rand(1, 3, 24, 24)})
    with pytest.raises(MclirError, match=r'val\.metrics: psnr compares with gt, but x\.png of the data set inputs has'):
        model.validation(DataLoader(WithoutGt()), 1, None)


def test_no_gt_of_a_batch_before_stays(options, monkeypatch):
    monkeypatch.setitem(METRIC_REGISTRY._obj_map, 'brightness', lambda img: img.mean())
    model = build_model(options(val={'metrics': {'brightness': {'type': 'brightness', 'better': 'higher'}}}))
    model.feed_data({'lq': torch.rand(1, 3, 12, 12), 'gt': torch.rand(1, 3, 24, 24)})
    model.validation(DataLoader(WithoutGt()), 1, None)
    assert 0 <= model.metric_results['brightness'] <= 255
    model.feed_data({'lq': torch.rand(1, 3, 12, 12)})
    with pytest.raises(MclirError, match='gives no gt'):
        model.optimize_parameters(1)


def test_a_data_set_without_lq_is_named(options):
    with pytest.raises(MclirError, match=r'gives no lq, which HistoryModel needs, but gt, kernel1: use Paired'):
        build_model(options()).feed_data({'gt': torch.rand(1, 3, 24, 24), 'kernel1': torch.rand(1, 21, 21)})


@pytest.mark.parametrize(
    ('side', 'metric'),
    [(10, {'type': 'calculate_ssim', 'crop_border': 0}), (32, {'type': 'calculate_psnr', 'crop_border': 16})],
)
def test_a_metric_that_is_nan_is_named(caplog, monkeypatch, side, metric):
    monkeypatch.setattr(get_root_logger(), 'propagate', True)
    black = np.zeros((side, side, 3), dtype=np.uint8)
    with np.errstate(all='ignore'):
        values = [('x', measure({'img': black, 'img2': black + 1}, {'m': metric}, 'x'))] * 2
    assert np.isnan(means(values, {'m': metric}, 'small')['m'])
    assert f'val.metrics.m ({metric["type"]}) is nan for 2 of 2 images of small' in caplog.text
    assert '11 pixels' in caplog.text


def test_a_metric_that_fails_is_named():
    small = np.zeros((20, 30, 3), dtype=np.uint8)
    with pytest.raises(MclirError, match=r'val\.metrics\.n \(calculate_niqe\) fails on x, 30x20 pixels .*niqe 96'):
        measure({'img': small}, {'n': {'type': 'calculate_niqe', 'crop_border': 0}}, 'x')


def test_pictures_of_data_sets_with_the_same_image_names(options, write_pairs, tmp_path):
    opt = options()
    opt['path']['visualization'] = str(tmp_path / 'pictures')
    model = build_model(opt)
    for iteration in (1, 2):
        for name, side in (('a', 32), ('b', 48)):
            folder = tmp_path / name
            folders = (folder / 'gt', folder / 'lq') if folder.exists() else write_pairs(side=side, name=name)
            model.validation(loader(folders, name=name), iteration, None, save_img=True)
    found = sorted(str(path.relative_to(tmp_path / 'pictures')) for path in tmp_path.glob('pictures/*/*'))
    assert found == ['000/000_1.png', '000/000_2.png', 'b_000/b_000_1.png', 'b_000/b_000_2.png']


def test_data_sets_of_one_name_are_refused(options):
    data = {'val_1': {'name': 'Set5'}, 'val_2': {'name': 'Set5'}, 'train': {'name': 'Set5'}}
    with pytest.raises(MclirError, match='several have the name Set5'):
        build_model(options(datasets=data))
