"""PSNRLoss and SSIMLoss against BasicSR's metrics and a plain formula."""

import math

import numpy as np
import pytest
import torch
from basicsr.losses import build_loss
from basicsr.metrics.psnr_ssim import calculate_psnr, calculate_psnr_pt
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import PSNRLoss, SSIMLoss


def images(seed):
    generator = torch.Generator().manual_seed(seed)
    gt = torch.rand(2, 3, 20, 24, generator=generator)
    return (gt + 0.1 * torch.randn(gt.shape, generator=generator)).requires_grad_(), gt


def test_psnr_loss_is_minus_the_psnr_of_basicsr():
    output, gt = images(0)
    assert PSNRLoss()(output, gt).item() == pytest.approx(-calculate_psnr_pt(output, gt, 0).mean().item(), rel=1e-5)
    assert PSNRLoss(0.5)(gt, gt).item() == pytest.approx(-40)


def test_psnr_loss_on_luma_is_minus_the_psnr_of_basicsr_on_y():
    """Of images as NAFNet's option files write it, and BasicSR's validation measures them: 8 bits, BGR."""
    random = np.random.default_rng(3)
    gt = random.integers(0, 256, (16, 20, 3), dtype=np.uint8)
    restored = np.clip(gt + random.integers(-9, 10, gt.shape), 0, 255).astype(np.uint8)
    tensors = [torch.from_numpy(i[..., ::-1] / np.float32(255)).permute(2, 0, 1)[None] for i in (restored, gt)]
    expected = calculate_psnr(restored, gt, crop_border=0, test_y_channel=True)
    loss = build_loss({'type': 'PSNRLoss', 'loss_weight': 1, 'reduction': 'mean', 'toY': True})
    assert loss(*tensors).item() == pytest.approx(-expected, rel=1e-4)
    assert abs(PSNRLoss()(*tensors).item() + expected) > 0.1
    with pytest.raises(MclirError, match=r'toY compares RGB images, but these have 1 channel'):
        loss(*(image[:, :1] for image in tensors))


def test_psnr_loss_has_no_other_reduction():
    with pytest.raises(MclirError, match="reduction of PSNRLoss must be mean, as in NAFNet, but is 'sum'"):
        PSNRLoss(reduction='sum')


def slow_ssim(x, y):
    """Wang et al. 2004, equation 13, with a zero-padded 11x11 Gaussian window."""
    line = torch.tensor([math.exp(-((i - 5) ** 2) / (2 * 1.5**2)) for i in range(11)])
    window = torch.outer(line, line) / line.sum() ** 2

    def mean(image):
        return F.conv2d(image, window.expand(3, 1, 11, 11), padding=5, groups=3)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    return ((2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))).mean()


def test_ssim_loss_is_the_formula_with_its_gradient():
    output, gt = images(1)
    grads = [torch.autograd.grad(value, output)[0] for value in (SSIMLoss(2.0)(output, gt), -2 * slow_ssim(output, gt))]
    assert SSIMLoss(2.0)(output, gt).item() == pytest.approx(-2 * slow_ssim(output, gt).item(), rel=1e-4)
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-6)
    assert SSIMLoss()(gt, gt).item() == pytest.approx(-1)


@pytest.mark.parametrize('name', ['PSNRLoss', 'SSIMLoss'])
def test_an_option_file_names_them(name):
    loss = build_loss({'type': name, 'loss_weight': 0.5})
    with pytest.raises(ValueError, match=r'output is \(1, 3, 8, 8\) and gt \(1, 3, 8, 9\)'):
        loss(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 9))
