"""LPIPS and DISTS, by torchmetrics, as metrics of BasicSR: a smaller value is better."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mclir_basicsr import devices
from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.perceptual_networks import SMALLEST, Net, check_net, dists_network, lpips_network

Distance = Callable[[Tensor, Tensor], Tensor]


def calculate_lpips(
    img: np.ndarray,
    img2: np.ndarray,
    crop_border: int,
    input_order: str = 'HWC',
    test_y_channel: bool = False,
    net: Net = 'alex',
) -> float:
    """LPIPS of two images, 0 for equal ones.

    Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018,
    version 0.1.

    Args:
        img: (H, W, C) or (C, H, W), C 3 in the order BGR or 1, or (H, W); in [0, 255].
        img2: The same of gt.
        crop_border: Pixels left out at each edge.
        input_order: ``HWC`` or ``CHW``.
        test_y_channel: Must be false.
        net: ``alex`` as in most papers, ``vgg`` or ``squeeze``.

    Raises:
        MclirError: A value outside these, images that are too small, or a backbone that cannot be had.
    """
    check_net(net, 'calculate_lpips')
    images = _pair('calculate_lpips', img, img2, crop_border, input_order, test_y_channel, SMALLEST[net])
    return _measure(_lpips(net, _device()), images)


def calculate_dists(
    img: np.ndarray,
    img2: np.ndarray,
    crop_border: int,
    input_order: str = 'HWC',
    test_y_channel: bool = False,
) -> float:
    """DISTS of two images at their own size, 0 for equal ones.

    Source: Ding et al., Image Quality Assessment: Unifying Structure and Texture Similarity, TPAMI 2020.

    Args:
        img: (H, W, C) or (C, H, W), C 3 in the order BGR or 1, or (H, W); in [0, 255].
        img2: The same of gt.
        crop_border: Pixels left out at each edge.
        input_order: ``HWC`` or ``CHW``.
        test_y_channel: Must be false.

    Raises:
        MclirError: A value outside these, images that are too small, or a backbone that cannot be had.
    """
    images = _pair('calculate_dists', img, img2, crop_border, input_order, test_y_channel, SMALLEST['vgg'])
    return _measure(_dists(_device()), images)


def smallest_side(options: Mapping[str, Any]) -> int | None:
    """Side in pixels that an image must have behind ``crop_border``; None for metrics of others.

    Args:
        options: Of the metric in ``val.metrics``.

    >>> smallest_side({'type': 'calculate_lpips', 'crop_border': 4})
    31
    """
    kind, net = options.get('type'), options.get('net', 'alex')
    return SMALLEST.get({'calculate_lpips': str(net), 'calculate_dists': 'vgg'}.get(str(kind), ''))


def _pair(
    name: str, img: np.ndarray, img2: np.ndarray, border: int, order: str, test_y_channel: bool, smallest: int
) -> tuple[Tensor, Tensor]:
    """Both images as (1, 3, H, W), RGB in [0, 1]."""
    from basicsr.metrics.metric_util import reorder_image

    if test_y_channel:
        raise MclirError(f'{name} compares colours: take test_y_channel out.')
    if img.shape != img2.shape:
        raise MclirError(f'{name} compares images of one shape, but they are {img.shape} and {img2.shape}.')
    pair = []
    for image in (img, img2):
        image = reorder_image(image, order)
        image = image[border : image.shape[0] - border, border : image.shape[1] - border]
        if min(image.shape[:2]) < smallest:
            raise MclirError(
                f'{name} needs {smallest}x{smallest} pixels behind crop_border ({border}), but gets '
                f'{image.shape[1]}x{image.shape[0]} (width x height).'
            )
        colour = np.broadcast_to(image[..., ::-1], (*image.shape[:2], 3))  # RGB; one channel three times
        pair.append(torch.from_numpy(colour.astype(np.float32) / 255).permute(2, 0, 1)[None].to(_device()))
    return pair[0], pair[1]


@torch.no_grad()
def _measure(distance: Distance, images: tuple[Tensor, Tensor]) -> float:
    return distance(*images).item()


def _device() -> torch.device:
    return devices.gpu() or torch.device('cpu')


@functools.cache
def _lpips(net: Net, device: torch.device) -> Distance:
    return functools.partial(lpips_network(net, 'calculate_lpips').to(device), normalize=True)


@functools.cache
def _dists(device: torch.device) -> Distance:
    return dists_network('calculate_dists').to(device)
