"""Whole-image forward of any restoration network: padding to a multiple, overlapping tiles, self-ensemble.

Needs torch only and works in any PyTorch loop; setting the network to eval mode, and autocast, are the caller's.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, product

import torch
from torch import Tensor

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


@torch.no_grad()
def restore(
    net: Forward,
    lq: Tensor,
    *,
    pad_multiple: int = 1,
    min_side: int = 1,
    tile: Tile | None = None,
    self_ensemble: bool = False,
) -> Tensor:
    """Run a whole image through an image-to-image network, without gradients.

    With the defaults this is exactly ``net(lq)``. The scale is read from the size of the network's output. Each of the
    eight images of the self-ensemble is padded, and the padded image is cut into tiles.

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
        tile: Tiles to cut the (padded) image into; None for the whole image at once. A direction in which the image
            is not larger than the tile is not cut. Where a tile does not fit into memory, the image is restored again
            in tiles of half the size (with a warning), and so on while they are larger than the overlap.
        self_ensemble: Mean over the eight flips and transposes of the input, each undone on the output: "geometric
            self-ensemble" of Lim et al., Enhanced Deep Residual Networks for Single Image Super-Resolution (2017),
            https://arxiv.org/abs/1707.02921. Takes eight times as long and no more memory for the network.

    Returns:
        Output images ``(N, C', h * s, w * s)`` in the type and range of the network's output. Sums over tiles and
        over the ensemble are taken in float32 (float64 for a float64 network).

    Raises:
        ValueError: ``lq`` is not a batch of images, ``pad_multiple`` is less than 1, ``tile.size`` is not a multiple
            of it, or the network's output is not the same whole multiple of its input in both directions.
        MclirError: The image, or a tile that cannot be halved, does not fit into memory.
    """
    _check_arguments(lq, pad_multiple, min_side, tile)
    least = min_side + -min_side % pad_multiple

    def forward(image: Tensor) -> Tensor:
        padded = _pad_reflect(image, pad_multiple, tile.size if isinstance(tile, FixedTile) else least)
        out = _run(net, padded, tile, pad_multiple, least)
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


def _check_arguments(lq: Tensor, pad_multiple: int, min_side: int, tile: Tile | None) -> None:
    if lq.dim() != 4 or 0 in lq.shape[-2:]:
        raise ValueError(f'lq must be a batch of images of shape (N, C, h, w), but its shape is {tuple(lq.shape)}.')
    if pad_multiple < 1:
        raise ValueError(f'pad_multiple must be at least 1 (1: no padding), but is {pad_multiple}.')
    if min_side < 1:
        raise ValueError(f'min_side must be at least 1, but is {min_side}.')
    if tile is not None and tile.size % pad_multiple:
        raise ValueError(
            f'tile: size must be a multiple of pad_multiple, which is {pad_multiple}, but size is {tile.size}. '
            f'The next larger multiple is {tile.size + -tile.size % pad_multiple}.'
        )


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
