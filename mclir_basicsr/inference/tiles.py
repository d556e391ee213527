"""Square tiles in which a large image goes through a network, blended where they overlap."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, product

import torch
from torch import Tensor

from mclir_basicsr.inference.fixed_tiles import merge, split, tile_starts

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

    >>> image = torch.rand(1, 3, 20, 30)
    >>> torch.allclose(run_tiles(torch.nn.Upsample(scale_factor=2), image, Tile(size=16, overlap=4)),
    ...                torch.nn.Upsample(scale_factor=2)(image))
    True
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
    """Tiles for a network that takes squares of one size only, merged as IDT's authors do (see fixed_tiles.py).

    A smaller image is continued by reflection to one tile. ``overlap`` is that of the published evaluation where the
    network says so (its attribute ``tiling``).

    >>> run_fixed_tiles(torch.nn.Identity(), torch.rand(1, 3, 20, 30), FixedTile(size=16, overlap=4)).shape
    torch.Size([1, 3, 20, 30])
    """


def run_fixed_tiles(net: Forward, image: Tensor, tile: FixedTile) -> Tensor:
    """Run ``net`` on each tile of ``image``, none of which is smaller, and merge the outputs."""
    outs = [net(part.contiguous()) for part in split(image, tile.size, tile.overlap)]
    height, width = image.shape[-2:]
    return merge(outs, height, width, tile.overlap)


def run_tiles(net: Forward, image: Tensor, tile: Tile) -> Tensor:
    """Run ``net`` on each tile of ``image`` and add up the weighted outputs."""
    height, width = image.shape[-2:]
    tops, lefts = _tile_starts(height, tile), _tile_starts(width, tile)
    corners = list(product(tops, lefts))
    # a generator, so that one tile at a time is in memory; contiguous, since some networks call view() on their input
    outs = (net(_cut(image, top, left, tile.size).contiguous()) for top, left in corners)
    first = next(outs)  # only an output tells scale, channels, type and device
    scale = output_scale(_cut(image, 0, 0, tile.size), first)
    total = sum_type(first).new_zeros(*first.shape[:-2], height * scale, width * scale)
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


def output_scale(image: Tensor, out: Tensor) -> int:
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


def sum_type(out: Tensor) -> Tensor:
    """Give ``out`` in the type in which sums are taken: half precision would lose bits with every term."""
    return out.to(torch.promote_types(out.dtype, torch.float32))
