"""Whole images through any restoration network, in any PyTorch program."""

from mclir_basicsr.inference.needs import Needs, needs_of, size_faults, tiles_change_means
from mclir_basicsr.inference.restore import restore
from mclir_basicsr.inference.tiles import FixedTile, Tile

__all__ = ['FixedTile', 'Needs', 'Tile', 'needs_of', 'restore', 'size_faults', 'tiles_change_means']
