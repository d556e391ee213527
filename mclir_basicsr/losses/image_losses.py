"""Reconstruction losses that published recipes train with and BasicSR lacks."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError


class PSNRLoss(nn.Module):
    """Negative PSNR in dB of images in [0, 1]: ``λ · (10 / ln 10) · mean over images of ln(MSE + 1e-8)``.

    Source: the loss that NAFNet is trained with (Chen et al., Simple Baselines for Image Restoration, ECCV 2022,
    arXiv 2204.04676), with the arguments that its option files give. The 1e-8 bounds it at -80 dB.

    Args:
        loss_weight: λ.
        reduction: ``mean`` over images; there is no other.
        toY: Compare the luma of RGB images, as BasicSR's PSNR with ``test_y_channel`` does.

    Raises:
        MclirError: Another reduction.

    >>> round(PSNRLoss()(torch.full((1, 3, 8, 8), 0.6), torch.full((1, 3, 8, 8), 0.5)).item(), 3)
    -20.0
    """

    def __init__(self, loss_weight: float = 1.0, reduction: str = 'mean', toY: bool = False) -> None:  # noqa: N803
        super().__init__()
        if reduction != 'mean':
            raise MclirError(f'reduction of PSNRLoss must be mean, as in NAFNet, but is {reduction!r}.')
        self.loss_weight = loss_weight
        self.on_luma = toY

    def forward(self, output: Tensor, gt: Tensor) -> Tensor:
        """Compute the loss of output and gt, both (N, C, H, W) in [0, 1]; a scalar.

        Raises:
            MclirError: The shapes differ, or there is no luma since C is not 3.
        """
        check_shapes(output, gt)
        if self.on_luma:
            output, gt = _luma(output), _luma(gt)  # (N, 1, H, W)
        error = F.mse_loss(output, gt, reduction='none').mean(dim=(1, 2, 3))
        return self.loss_weight * 10 / math.log(10) * torch.log(error + 1e-8).mean()


class SSIMLoss(nn.Module):
    """Negative SSIM of images in [0, 1]: 11x11 Gaussian window (σ 1.5), zero padding, mean over channels and pixels.

    Source: the loss that IDT is trained with (Xiao et al., Image De-raining Transformer, TPAMI 2022); SSIM itself is
    that of Wang et al., TIP 2004, by torchmetrics.

    Args:
        loss_weight: λ.

    >>> image = torch.rand(1, 3, 16, 16)
    >>> round(SSIMLoss()(image, image).item(), 3)
    -1.0
    """

    _RADIUS = 5  # of the window

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        from torchmetrics.functional.image import structural_similarity_index_measure  # 2 s that others need not pay

        self.loss_weight = loss_weight
        self._ssim = structural_similarity_index_measure

    def forward(self, output: Tensor, gt: Tensor) -> Tensor:
        """Compute the loss of output and gt, both (N, C, H, W) in [0, 1]; a scalar.

        Raises:
            MclirError: The shapes differ.
        """
        check_shapes(output, gt)
        padded_output, padded_gt = (F.pad(image, [self._RADIUS] * 4) for image in (output, gt))
        _, full = self._ssim(
            padded_output, padded_gt, sigma=1.5, data_range=1.0, k1=0.01, k2=0.03, return_full_image=True
        )
        inside = slice(self._RADIUS, -self._RADIUS)
        return -self.loss_weight * full[..., inside, inside].mean()


def check_shapes(output: Tensor, gt: Tensor) -> None:
    """Make sure that two batches of images can be compared.

    Raises:
        MclirError: The shapes differ.
    """
    if output.shape != gt.shape:
        raise MclirError(f'output is {tuple(output.shape)} and gt {tuple(gt.shape)}; they must have one shape.')


def _luma(images: Tensor) -> Tensor:
    from basicsr.utils.color_util import rgb2ycbcr_pt  # all of BasicSR, which other loops need not load

    if images.shape[1] != 3:
        raise MclirError(f'PSNRLoss with toY compares RGB images, but these have {images.shape[1]} channel(s).')
    y: Tensor = rgb2ycbcr_pt(images, y_only=True)
    return y
