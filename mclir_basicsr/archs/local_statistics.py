"""Test-time local statistics: global average pooling that, on large images, looks no wider than in training.

Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation" (TLC), ECCV 2022,
https://arxiv.org/abs/2112.04491.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError


class LocalAvgPool2d(nn.Module):
    """Average over a window around each place, in place of the average over the whole map.

    Windows that would reach over the border are moved inside, so that each has all its places within the map. A map
    that is no larger than the window is averaged as a whole.

    Args:
        window: Height and width of the window, in places of the map that is pooled.

    Raises:
        ValueError: A side of the window is less than 1.
    """

    def __init__(self, window: tuple[int, int]) -> None:
        super().__init__()
        if min(window) < 1:
            raise ValueError(f'window must be at least 1 high and wide, but is {window}.')
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Pool maps (N, C, h, w): to (N, C, h, w), or to (N, C, 1, 1) if the window covers the map."""
        height, width = x.shape[-2:]
        if self.window[0] >= height and self.window[1] >= width:
            return F.adaptive_avg_pool2d(x, 1)
        # half precision would overflow in the running sums, or lose all digits
        means = x.to(torch.promote_types(x.dtype, torch.float32))
        for dim, size in zip((-2, -1), self.window, strict=True):
            means = _running_mean(means, dim, min(size, x.shape[dim]))
        missing_rows, missing_columns = height - means.shape[-2], width - means.shape[-1]
        top, left = missing_rows // 2, missing_columns // 2
        margins = (left, missing_columns - left, top, missing_rows - top)
        return F.pad(means, margins, mode='replicate').to(x.dtype)

    def extra_repr(self) -> str:
        """The window, as print(net) shows it."""
        return f'window={self.window}'


def _running_mean(x: Tensor, dim: int, size: int) -> Tensor:
    """Mean over each stretch of ``size`` elements along ``dim``: shorter there by ``size - 1``."""
    sums = x.cumsum(dim)
    length = x.shape[dim]
    first = sums.narrow(dim, size - 1, 1)
    others = sums.narrow(dim, size, length - size) - sums.narrow(dim, 0, length - size)
    return torch.cat([first, others], dim) / size


def use_local_statistics(net: nn.Module, train_size: Sequence[int], reach: float = 1.5) -> None:
    """Turn every global average pooling of a network into one over a window that is fixed by the training size.

    The window of a pooling whose map is h x w for an input of the training size H x W is floor(reach * H) * h // H
    high and floor(reach * W) * w // W wide. Parameters and state-dict keys stay as they are, and so (for a reach of 1
    or more) does what the network makes of images of the training size. Other means over the whole image, such as
    those of DehazeFormer's norms, stay global.

    Args:
        net: Any network that pools by ``nn.AdaptiveAvgPool2d(1)`` and uses the result in a way that broadcasts over
            the map (1x1 convolutions, activations and a product, as channel attention does; no reshaping to a
            vector). It is changed in place, and need not have run before. Its attribute ``statistics_window`` becomes
            the larger side of the windows in pixels of the image.
        train_size: Shape (N, C, H, W) of the inputs that it was, or will be, trained with.
        reach: Side of the window by that of the training input; the authors use 1.5.

    Raises:
        MclirError: ``train_size`` is no shape of images or not one of this network's, it has no global average pooling
            that inputs of this shape go through, or it uses one in another way; then it is as it was.
        ValueError: A window of less than 1 place.

    >>> gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1))
    >>> use_local_statistics(gate, [1, 3, 16, 16])
    >>> gate.statistics_window
    24
    """
    if len(train_size) != 4 or min(train_size) < 1:
        raise MclirError(f'train_size must be four numbers (N, C, H, W) of 1 or more, but is {list(train_size)}.')
    kind, (height, width) = type(net).__name__, train_size[-2:]
    try:
        sizes = _pooled_sizes(net, train_size)
    except Exception as error:  # whatever a network makes of sizes that it does not take
        raise MclirError(f'{kind} takes no images of train_size {list(train_size)}: {error}') from error
    if not sizes:
        raise MclirError(
            f'{kind} has no global average pooling, nn.AdaptiveAvgPool2d(1), so there is nothing that could use local '
            'statistics.'
        )
    windows = {
        pool: LocalAvgPool2d((int(reach * height) * rows // height, int(reach * width) * columns // width))
        for pool, (rows, columns) in sizes.items()
    }
    places = [(module, name, child) for module in net.modules() for name, child in module.named_children()]
    pools = [(module, name, child) for module, name, child in places if child in windows]
    for module, name, pool in pools:
        setattr(module, name, windows[pool])
    try:
        beyond = int(reach) + 1  # so many training images side by side are larger than a window
        _pooled_sizes(net, (*train_size[:2], beyond * height, beyond * width))
    except Exception as error:
        for module, name, pool in pools:
            setattr(module, name, pool)
        raise MclirError(
            f'{kind} cannot use local statistics: what it makes of its global average pooling does not broadcast over '
            f'the map, or it takes no images of {beyond} times its train_size ({error}).'
        ) from error
    net.statistics_window = int(reach * max(height, width))  # type: ignore[assignment]


def _pooled_sizes(net: nn.Module, shape: Sequence[int]) -> dict[nn.Module, tuple[int, int]]:
    """Heights and widths of the maps that the global poolings get from an input of the given shape.

    Only shapes are worked out, on the meta device: nothing is computed or changed.
    """
    sizes: dict[nn.Module, tuple[int, int]] = {}

    def note(pool: nn.Module, args: tuple[Any, ...]) -> None:
        sizes.setdefault(pool, tuple(args[0].shape[-2:]))

    pools = [m for m in net.modules() if isinstance(m, nn.AdaptiveAvgPool2d) and m.output_size in (1, (1, 1))]
    handles = [pool.register_forward_pre_hook(note) for pool in pools]
    state = {name: t.to('meta') for name, t in chain(net.named_parameters(), net.named_buffers())}
    try:
        with torch.no_grad():
            functional_call(net, state, (torch.empty(*shape, device='meta'),))
    finally:
        for handle in handles:
            handle.remove()
    return sizes
