"""LPIPS and DISTS as validation calls them: the figures are torchmetrics', and what cannot be is refused.

The networks have seeded weights: the real ones are downloads.
"""
# ruff: noqa: F811  fixtures of backbones.py are asked for by their names

import urllib.error

import numpy as np
import pytest
import torch
from backbones import cache, squeeze, vgg16  # noqa: F401
from basicsr.metrics import calculate_metric
from torchmetrics.functional.image.dists import deep_image_structure_and_texture_similarity
from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

from mclir_basicsr.check.preflight import check
from mclir_basicsr.errors import MclirError
from mclir_basicsr.metrics.perceptual import calculate_dists, calculate_lpips
from mclir_basicsr.options import parse_file


@pytest.fixture
def images():
    """Restored and gt, (H, W, 3), uint8, BGR."""
    random = np.random.default_rng(5)
    gt = random.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    noise = random.integers(-20, 21, gt.shape)
    return np.clip(gt + noise, 0, 255).astype(np.uint8), gt


def rgb(image, border=0):
    cut = image[border : image.shape[0] - border, border : image.shape[1] - border, ::-1]
    return torch.from_numpy(cut / np.float32(255)).permute(2, 0, 1)[None]


@pytest.mark.parametrize('border', [0, 4])
def test_lpips_is_that_of_torchmetrics(squeeze, images, border):
    metric = LearnedPerceptualImagePatchSimilarity(net_type='squeeze', normalize=True)
    expected = metric(*(rgb(image, border) for image in images)).item()
    options = {'type': 'calculate_lpips', 'crop_border': border, 'net': 'squeeze'}
    restored, gt = images
    assert expected > 0
    for _ in range(2):  # the second has the network already
        assert calculate_metric({'img': restored, 'img2': gt}, options) == pytest.approx(expected, rel=1e-5)
    turned = {'img': restored.transpose(2, 0, 1), 'img2': gt.transpose(2, 0, 1)}
    assert calculate_metric(turned, options | {'input_order': 'CHW'}) == pytest.approx(expected, rel=1e-5)
    assert calculate_metric({'img': gt, 'img2': gt}, options) == 0


@pytest.mark.parametrize('border', [0, 4])
def test_dists_is_that_of_torchmetrics_and_its_network_is_made_once(vgg16, images, border):
    expected = deep_image_structure_and_texture_similarity(*(rgb(image, border) for image in images)).item()
    vgg16.clear()
    options = {'type': 'calculate_dists', 'crop_border': border}
    restored, gt = images
    assert expected > 0
    for _ in range(2):
        assert calculate_metric({'img': restored, 'img2': gt}, options) == pytest.approx(expected, rel=1e-5)
    assert len(vgg16) == 1
    assert calculate_metric({'img': gt, 'img2': gt}, options) == pytest.approx(0, abs=1e-5)


def test_a_grey_image_counts_in_all_channels(squeeze, images):
    grey = [image[..., :1] for image in images]
    in_colour = calculate_lpips(*(np.repeat(image, 3, axis=2) for image in grey), 0, net='squeeze')
    assert calculate_lpips(*grey, 0, net='squeeze') == pytest.approx(in_colour, rel=1e-6)
    assert calculate_lpips(*(image[..., 0] for image in grey), 0, net='squeeze') == pytest.approx(in_colour, rel=1e-6)


def test_no_random_generator_moves(squeeze, vgg16, images):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    calculate_lpips(*images, 0, net='squeeze')
    calculate_dists(*images, 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ('metric', 'backbone'), [(calculate_lpips, 'alexnet-owt-7be5be79'), (calculate_dists, 'vgg16-397923af')]
)
def test_a_backbone_that_cannot_be_downloaded(cache, monkeypatch, images, metric, backbone):
    def offline(*args, **kwargs):
        raise urllib.error.URLError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    with pytest.raises(MclirError, match=r'cannot be had: .*no network') as error:
        metric(*images, 0)
    for part in (
        metric.__name__,
        str(cache / 'checkpoints' / f'{backbone}.pth'),
        f'https://download.pytorch.org/models/{backbone}',
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ({'crop_border': 0, 'test_y_channel': True}, 'calculate_lpips compares colours: take test_y_channel out'),
        (
            {'crop_border': 0, 'net': 'resnet'},
            "net of calculate_lpips must be one of alex, vgg, squeeze, but is 'resnet'",
        ),
        ({'crop_border': 5}, r'calculate_lpips needs 31x31 pixels behind crop_border \(5\), but gets 38x30'),
    ],
)
def test_what_cannot_be_measured(images, arguments, said):
    with pytest.raises(MclirError, match=said):
        calculate_lpips(*images, **arguments)
    with pytest.raises(MclirError, match='calculate_dists compares images of one shape'):
        calculate_dists(images[0][2:], images[1], 0)


def test_validation_measures_them(squeeze, vgg16, option_file, tmp_path):
    metrics = {
        'lpips': {'type': 'calculate_lpips', 'crop_border': 2, 'net': 'squeeze'},
        'dists': {'type': 'calculate_dists', 'crop_border': 2, 'better': 'lower'},
    }
    val = {'val_freq': 1, 'save_img': False, 'metrics': metrics}
    opt = parse_file(option_file(val=val, train={'keep': {'best': 'lpips'}}))
    assert any('of datasets.val' in note for note in check(opt, tmp_path))
    metrics['dists']['test_y_channel'] = True
    with pytest.raises(MclirError, match=r'val\.metrics\.dists.*take test_y_channel out'):
        check(parse_file(option_file(val=val)), tmp_path)
    del metrics['dists']['test_y_channel']
    metrics['lpips'] |= {'net': 'alex'}
    with pytest.raises(MclirError, match='calculate_lpips needs 31x31 pixels, and crop_border 2 leaves 28x28'):
        check(parse_file(option_file(val=val)), tmp_path, fast=True)
