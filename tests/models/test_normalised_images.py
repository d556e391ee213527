"""Data sets with mean and std: metrics, pictures, the VGG and the adaptive policy see images in [0, 1]."""

import copy

import cv2
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.models import build_model
from conftest import EDSR
from recipe import example_input
from test_history_model import SPN, step
from torch import nn
from torch.utils.data import DataLoader

from mclir_basicsr.errors import MclirError
from mclir_basicsr.history import residual_spread
from mclir_basicsr.inference.normalisation import Normalisation
from mclir_basicsr.losses import SPNLoss

NORMALISED = {'mean': [0.4, 0.45, 0.5], 'std': [0.2, 0.25, 0.3]}
OTHER = {'mean': [0.1, 0.2, 0.3], 'std': [0.5, 0.6, 0.7]}


class Nearest(nn.Upsample):
    """x2, and the same whether images are normalised or not."""

    def __init__(self):
        super().__init__(scale_factor=2)
        self.weight = nn.Parameter(torch.zeros(1))


def loader(folders, name='val', **data):
    gt, lq = map(str, folders)
    common = {'type': 'PairedImageDataset', 'phase': 'val', 'scale': 2, 'io_backend': {'type': 'disk'}}
    return DataLoader(build_dataset(common | {'name': name, 'dataroot_gt': gt, 'dataroot_lq': lq} | data))


def test_validation_measures_and_saves_images_that_are_not_normalised(options, write_pairs, tmp_path):
    """Each data set by its own mean and std."""
    folders, results = write_pairs(), []
    for normalised in ({}, NORMALISED, OTHER):
        opt = options()
        opt['path']['visualization'] = str(tmp_path)
        model = build_model(opt)
        model.net_g_ema = Nearest()
        model.validation(loader(folders, **normalised), 1, None, save_img=True)
        results.append((model.metric_results, cv2.imread(str(tmp_path / '000' / '000_1.png')).tolist()))
    assert results[1] == results[2] == results[0]
    assert 10 < results[0][0]['psnr'] < 40


def undone(images, normalised):
    return images * torch.tensor(normalised['std']).view(3, 1, 1) + torch.tensor(normalised['mean']).view(3, 1, 1)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_the_vgg_sees_training_images_in_0_to_1(options, precision):
    train = copy.deepcopy(SPN) | {'history': {'interval': [2, 3], 'precision': precision}}
    model = build_model(options(train=train, datasets={'train': {'name': 'train'} | NORMALISED}))
    lq = example_input([2, 3, 12, 12], 1)
    with torch.no_grad():
        output, negatives = model.net_g(lq), model.history(lq).float()
    found = step(model, 1, lq)['spn_dist']
    loss = SPNLoss(1.0, {'relu1_1': 1.0}, weights='random')
    expected, plain = (
        -loss(a, b).item()
        for a, b in ((undone(output, NORMALISED), undone(negatives, NORMALISED)), (output, negatives))
    )
    assert found == pytest.approx(expected, rel=1e-5 if precision == 'fp32' else 0.1)
    assert found != pytest.approx(plain, rel=0.5)


@pytest.mark.parametrize('factor', [0.99, 1.01])
def test_the_adaptive_policy_goes_by_residuals_in_0_to_1(options, factor):
    lq, gt = example_input([2, 3, 12, 12], 1), example_input([2, 3, 24, 24], 2)
    data = {'train': {'name': 'train'} | NORMALISED}
    torch.manual_seed(0)
    output = build_model(options(train=copy.deepcopy(SPN), datasets=data)).net_g(lq)
    spread = residual_spread(undone(output, NORMALISED), undone(gt, NORMALISED)).item()
    history = {'policy': 'adaptive', 'negatives': 2, 'threshold': factor * spread}
    torch.manual_seed(0)
    model = build_model(options(train=copy.deepcopy(SPN) | {'history': history}, datasets=data))
    step(model, 1, lq, gt)
    assert sum(model.history.refreshes) == (factor < 1)


def test_one_number_serves_all_channels():
    image = torch.rand(2, 1, 3, 4, 4)
    assert torch.equal(Normalisation({'mean': 0.5, 'std': 0.25}, 'x').undone(image), image * 0.25 + 0.5)


@pytest.mark.parametrize(
    'given', [{'mean': [0.5]}, {'std': [0.5]}, {'mean': [0.5], 'std': [0]}, {'mean': 'grey', 'std': [1.0]}]
)
def test_a_mean_without_a_std_or_impossible_values_are_named(given):
    with pytest.raises(MclirError, match=r'datasets\.val: mean and std must be given together'):
        Normalisation(given, 'datasets.val')


def test_range_norm_beside_mean_and_std_is_refused(options):
    spn = SPN | {'spn_opt': SPN['spn_opt'] | {'range_norm': True}}
    with pytest.raises(MclirError, match=r'range_norm of .* is true, but mean and std .* take range_norm out'):
        build_model(options(train=spn, datasets={'train': NORMALISED}, network_g=dict(EDSR)))
