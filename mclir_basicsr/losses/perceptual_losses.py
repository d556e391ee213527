"""LPIPS and DISTS as losses."""

from typing import Any

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import perceptual_networks
from mclir_basicsr.losses.image_losses import check_shapes
from mclir_basicsr.losses.perceptual_networks import SMALLEST, Net


class LPIPSLoss(nn.Module):
    """LPIPS of images in [0, 1], mean over images: 0 for equal ones.

    Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018,
    version 0.1; by torchmetrics.

    Args:
        loss_weight: λ.
        net: ``alex``, ``vgg`` or ``squeeze``. Papers measure with alex; its authors advise vgg for training.

    Raises:
        MclirError: Another net, or a backbone that cannot be had.
    """

    def __init__(self, loss_weight: float = 1.0, net: Net = 'vgg') -> None:
        super().__init__()
        perceptual_networks.check_net(net, 'LPIPSLoss')
        self.loss_weight = loss_weight
        self.smallest = SMALLEST[net]
        self.network = perceptual_networks.lpips_network(net, 'LPIPSLoss')

    def forward(self, output: Tensor, gt: Tensor) -> Tensor:
        """Compute the loss of output and gt, both (N, 3 or 1, H, W) in [0, 1]; a scalar.

        Raises:
            MclirError: The shapes differ, or images are too small for the net.
        """
        return self.loss_weight * _distance(self, output, gt, normalize=True)


class DISTSLoss(nn.Module):
    """DISTS of images in [0, 1] at their own size, mean over images: 0 for equal ones.

    Source: Ding et al., Image Quality Assessment: Unifying Structure and Texture Similarity, TPAMI 2020; by
    torchmetrics.

    Args:
        loss_weight: λ.

    Raises:
        MclirError: Its backbone, vgg16, cannot be had.
    """

    smallest = SMALLEST['vgg']

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.network = perceptual_networks.dists_network('DISTSLoss')

    def forward(self, output: Tensor, gt: Tensor) -> Tensor:
        """Compute the loss of output and gt, both (N, 3 or 1, H, W) in [0, 1]; a scalar.

        Raises:
            MclirError: The shapes differ, or images are too small.
        """
        return self.loss_weight * _distance(self, output, gt, require_grad=True)


def _distance(loss: LPIPSLoss | DISTSLoss, output: Tensor, gt: Tensor, **how: Any) -> Tensor:
    """Mean over images, in float32: both take differences of means that half precision cannot hold apart."""
    check_shapes(output, gt)
    height, width = output.shape[-2:]
    if min(height, width) < loss.smallest:
        raise MclirError(
            f'{type(loss).__name__} needs {loss.smallest}x{loss.smallest} pixels, but gets {width}x{height} (width x '
            'height).'
        )
    colour = (image.float().expand(-1, 3, -1, -1) for image in (output, gt))  # one channel three times
    with torch.autocast(output.device.type, enabled=False):
        distance: Tensor = loss.network(*colour, **how)  # (N, ...)
    return distance.mean()
