"""Pictures of a validation for TensorBoard, from where wandb takes them over."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mclir_basicsr.inference.needs import needs_of
from mclir_basicsr.inference.spread import WHITE, restore_with_spread
from mclir_basicsr.inference.tiles import FixedTile

_IMAGES = 4  # of a data set, at each validation
_SIDE = 64  # lq pixels of the middle of an image


class Board:
    """The middle of the first images of a data set: lq, output, gt and the spread of the negatives, side by side.

    Args:
        writer: A SummaryWriter.
        dataset: Its name.
        iteration: Iterations done.

    >>> Board(writer=None, dataset='Set5', iteration=100).wants_more
    True
    """

    def __init__(self, writer: Any, dataset: str, iteration: int) -> None:
        self._writer, self._dataset, self._iteration = writer, dataset, iteration
        self._shown = 0

    @property
    def wants_more(self) -> bool:
        """Whether another image is to be shown."""
        return self._shown < _IMAGES

    @torch.no_grad()
    def show(
        self, name: str, net: nn.Module, negatives: Sequence[nn.Module], lq: Tensor, gt: Tensor | None, undone: Any
    ) -> None:
        """Show an image.

        Args:
            name: Of the image.
            net: The network that is validated; it restores the middle of lq alone.
            negatives: Its negative models; without any, there is no spread.
            lq: (1, C, h, w) as the network takes it.
            gt: (1, C', H, W); None without.
            undone: From the range of the data set to [0, 1].
        """
        tiling = needs_of(net).tiling
        side = tiling.size if isinstance(tiling, FixedTile) else _SIDE
        lq, corner = _middle(lq, side)
        output, apart = restore_with_spread(net, negatives, lq)
        scale = output.shape[-1] // lq.shape[-1]
        parts = [interpolate(_colour(undone(lq)), scale_factor=scale, mode='nearest'), _colour(undone(output))]
        if gt is not None:
            top, left = (scale * start for start in corner)
            parts.append(_colour(undone(gt[..., top : top + output.shape[-2], left : left + output.shape[-1]])))
        if negatives:
            one = undone(torch.ones_like(output)) - undone(torch.zeros_like(output))  # of [0, 1] in the network's range
            parts.append(_colour(apart[:, None] * one.mean() / WHITE))
        strip = torch.cat([part.float().cpu().clamp(0, 1) for part in parts], dim=-1)[0]
        self._writer.add_image(f'{self._dataset}/{name}', strip, self._iteration)
        self._shown += 1


def _middle(image: Tensor, side: int) -> tuple[Tensor, tuple[int, int]]:
    """The middle of an image (..., H, W), at most side x side, and its corner (top, left)."""
    height, width = image.shape[-2:]
    top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
    return image[..., top : top + side, left : left + side], (top, left)


def _colour(image: Tensor) -> Tensor:
    """(1, C, H, W) with three channels."""
    return image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image[:, :3]
