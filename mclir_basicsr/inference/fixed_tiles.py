"""Tiles of a fixed size, merged with weights that fall from the centre, for networks that take one size only.

This is how IDT's published results on full images were made (Xiao et al., "Image De-raining Transformer", IEEE TPAMI
2022, and its repository): tiles of 128 with an overlap of 20, ``merge([net(tile) for tile in split(image, 128, 20)],
height, width, 20)``. The tiles of :mod:`~mclir_basicsr.inference.tiles` start at the same places, but are blended
otherwise. Needs torch only.
"""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor


def tile_starts(length: int, size: int, overlap: int) -> list[int]:
    """First pixels of the tiles along a side: every ``size - overlap``, and the last one moved back to fit.

    Args:
        length: Pixels along the side, at least ``size``.
        size: Side of a tile.
        overlap: Pixels that neighbouring tiles share, in ``[0, size)``; the last one shares at least as many.

    Raises:
        ValueError: Values outside these ranges.
    """
    if not 0 <= overlap < size:
        raise ValueError(f'overlap must be at least 0 and less than size, which is {size}, but is {overlap}.')
    if length < size:
        raise ValueError(f'A side of {length} pixels is shorter than a tile of {size}: pad the image first.')
    return [*range(0, length - size, size - overlap), length - size]


def split(image: Tensor, size: int, overlap: int) -> list[Tensor]:
    """Cut images into square tiles, row by row.

    Args:
        image: ``(N, C, h, w)``, both sides at least ``size``.
        size: Side of a tile.
        overlap: See :func:`tile_starts`.

    Returns:
        Views ``(N, C, size, size)`` of the image: all tiles of the first row from left to right, then the next row.

    Raises:
        ValueError: As :func:`tile_starts`.
    """
    height, width = image.shape[-2:]
    corners = product(tile_starts(height, size, overlap), tile_starts(width, size, overlap))
    return [image[..., top : top + size, left : left + size] for top, left in corners]


def merge(tiles: Sequence[Tensor], height: int, width: int, overlap: int) -> Tensor:
    """Put tiles together to the image that :func:`split` would cut into tiles at the same places.

    Where tiles overlap, the result is their mean with the weight 1 / sqrt(di^2 + dj^2 + 0.001), di and dj being the
    distance in rows and columns from the tile's centre (pixel ``size // 2``, counted from 0). The authors see fewer
    edges of tiles than with a plain mean.

    Args:
        tiles: ``(N, C, size, size)`` each, in the order of :func:`split`.
        height: Of the image.
        width: Of the image.
        overlap: With which the image was split.

    Returns:
        ``(N, C, height, width)`` in the type of the tiles. Sums are taken in float32 (float64 for float64 tiles).

    Raises:
        ValueError: Tiles of other shapes or in another number than these sizes need, or as :func:`tile_starts`.
    """
    if not tiles or any(tile.shape != tiles[0].shape for tile in tiles) or tiles[0].shape[-2] != tiles[0].shape[-1]:
        raise ValueError(
            'tiles must be one or more squares of one shape, but their shapes are '
            f'{sorted({tuple(tile.shape) for tile in tiles})}.'
        )
    size = tiles[0].shape[-1]
    corners = list(product(tile_starts(height, size, overlap), tile_starts(width, size, overlap)))
    if len(tiles) != len(corners):
        raise ValueError(
            f'{height}x{width} pixels with tiles of {size} and an overlap of {overlap} need {len(corners)} tiles, '
            f'but there are {len(tiles)}.'
        )
    kind = torch.promote_types(tiles[0].dtype, torch.float32)
    weight = _centre_weights(size).to(tiles[0].device, kind)
    total = tiles[0].new_zeros(*tiles[0].shape[:-2], height, width, dtype=kind)
    weights = total.new_zeros(height, width)
    for (top, left), tile in zip(corners, tiles, strict=True):
        total[..., top : top + size, left : left + size] += weight * tile
        weights[top : top + size, left : left + size] += weight
    return (total / weights).to(tiles[0].dtype)


def _centre_weights(size: int) -> Tensor:
    """Weight of each pixel of a tile, (size, size) float64."""
    squares = (torch.arange(size, dtype=torch.float64) - size // 2) ** 2
    return (squares[:, None] + squares + 1e-3).rsqrt()
