"""Which sizes of images a network takes, as it says itself."""

import math
from itertools import chain
from typing import NamedTuple

from torch import nn

from mclir_basicsr.inference.tiles import FixedTile, Forward, Tile


class Needs(NamedTuple):
    """Which images a network takes, as it says by attributes of these names; one that says nothing takes all.

    Attributes:
        pad_multiple: Sides must be multiples of this. Where a network does not say, of each ``window_size`` (a number,
            or one for each side) that it or a module of it has: so SwinIR is padded as by BasicSR's SwinIRModel.
        min_side: Sides must be at least this.
        square: Height and width must be the same.
        tiling: Tiles in which larger images are restored; a FixedTile where the network takes one size only.

    >>> Needs(pad_multiple=8, min_side=16).fault(20)
    'this network takes sides of multiples of 8 and at least 16: use 24'
    >>> Needs(pad_multiple=8).fault(24)
    ''
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
    """Read off a network what it says of itself.

    >>> net = nn.Conv2d(3, 3, 1)
    >>> net.window_size = 8
    >>> needs_of(net)
    Needs(pad_multiple=8, min_side=1, square=False, tiling=None)
    """
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
