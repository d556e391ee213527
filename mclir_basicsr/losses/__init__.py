"""Losses, usable in any PyTorch loop."""

from mclir_basicsr.losses.frequency_losses import FFTLoss, FocalFrequencyLoss
from mclir_basicsr.losses.image_losses import PSNRLoss, SSIMLoss
from mclir_basicsr.losses.perceptual_losses import DISTSLoss, LPIPSLoss
from mclir_basicsr.losses.ratio import CCRLoss, CRLoss
from mclir_basicsr.losses.spn_loss import SPNLoss

__all__ = [
    'CCRLoss',
    'CRLoss',
    'DISTSLoss',
    'FFTLoss',
    'FocalFrequencyLoss',
    'LPIPSLoss',
    'PSNRLoss',
    'SPNLoss',
    'SSIMLoss',
]
