"""LPIPSLoss and DISTSLoss: torchmetrics' figures, with the gradient at the output.

The networks have seeded weights: the real ones are downloads.
"""

import urllib.error

import pytest
import torch
from backbones import cache, squeeze, vgg16  # noqa: F401
from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
from torchmetrics.functional.image.dists import deep_image_structure_and_texture_similarity

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import DISTSLoss, LPIPSLoss

pytestmark = pytest.mark.usefixtures('squeeze', 'vgg16')


def images(channels=3):
    generator = torch.Generator().manual_seed(2)
    gt = torch.rand(2, channels, 32, 40, generator=generator)
    return (gt + 0.1 * torch.randn(gt.shape, generator=generator)).clamp(0, 1).requires_grad_(), gt


def lpips():
    return LPIPSLoss(0.5, net='squeeze')


def dists():
    return DISTSLoss(0.5)


def of_torchmetrics(make, output, gt):
    if make is lpips:
        return learned_perceptual_image_patch_similarity(output, gt, net_type='squeeze', normalize=True)
    return deep_image_structure_and_texture_similarity(output, gt, reduction='mean')


@pytest.mark.parametrize('make', [lpips, dists])
def test_value_and_gradient_are_those_of_torchmetrics(make):
    output, gt = images()
    loss = make()
    values = loss(output, gt), 0.5 * of_torchmetrics(make, output, gt)
    assert values[0].shape == ()
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-5)
    found, expected = (torch.autograd.grad(value, output)[0] for value in values)
    assert expected.norm() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)
    assert loss(gt, gt).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize('make', [lpips, dists])
def test_nothing_of_it_is_trained_or_leaves_eval_mode(make):
    loss = make()
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    output, gt = images()
    assert loss.train()(output, gt) == loss.eval()(output, gt)


@pytest.mark.parametrize('make', [lpips, dists])
def test_one_channel_and_autocast(make):
    output, gt = images(1)
    loss = make()
    in_colour = loss(output.expand(-1, 3, -1, -1), gt.expand(-1, 3, -1, -1)).item()
    assert loss(output, gt).item() == pytest.approx(in_colour, rel=1e-6)
    with torch.autocast('cpu', torch.bfloat16):
        assert loss(output, gt).item() == pytest.approx(in_colour, rel=1e-6)


def test_images_that_are_too_small_and_a_net_that_is_none():
    output, gt = images()
    for loss, side in ((lpips(), 17), (dists(), 16)):
        with pytest.raises(MclirError, match=rf'{type(loss).__name__} needs {side}x{side} pixels, but gets 40x15'):
            loss(output[..., :15, :], gt[..., :15, :])
        with pytest.raises(MclirError, match='they must have one shape'):
            loss(output, gt[..., 1:])
    with pytest.raises(MclirError, match="net of LPIPSLoss must be one of alex, vgg, squeeze, but is 'resnet'"):
        LPIPSLoss(net='resnet')


def test_a_backbone_that_cannot_be_downloaded(monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError('no network')

    monkeypatch.setattr(torch.hub, 'download_url_to_file', offline)
    with pytest.raises(MclirError, match=r'LPIPSLoss needs the ImageNet weights of alexnet.*or take LPIPSLoss out'):
        LPIPSLoss(net='alex')
