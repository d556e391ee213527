"""Losses, usable in any PyTorch loop."""

from mclir_basicsr.losses.image_losses import PSNRLoss, SSIMLoss
from mclir_basicsr.losses.spn_loss import SPNLoss

__all__ = ['PSNRLoss', 'SPNLoss', 'SSIMLoss']
