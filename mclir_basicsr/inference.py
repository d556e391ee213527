"""Whole-image forward of any restoration network: padding to a multiple, overlapping tiles, self-ensemble.

Needs torch only and works in any PyTorch loop; setting the network to eval mode, and autocast, are the caller's.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.tiles_fixed import merge, split, tile_starts

logger = logging.getLogger('basicsr')

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Tile:
    """Square tiles in which a large image goes through the network.

    Attributes:
        size: Side of a tile in pixels of the network's input; a multiple of ``pad_multiple`` of :func:`restore`.
        overlap: Pixels of the network's input that neighbouring tiles share, in ``[0, size)``. The last tile of a
            row or column is shifted back to end at the image's border, so it shares at least as many.

    Raises:
        ValueError: ``overlap`` is outside ``[0, size)``.
    """

    size: int
    overlap: int

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.size:
            raise ValueError(
                f'tile: overlap must be at least 0 and less than size, but overlap is {self.overlap} '
                f'and size is {self.size}.'
            )


class FixedTile(Tile):
    """Tiles for a network that takes squares of one size only, merged as IDT's authors do (see tiles_fixed.py).

    A smaller image is continued by reflection to one tile. ``overlap`` is that of the published evaluation where the
    network says so (its attribute ``tiling``).
    """


class Needs(NamedTuple):
    """Which images a network takes, as it says by attributes of these names; one that says nothing takes all.

    Attributes:
        pad_multiple: Sides must be multiples of this. Where a network does not say, of each ``window_size`` (a number,
            or one for each side) that it or a module of it has: so SwinIR is padded as by BasicSR's SwinIRModel.
        min_side: Sides must be at least this.
        square: Height and width must be the same.
        tiling: Tiles in which larger images are restored; a FixedTile where the network takes one size only.
    """

    pad_multiple: int = 1
    min_side: int = 1
    square: bool = False
    tiling: Tile | None = None

    def fault(self, side: int) -> str:
        """Why squares of this side cannot go through the network as they are; empty where they can."""
        fixed = self.tiling.size if isinstance(self.tiling, FixedTile) else None
        fits = fixed or math.ceil(max(side, self.min_side) / self.pad_multiple) * self.pad_multiple
        if side == fits:
            return ''
        needed = [f'multiples of {self.pad_multiple}'] if self.pad_multiple > 1 else []
        needed += [f'at least {self.min_side}'] if self.min_side > 1 else []
        return f'this network takes sides of {f"{fixed} only" if fixed else " and ".join(needed)}: use {fits}'


def needs_of(net: Forward) -> Needs:
    """Read off a network what it says of itself."""
    said = {name: getattr(net, name) for name in Needs._fields if hasattr(net, name)}
    windows = [getattr(part, 'window_size', None) for part in (net.modules() if isinstance(net, nn.Module) else [net])]
    sides = chain.from_iterable(window if isinstance(window, (tuple, list)) else [window] for window in windows)
    return Needs(**{'pad_multiple': math.lcm(*(side for side in sides if isinstance(side, int)))} | said)


def size_faults(
    net: Forward, *, tile: int | None = None, patch: int | None = None, pad_multiple: int | None = None
) -> list[str]:
    """Tell which sizes of an option file a network does not take.

    Args:
        net: The network that ``network_g`` builds.
        tile: ``val.tile.size``, if it is given.
        patch: Side of the training patches in lq pixels, ``gt_size / scale``, if there is training.
        pad_multiple: ``val.pad_multiple``, if it is a number.

    Returns:
        A sentence for each fault.
    """
    needs = needs_of(net)
    asked = [
        ('val.tile.size', tile, needs._replace(pad_multiple=pad_multiple or needs.pad_multiple)),
        # networks that only have windows may pad patches themselves
        ('datasets.train.gt_size / scale', patch, needs._replace(pad_multiple=getattr(net, 'pad_multiple', 1))),
    ]
    faults = [(name, side, needed.fault(side)) for name, side, needed in asked if side is not None]
    return [f'{name} is {side}, but {fault}.' for name, side, fault in faults if fault]


def tiles_change_means(net: nn.Module, size: int) -> bool:
    """Whether tiles of ``size`` pixels change a network's result since it goes by means over more than a tile.

    Networks with an ``nn.AdaptiveAvgPool2d`` do, those that say so by ``sees_whole_image``, and those of local
    statistics whose windows are larger (``statistics_window``).
    """
    pools = any(isinstance(module, nn.AdaptiveAvgPool2d) for module in net.modules())
    return pools or getattr(net, 'sees_whole_image', False) or getattr(net, 'statistics_window', 0) > size


@torch.no_grad()
def restore(
    net: Forward,
    lq: Tensor,
    *,
    pad_multiple: int | None = None,
    min_side: int | None = None,
    square: bool | None = None,
    tile: Tile | None = None,
    self_ensemble: bool = False,
) -> Tensor:
    """Run a whole image through an image-to-image network, without gradients.

    What is None is as the network says of itself (:class:`Needs`); for one that says nothing this is exactly
    ``net(lq)``. The scale is read from the size of the network's output. Each of the eight images of the self-ensemble
    is padded, and the padded image is cut into tiles.

    Tiles change nothing but float rounding where the network is local: let an output pixel lie in the input pixel
    ``(row // s, column // s)`` and depend on no input pixel more than ``r`` rows or columns away from that one. The
    tiled output equals the untiled one, over the whole image, if ``r <= tile.overlap // 4`` and the network treats
    every place alike (if only up to shifts by ``pad_multiple``, as with windows or pixel-unshuffle, ``tile.overlap``
    must be a multiple of it too). For this a tile has weight zero in the outer quarter of its overlap, where the
    network saw the tile's edge instead of the image; neighbours are blended linearly over the half in the middle.
    Networks with a wider view, or with whole-image statistics (global pooling, instance norm), give another result
    with tiles.

    Args:
        net: The network, ``(N, C, H, W)`` to ``(N, C', H * s, W * s)`` for a whole ``s >= 1``.
        lq: Input images ``(N, C, h, w)``, in the range of values the network was made for.
        pad_multiple: The network needs sides that are multiples of this (its window size, say). The image is
            continued by reflection at the bottom and at the right up to the next multiple, as BasicSR's SwinIRModel
            does, and the output is cropped. Small images are reflected as often as needed.
        min_side: The network needs sides of at least this many pixels; smaller images are continued likewise.
        square: The network needs squares; the shorter side is continued likewise, as far as a tile reaches.
        tile: Tiles to cut the (padded) image into; without any, the whole image goes at once. A direction in which
            the image is not larger than the tile is not cut. Where a tile does not fit into memory, the image is
            restored again in tiles of half the size (with a warning), and so on while they are larger than the
            overlap. For a network that takes one size only, a FixedTile, whichever kind is given.
        self_ensemble: Mean over the eight flips and transposes of the input, each undone on the output: "geometric
            self-ensemble" of Lim et al., Enhanced Deep Residual Networks for Single Image Super-Resolution (2017),
            https://arxiv.org/abs/1707.02921. Takes eight times as long and no more memory for the network.

    Returns:
        Output images ``(N, C', h * s, w * s)`` in the type and range of the network's output. Sums over tiles and
        over the ensemble are taken in float32 (float64 for a float64 network).

    Raises:
        ValueError: ``lq`` is not a batch of images, ``pad_multiple`` or ``min_side`` is less than 1, or the network's
            output is not the same whole multiple of its input in both directions.
        MclirError: ``tile.size`` is not a multiple of ``pad_multiple``, less than ``min_side`` or not the size that the
            network takes; or the image, or a tile that cannot be halved, does not fit into memory.
    """
    given: dict[str, Any] = {'pad_multiple': pad_multiple, 'min_side': min_side, 'square': square}
    needs = needs_of(net)._replace(**{name: value for name, value in given.items() if value is not None})
    _check_arguments(lq, needs, tile)
    if tile is None or isinstance(needs.tiling, FixedTile):
        tile = needs.tiling if tile is None else FixedTile(tile.size, tile.overlap)
    multiple = needs.pad_multiple
    least = needs.min_side + -needs.min_side % multiple

    def forward(image: Tensor) -> Tensor:
        side = tile.size if isinstance(tile, FixedTile) else least
        if needs.square:
            longest = max(image.shape[-2:])
            longest += -longest % multiple
            side = max(side, min(longest, tile.size) if tile else longest)
        padded = _pad_reflect(image, multiple, side)
        out = _run(net, padded, tile, multiple, least)
        scale = _output_scale(padded, out)
        return out[..., : image.shape[-2] * scale, : image.shape[-1] * scale]

    return _run_ensemble(forward, lq) if self_ensemble else forward(lq)


def _run(net: Forward, image: Tensor, tile: Tile | None, multiple: int, least: int) -> Tensor:
    """Run ``net`` on a padded image, in smaller tiles where memory does not suffice."""
    try:
        if tile is None:
            return net(image)
        if isinstance(tile, FixedTile):
            return _run_fixed_tiles(net, image, tile)
        return _run_tiles(net, image, tile)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        smaller = _halve(tile, image, multiple, least)
    # outside the handler, where the traceback would keep the tensors of the failed attempt
    logger.warning('A tile does not fit into memory: the image is restored again, in tiles of %d pixels.', smaller.size)
    return _run(net, image, smaller, multiple, least)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """On a GPU it has a class of its own, on a CPU a message only."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)


def _halve(tile: Tile | None, image: Tensor, multiple: int, least: int) -> Tile:
    height, width = image.shape[-2:]
    what = f'An image of {height}x{width} pixels (height x width)'
    if tile is None:
        raise MclirError(
            f'{what} does not fit into memory: restore it in tiles (val.tile: {{size: 256, overlap: 32}}).'
        )
    used = min(tile.size, max(height, width))
    half = used // 2 // multiple * multiple
    if isinstance(tile, FixedTile) or half < least or half <= tile.overlap:
        raise MclirError(
            f'{what} does not fit into memory even in tiles of {used} with an overlap of {tile.overlap}: '
            'free memory on the device, or use another one.'
        )
    return Tile(half, tile.overlap)


def _check_arguments(lq: Tensor, needs: Needs, tile: Tile | None) -> None:
    if lq.dim() != 4 or 0 in lq.shape[-2:]:
        raise ValueError(f'lq must be a batch of images of shape (N, C, h, w), but its shape is {tuple(lq.shape)}.')
    if needs.pad_multiple < 1:
        raise ValueError(f'pad_multiple must be at least 1 (1: no padding), but is {needs.pad_multiple}.')
    if needs.min_side < 1:
        raise ValueError(f'min_side must be at least 1, but is {needs.min_side}.')
    if tile is not None and (fault := needs.fault(tile.size)):
        raise MclirError(f'tile: size is {tile.size}, but {fault}.')


def _output_scale(image: Tensor, out: Tensor) -> int:
    """Read the scale of a network from what it took and what it gave."""
    height, width = image.shape[-2:]
    out_height, out_width = out.shape[-2:]
    scale = out_height // height
    if scale < 1 or (out_height, out_width) != (height * scale, width * scale):
        raise ValueError(
            f'The network made {out_height}x{out_width} pixels out of {height}x{width} (height x width), but height '
            'and width must both be multiplied by the same whole number. If the network rounds the size of its input, '
            'set pad_multiple to the multiple that it needs.'
        )
    return scale


def _pad_reflect(image: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Continue ``image`` by reflection at the bottom and right until its sides are multiples of ``multiple``.

    And no shorter than ``least``, which is a multiple of it.

    F.pad refuses to reflect by as many pixels as the image has. Here the image is mirrored at its last row, then at
    its first one, and so on, which is the same wherever F.pad works; a single row or column is repeated.
    """
    for dim in (-2, -1):
        length = image.shape[dim]
        missing = max(-length % multiple, least - length)
        if missing:
            period = max(2 * (length - 1), 1)
            index = torch.arange(length + missing, device=image.device) % period
            image = image.index_select(dim, torch.minimum(index, period - index))
    return image


def _run_fixed_tiles(net: Forward, image: Tensor, tile: FixedTile) -> Tensor:
    """Run ``net`` on each tile of ``image``, none of which is smaller, and merge the outputs."""
    outs = [net(part.contiguous()) for part in split(image, tile.size, tile.overlap)]
    height, width = image.shape[-2:]
    return merge(outs, height, width, tile.overlap)


def _run_tiles(net: Forward, image: Tensor, tile: Tile) -> Tensor:
    """Run ``net`` on each tile of ``image`` and add up the weighted outputs."""
    height, width = image.shape[-2:]
    tops, lefts = _tile_starts(height, tile), _tile_starts(width, tile)
    corners = list(product(tops, lefts))
    # a generator, so that one tile at a time is in memory; contiguous, since some networks call view() on their input
    outs = (net(_cut(image, top, left, tile.size).contiguous()) for top, left in corners)
    first = next(outs)  # only an output tells scale, channels, type and device
    scale = _output_scale(_cut(image, 0, 0, tile.size), first)
    total = _sum_type(first).new_zeros(*first.shape[:-2], height * scale, width * scale)
    rows = _blend_weights(tops, height, tile, scale)
    columns = _blend_weights(lefts, width, tile, scale)
    for (top, left), out in zip(corners, chain([first], outs), strict=True):
        weight = (rows[top].unsqueeze(-1) * columns[left]).to(total)
        _cut(total, top * scale, left * scale, tile.size * scale).add_(weight * out)
    return total.to(first.dtype)


def _cut(image: Tensor, top: int, left: int, size: int) -> Tensor:
    """View of a square of ``image``; less than a square where the image is smaller."""
    return image[..., top : top + size, left : left + size]


def _tile_starts(length: int, tile: Tile) -> list[int]:
    """First pixels of the tiles along a side of ``length`` pixels, which may be shorter than a tile."""
    return tile_starts(max(length, tile.size), tile.size, tile.overlap)


def _blend_weights(starts: list[int], length: int, tile: Tile, scale: int) -> dict[int, Tensor]:
    """Weights (float64) of the output pixels along each tile of a side, by the tile's start; their sum is 1 everywhere.

    A pixel counts by its distance from the tile's nearest edge inside the image, less a quarter of the overlap. After
    division by the sum, two neighbours fade linearly into one another over what remains of the pixels they share.
    """
    size = min(tile.size, length) * scale
    unseen = tile.overlap // 4 * scale
    rise = (torch.arange(1, size + 1, dtype=torch.float64) - unseen).clamp(min=0)
    no_edge = torch.full_like(rise, size)  # the image's own border: nothing to fade into
    total = torch.zeros(length * scale, dtype=torch.float64)
    weights = {}
    for start in starts:
        left = rise if start > 0 else no_edge
        right = rise.flip(0) if start * scale + size < len(total) else no_edge
        weights[start] = torch.minimum(left, right)
        total[start * scale :][:size] += weights[start]
    return {start: weight / total[start * scale :][:size] for start, weight in weights.items()}


def _run_ensemble(forward: Forward, image: Tensor) -> Tensor:
    """Mean of ``forward`` over the eight flips and transposes of ``image``, one at a time."""
    out = forward(image)
    total = _sum_type(out)
    for flips, transpose in list(product([(), (-2,), (-1,), (-2, -1)], [False, True]))[1:]:
        turned = image.flip(flips)
        turned_back = forward(turned.mT.contiguous()).mT if transpose else forward(turned)
        total = total + turned_back.flip(flips)
    return (total / 8).to(out.dtype)


def _sum_type(out: Tensor) -> Tensor:
    """Give ``out`` in the type in which sums are taken: half precision would lose bits with every term."""
    return out.to(torch.promote_types(out.dtype, torch.float32))
