"""Validation of whole images: padding, tiles and self-ensemble as the network and the ``val`` options say."""

import math

from basicsr.models.sr_model import SRModel
from torch import nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.inference import Tile, restore
from mclir_basicsr.options import OwnOptions


class WholeImageModel(SRModel):
    """SRModel whose validation restores whole images with :func:`~mclir_basicsr.inference.restore`.

    Attributes:
        own: Our options; set before SRModel's constructor runs.
    """

    own: OwnOptions

    def test(self) -> None:
        """Restore ``lq`` into ``output`` with the EMA network, or net_g without EMA, as the ``val`` options say."""
        net = self.net_g_ema if hasattr(self, 'net_g_ema') else self.get_bare_model(self.net_g)
        training = net.training
        net.eval()
        val = self.own.val
        multiple = val.pad_multiple or self._pad_multiple(net)
        tile = self._tiling(net)
        self.output = restore(net, self.lq, pad_multiple=multiple, tile=tile, self_ensemble=val.self_ensemble)
        net.train(training)

    def _tiling(self, net: nn.Module) -> Tile | None:
        """Tiles as ``val.tile`` asks for, else as the network needs them (IDT takes one size only)."""
        needed, asked = getattr(net, 'tiling', None), self.own.val.tile
        if asked is None:
            return needed
        if needed is not None and asked.size != needed.size:
            raise MclirError(f'val.tile.size is {asked.size}, but this network takes {needed.size} only.')
        return type(needed or Tile(1, 0))(asked.size, asked.overlap)

    def _pad_multiple(self, net: nn.Module) -> int:
        """What the network says it needs; else its window size, as SwinIRModel pads."""
        if hasattr(net, 'pad_multiple'):
            return int(net.pad_multiple)  # type: ignore[arg-type]
        size = getattr(net, 'window_size', self.opt['network_g'].get('window_size', 1))
        return size if isinstance(size, int) else math.lcm(*size)
