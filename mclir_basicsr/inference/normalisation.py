"""The range of values that a data set gives a network, and the way back to images in [0, 1]."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mclir_basicsr.errors import MclirError


class Normalisation:
    """``(image - mean) / std`` of a data set, as BasicSR's PairedImageDataset applies it to lq and gt.

    A network that is trained on such images makes such images. Metrics, pictures, the VGG of SPN and the adaptive
    policy are defined on [0, 1].

    Args:
        data: Options of the data set: ``mean`` and ``std``, one number or one per channel (RGB); none of them for
            images in [0, 1].
        where: What the data set is called in messages, e.g. ``datasets.train``.
        device: Of the images.

    Raises:
        MclirError: One of the two without the other, or values that are no numbers, or a std of 0.

    >>> normalisation = Normalisation({'mean': [0.5], 'std': [0.25]}, 'datasets.val')
    >>> normalisation.undone(torch.tensor([[[2.0]]])), normalisation.done(torch.tensor([[[1.0]]]))
    (tensor([[[1.]]]), tensor([[[2.]]]))
    """

    def __init__(self, data: Mapping[str, Any], where: str, device: torch.device | str = 'cpu') -> None:
        given = data.get('mean'), data.get('std')
        self.is_identity = given == (None, None)
        if self.is_identity:
            return
        try:
            # (C, 1, 1), or (1, 1, 1) for one number: beside (N, C, H, W) as beside (K, N, C, H, W)
            self.mean, self.std = (torch.tensor(v, dtype=torch.float32, device=device).view(-1, 1, 1) for v in given)
            is_usable = bool((self.std != 0).all())
        except (TypeError, ValueError, RuntimeError):
            is_usable = False
        if not is_usable:
            raise MclirError(
                f'{where}: mean and std must be given together, each a list of numbers, one per channel, and no std 0; '
                f'but mean is {given[0]!r} and std is {given[1]!r}. Correct them, or take both out.'
            )

    def undone(self, images: Tensor) -> Tensor:
        """Images (..., C, H, W) as they were before, in their own type; differentiable."""
        if self.is_identity:
            return images
        # in float32, where half precision would round mean and std
        return (images * self.std.to(images.device) + self.mean.to(images.device)).to(images.dtype)

    def done(self, images: Tensor) -> Tensor:
        """Images (..., C, H, W) in [0, 1] as the network takes them."""
        return images if self.is_identity else (images - self.mean.to(images.device)) / self.std.to(images.device)
