"""How far a network and its negative models are apart on an image: a map of what training has not settled."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from mclir_basicsr.inference.restore import restore
from mclir_basicsr.inference.tiles import Forward

WHITE = 0.1  # of the range of values: the spread that pictures of it show as white


def spread(images: Tensor) -> Tensor:
    """Standard deviation over several restorations of one image, its mean over the channels.

    Args:
        images: ``(K, N, C, H, W)``, K restorations in one range of values.

    Returns:
        ``(N, H, W)`` in that unit: for images in [0, 1], 0.01 is a standard deviation of a hundredth of it.

    >>> spread(torch.tensor([0.25, 0.75]).view(2, 1, 1, 1, 1).expand(2, 1, 3, 1, 2))
    tensor([[[0.2500, 0.2500]]])
    """
    return images.float().std(0, correction=0).mean(1)


def restore_with_spread(net: Forward, negatives: Iterable[Forward], lq: Tensor, **how: Any) -> tuple[Tensor, Tensor]:
    """Restore an image with a network, and find the spread of it and of its negatives' restorations.

    Every network is one member, weighed alike. The formula is ours; that the past models of a network tell where it
    errs is a conjecture, which docs/uncertainty.md measures.

    Args:
        net: The network.
        negatives: Its negative models, at least one.
        lq: ``(N, C, h, w)``.
        **how: As of :func:`~mclir_basicsr.inference.restore.restore`.

    Returns:
        The restored images ``(N, C', H, W)`` and the spread ``(N, H, W)``, see :func:`spread`.

    >>> net, negative = torch.nn.Identity(), torch.nn.Upsample(scale_factor=1)
    >>> restored, apart = restore_with_spread(net, [negative], torch.rand(1, 3, 8, 8))
    >>> restored.shape, apart.max().item()
    (torch.Size([1, 3, 8, 8]), 0.0)
    """
    output = restore(net, lq, **how)
    return output, spread(torch.stack([output, *(restore(negative, lq, **how) for negative in negatives)]))
