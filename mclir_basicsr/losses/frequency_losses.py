"""Losses that compare the spectra of two images."""

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.image_losses import check_shapes


class FFTLoss(nn.Module):
    """L1 distance of the 2D Fourier transforms: ``λ · mean(|Re(F(output) - F(gt))|, |Im(F(output) - F(gt))|)``.

    F is not normalised, so that the loss of noise grows with the side of the patch.

    Source: the frequency reconstruction loss of MIMO-UNet (Cho et al., Rethinking Coarse-to-Fine Approach in Single
    Image Deblurring, ICCV 2021, arXiv 2108.05054), at one scale. MIMO-UNet and FFTformer add it to L1 with a weight of
    0.1, SAFMN with 0.05.

    Args:
        loss_weight: λ.
        reduction: ``mean`` or ``sum``.

    Raises:
        MclirError: Another reduction.

    >>> gt = torch.zeros(1, 1, 8, 8)
    >>> FFTLoss()(gt + 0.5, gt).item()  # all of it at frequency 0: 0.5 * 64, of 64 frequencies with two parts each
    0.25
    """

    def __init__(self, loss_weight: float = 1.0, reduction: str = 'mean') -> None:
        super().__init__()
        if reduction not in ('mean', 'sum'):
            raise MclirError(f'reduction of FFTLoss must be mean or sum, but is {reduction!r}.')
        self.loss_weight = loss_weight
        self.reduction = reduction

    def forward(self, output: Tensor, gt: Tensor) -> Tensor:
        """Compute the loss of output and gt, both (N, C, H, W); a scalar.

        Raises:
            MclirError: The shapes differ.
        """
        check_shapes(output, gt)
        # The transform is linear: one of the difference does for both. In float32, since half precision has few sizes.
        parts = torch.view_as_real(torch.fft.fft2((output - gt).float())).abs()  # (N, C, H, W, 2)
        return self.loss_weight * (parts.mean() if self.reduction == 'mean' else parts.sum())


class FocalFrequencyLoss(nn.Module):
    """Squared distance of spectra, in which a frequency counts the more the worse it is restored.

    With the orthonormal transform F and ``d = |F(output) - F(gt)|``, it is ``λ · mean(w · d²)``. The weights
    ``w = d^alpha`` are divided by their largest, and no gradient goes through them.

    Source: Jiang et al., Focal Frequency Loss for Image Reconstruction and Synthesis, ICCV 2021, arXiv 2012.12821;
    the arguments are those of its published class.

    Args:
        loss_weight: λ.
        alpha: How much hard frequencies are preferred, from 0, where all count alike.
        patch_factor: Compare patches, so many along each side.
        ave_spectrum: Compare the mean spectra of the batch.
        log_matrix: Take ``log(1 + d^alpha)`` for the weights.
        batch_matrix: Divide by the largest weight of the batch, not of each patch and channel.

    Raises:
        MclirError: alpha is below 0, or patch_factor below 1.

    >>> gt = torch.zeros(1, 1, 8, 8)
    >>> FocalFrequencyLoss()(gt + 0.5, gt).item()  # all of it at frequency 0, whose weight is 1: the squared error
    0.25
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        alpha: float = 1.0,
        patch_factor: int = 1,
        ave_spectrum: bool = False,
        log_matrix: bool = False,
        batch_matrix: bool = False,
    ) -> None:
        super().__init__()
        if not alpha >= 0:
            raise MclirError(f'alpha of FocalFrequencyLoss must be 0 or above, but is {alpha}.')
        if patch_factor < 1:
            raise MclirError(f'patch_factor of FocalFrequencyLoss must be 1 or above, but is {patch_factor}.')
        self.loss_weight = loss_weight
        self.alpha = alpha
        self.patch_factor = patch_factor
        self.ave_spectrum = ave_spectrum
        self.log_matrix = log_matrix
        self.batch_matrix = batch_matrix

    def forward(self, output: Tensor, gt: Tensor) -> Tensor:
        """Compute the loss of output and gt, both (N, C, H, W); a scalar.

        Raises:
            MclirError: The shapes differ, or patch_factor does not divide H and W.
        """
        check_shapes(output, gt)
        difference = torch.fft.fft2(self._patches((output - gt).float()), norm='ortho')  # (N, C, p, p, h, w)
        if self.ave_spectrum:
            difference = difference.mean(dim=0, keepdim=True)
        squared = torch.view_as_real(difference).square().sum(dim=-1)
        return self.loss_weight * (self._weights(squared.detach()) * squared).mean()

    def _patches(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, p, p, H / p, W / p)."""
        count = self.patch_factor
        if images.shape[-2] % count or images.shape[-1] % count:
            raise MclirError(
                f'patch_factor of FocalFrequencyLoss is {count}, which must divide the side of images, but they are '
                f'{images.shape[-1]}x{images.shape[-2]}.'
            )
        return images.unflatten(-1, (count, -1)).unflatten(-3, (count, -1)).transpose(-3, -2)

    def _weights(self, squared: Tensor) -> Tensor:
        """The weight of each frequency, in [0, 1]."""
        weights = squared.sqrt() ** self.alpha
        if self.log_matrix:
            weights = weights.log1p()
        largest = weights.max() if self.batch_matrix else weights.amax(dim=(-2, -1), keepdim=True)
        return weights / largest.clamp(min=torch.finfo(weights.dtype).tiny)  # where output equals gt, they are 0
