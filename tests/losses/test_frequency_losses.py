"""FFTLoss and FocalFrequencyLoss against closed forms and slow formulas in NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from basicsr.losses import build_loss

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import FFTLoss, FocalFrequencyLoss


def images(seed, side=(12, 16)):
    generator = torch.Generator().manual_seed(seed)
    gt = torch.rand(2, 3, *side, generator=generator)
    return (gt + 0.1 * torch.randn(gt.shape, generator=generator)).requires_grad_(), gt


@pytest.mark.parametrize('side', [(8, 8), (6, 16)])
def test_fft_loss_in_closed_form(side):
    zero, count = torch.zeros(2, 3, *side), math.prod(side)
    one_pixel = zero.clone()
    one_pixel[:, :, 0, 0] = 0.4  # the same at every frequency, all of it real
    assert FFTLoss(2.0)(one_pixel, zero).item() == pytest.approx(2 * 0.4 / 2)
    assert FFTLoss(reduction='sum')(one_pixel, zero).item() == pytest.approx(0.4 * count * 6, rel=1e-5)
    assert FFTLoss()(zero + 0.3, zero).item() == pytest.approx(0.3 / 2)  # count * 0.3, at one of 2 * count numbers
    wave = torch.cos(2 * torch.pi * torch.arange(side[1]) / side[1]).expand(2, 3, *side)
    shifted = wave.roll(side[1] // 2, dims=-1)  # by half a period: the difference is twice the wave, at two frequencies
    assert FFTLoss()(shifted, wave).item() == pytest.approx(1, rel=1e-5)


def test_fft_loss_is_the_l1_of_both_transforms_with_its_gradient():
    output, gt = images(0)
    spectra = [np.fft.fft2(image.detach().double().numpy()) for image in (output, gt)]
    difference = spectra[0] - spectra[1]
    expected = np.mean(np.abs(np.stack([difference.real, difference.imag])))
    loss = build_loss({'type': 'FFTLoss', 'loss_weight': 0.1, 'reduction': 'mean'})  # as SAFMN's option files have it
    assert loss(output, gt).item() == pytest.approx(0.1 * expected, rel=1e-5)
    # Each number of the transform pulls by its sign, through the transposed transform.
    signs = np.sign(difference.real) + 1j * np.sign(difference.imag)
    gradient = np.conj(np.fft.fft2(np.conj(signs))).real / (2 * difference.size)
    (found,) = torch.autograd.grad(loss(output, gt), output)
    assert np.allclose(found.numpy(), 0.1 * gradient, rtol=1e-4, atol=1e-8)


def slow_focal(output, gt, alpha, patch_factor, ave_spectrum, log_matrix, batch_matrix):
    """Jiang et al., ICCV 2021, patch by patch."""
    height, width = (side // patch_factor for side in output.shape[-2:])
    spectra = []
    for i, k in itertools.product(range(patch_factor), repeat=2):
        place = (..., slice(i * height, (i + 1) * height), slice(k * width, (k + 1) * width))
        spectra.append(np.fft.fft2((output - gt)[place]) / math.sqrt(height * width))
    difference = np.stack(spectra)  # (patches, N, C, h, w)
    if ave_spectrum:
        difference = difference.mean(axis=1, keepdims=True)
    weights = np.abs(difference) ** alpha
    weights = np.log(weights + 1) if log_matrix else weights
    largest = weights.max()
    for at in np.ndindex(weights.shape[:3]):
        weights[at] /= largest if batch_matrix else weights[at].max()
    return (weights * np.abs(difference) ** 2).mean()


@pytest.mark.parametrize(
    ('alpha', 'patch_factor', 'ave_spectrum', 'log_matrix', 'batch_matrix'),
    [
        (1.0, 1, False, False, False),
        (0.5, 2, False, False, False),
        (2.0, 1, True, False, False),
        (1.0, 4, False, True, False),
        (1.0, 2, False, False, True),
        (1.5, 2, True, True, True),
    ],
)
def test_focal_frequency_loss_is_the_formula(alpha, patch_factor, ave_spectrum, log_matrix, batch_matrix):
    output, gt = images(1)
    given = (alpha, patch_factor, ave_spectrum, log_matrix, batch_matrix)
    expected = slow_focal(output.detach().double().numpy(), gt.double().numpy(), *given)
    assert FocalFrequencyLoss(3.0, *given)(output, gt).item() == pytest.approx(3 * expected, rel=1e-4)


def test_where_all_frequencies_count_alike_it_is_the_squared_error():
    """Parseval's theorem; and for one frequency, whose weight is 1, whatever alpha."""
    output, gt = images(2)
    mean_squared = (output - gt).square().mean().item()
    assert FocalFrequencyLoss(alpha=0)(output, gt).item() == pytest.approx(mean_squared, rel=1e-5)
    assert FocalFrequencyLoss(alpha=3.0)(gt + 0.5, gt).item() == pytest.approx(0.25, rel=1e-4)


def test_no_gradient_goes_through_the_weights():
    """By them the loss would be of third degree in the difference, and its gradient one and a half times as large."""
    output, gt = images(3)
    value = FocalFrequencyLoss()(output, gt)
    (gradient,) = torch.autograd.grad(value, output)
    along = (gradient * (output - gt)).sum().item()  # Euler: of second degree where the weights are constants
    assert along == pytest.approx(2 * value.item(), rel=1e-4)


@pytest.mark.parametrize('loss', [FFTLoss(), FocalFrequencyLoss(), FocalFrequencyLoss(batch_matrix=True)])
def test_equal_images_and_half_precision(loss):
    _, gt = images(4, (6, 10))  # sizes that cuFFT has no half precision for
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        same = gt.to(kind).requires_grad_()
        value = loss(same, gt.to(kind))
        assert value.dtype == torch.float32
        assert value.item() == 0
        assert not torch.autograd.grad(value, same)[0].any()
        assert loss((gt + 0.5).to(kind), gt.to(kind)).item() == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize(
    ('kind', 'arguments', 'said'),
    [
        (FFTLoss, {'reduction': 'none'}, "reduction of FFTLoss must be mean or sum, but is 'none'"),
        (FocalFrequencyLoss, {'alpha': -1}, 'alpha of FocalFrequencyLoss must be 0 or above, but is -1'),
        (FocalFrequencyLoss, {'patch_factor': 0}, 'patch_factor of FocalFrequencyLoss must be 1 or above'),
    ],
)
def test_arguments_that_cannot_be(kind, arguments, said):
    with pytest.raises(MclirError, match=said):
        kind(**arguments)


def test_images_that_do_not_fit():
    output, gt = images(5)
    with pytest.raises(MclirError, match=r'patch_factor of FocalFrequencyLoss is 3.*they are 16x12'):
        FocalFrequencyLoss(patch_factor=3)(output, gt)
    for loss in (FFTLoss(), FocalFrequencyLoss()):
        with pytest.raises(MclirError, match='they must have one shape'):
            loss(output, gt[:, :1])
