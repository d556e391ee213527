"""Whole-image forward of any restoration network: padding to a multiple, overlapping tiles, self-ensemble.

Needs torch only and works in any PyTorch loop; autocast is the caller's.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.inference.needs import Needs, needs_of
from mclir_basicsr.inference.tiles import FixedTile, Forward, Tile, output_scale, run_fixed_tiles, run_tiles, sum_type

logger = logging.getLogger('basicsr')


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
    """Run a whole image through an image-to-image network, without gradients and in eval mode.

    Dropout is off, and batch norm goes by its statistics; every module is in its own mode again behind it.

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

    >>> net = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, 12, 1), nn.PixelShuffle(2), nn.Upsample(scale_factor=2))
    >>> restore(net, torch.rand(1, 3, 30, 21), pad_multiple=4).shape
    torch.Size([1, 3, 30, 21])
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
        scale = output_scale(padded, out)
        return out[..., : image.shape[-2] * scale, : image.shape[-1] * scale]

    with _in_eval_mode(net):
        return _run_ensemble(forward, lq) if self_ensemble else forward(lq)


@contextmanager
def _in_eval_mode(net: Forward) -> Iterator[None]:
    """Eval mode for a network, if it is one; behind it each module is in the mode that it was in."""
    modes = [(module, module.training) for module in net.modules()] if isinstance(net, nn.Module) else []
    if isinstance(net, nn.Module):
        net.eval()
    try:
        yield
    finally:
        for module, mode in modes:  # parents come first
            if module.training != mode:
                module.train(mode)  # some networks fold weights together in eval mode, and undo it here
                module.training = mode


def _run(net: Forward, image: Tensor, tile: Tile | None, multiple: int, least: int) -> Tensor:
    """Run ``net`` on a padded image, in smaller tiles where memory does not suffice."""
    try:
        if tile is None:
            return net(image)
        if isinstance(tile, FixedTile):
            return run_fixed_tiles(net, image, tile)
        return run_tiles(net, image, tile)
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


def _run_ensemble(forward: Forward, image: Tensor) -> Tensor:
    """Mean of ``forward`` over the eight flips and transposes of ``image``, one at a time."""
    out = forward(image)
    total = sum_type(out)
    for flips, transpose in list(product([(), (-2,), (-1,), (-2, -1)], [False, True]))[1:]:
        turned = image.flip(flips)
        turned_back = forward(turned.mT.contiguous()).mT if transpose else forward(turned)
        total = total + turned_back.flip(flips)
    return (total / 8).to(out.dtype)
