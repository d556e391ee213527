"""The network of a restoration, and a picture through it."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mclir_basicsr import devices
from mclir_basicsr.commands.evaluate.subjects import Subject, find
from mclir_basicsr.commands.restore.picture import Picture
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.weights import check_fit, read_weights
from mclir_basicsr.inference import FixedTile, Needs, Tile, needs_of, restore
from mclir_basicsr.inference.normalisation import Normalisation

OVERLAP = 32  # pixels of the input that neighbouring tiles share
_CPU_TILE = 512
_TRIAL = 64  # side of the image that tells how much memory a pixel takes
_SHARE = 0.7  # of free memory that a tile may take


def subject_of(place: Path) -> Subject:
    """The final network of an experiment folder, or that of a checkpoint; EMA weights where there are some.

    Raises:
        MclirError: There is none.
    """
    found = find(place, None, None)
    return next(subject for subject in found if subject.label in (place.name, place.stem))


def network_of(subject: Subject) -> nn.Module:
    """The network with its weights, on the CPU and in eval mode.

    Raises:
        MclirError: It cannot be built, or the weights do not fit.
    """
    from basicsr.archs import build_network

    weights = read_weights(subject.checkpoint, 'restore', (subject.entry,)).state_dict
    net: nn.Module = build_network(dict(subject.network_g))
    check_fit(net, weights, str(subject.checkpoint), strict=True)
    net.load_state_dict(weights)
    return net.eval()


class Restorer:
    """A trained network that restores pictures.

    Args:
        subject: The network and its weights.
        tile: Side of a tile in pixels of the input; None for what free memory allows (on a CPU 512).
        self_ensemble: Mean over the eight flips and transposes.

    Attributes:
        tile: The tiles that are taken; None where the network says itself which ones it needs.

    Raises:
        MclirError: The network cannot be built, or it does not take such tiles.
    """

    def __init__(self, subject: Subject, tile: int | None = None, self_ensemble: bool = False) -> None:
        self._device = devices.gpu() or torch.device('cpu')
        self._net = network_of(subject).to(self._device)
        self.scale, self._self_ensemble = subject.scale, self_ensemble
        data = _training_range(subject.options or {})
        self._data = Normalisation(data, 'datasets', self._device)
        pad = ((subject.options or {}).get('val') or {}).get('pad_multiple')
        needs = needs_of(self._net)
        self._pad = pad if isinstance(pad, int) else needs.pad_multiple
        self._channels = self._channels_taken()
        self.tile = self._tiles(tile, needs._replace(pad_multiple=self._pad))

    def with_network(self, net: nn.Module) -> 'Restorer':
        """The same with another network of the same kind."""
        other = copy.copy(self)
        other._net = net.to(self._device).eval()
        return other

    def __call__(self, picture: Picture) -> Picture:
        """Restore a picture: (H, W) becomes (H * scale, W * scale), with alpha, bits and profile as they were.

        Grey goes through a network for colours as three equal channels, and colours through one for grey channel by
        channel. Alpha goes along where the network enlarges, else it stays as it is.
        """
        pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)  # (C, H, W)
        restored = self._planes(pixels).permute(1, 2, 0).numpy()
        alpha = picture.alpha
        if alpha is not None and self.scale > 1:
            alpha = self._planes(torch.from_numpy(alpha.copy())[None])[0].numpy()
        return replace(picture, pixels=restored, alpha=alpha)

    def _planes(self, planes: Tensor) -> Tensor:
        """(1 or 3, H, W) to as many planes, restored."""
        if self._channels == 1:
            return self._restored(planes[:, None])[:, 0]
        if len(planes) == 1:
            return self._restored(planes.expand(1, 3, -1, -1)).mean(1)
        return self._restored(planes[None])[0]

    def _restored(self, batch: Tensor) -> Tensor:
        lq = self._data.done(batch.to(self._device))
        output = restore(
            self._net, lq, pad_multiple=self._pad, tile=self._tile_for(batch), self_ensemble=self._self_ensemble
        )
        return self._data.undone(output).float().cpu()

    def _tile_for(self, batch: Tensor) -> Tile | None:
        """None for an image that is a tile."""
        return self.tile if self.tile is not None and max(batch.shape[-2:]) > self.tile.size else None

    def _channels_taken(self) -> int:
        """3, or 1 for a network that takes grey images alone."""
        for channels in (3, 1):
            try:
                restore(
                    self._net, torch.zeros(1, channels, _TRIAL, _TRIAL, device=self._device), pad_multiple=self._pad
                )
            except RuntimeError as error:
                if 'channels' not in str(error):
                    raise
            else:
                return channels
        raise MclirError('The network takes neither colour nor grey images: restore takes no other ones.')

    def _tiles(self, asked: int | None, needs: Needs) -> Tile | None:
        if isinstance(needs.tiling, FixedTile):
            if asked is not None and (fault := needs.fault(asked)):
                raise MclirError(f'--tile {asked}: {fault}.')
            return None
        side = asked if asked is not None else self._affordable()
        if asked is None:
            side = max(side // needs.pad_multiple * needs.pad_multiple, needs.min_side)
        if fault := needs.fault(side):
            raise MclirError(f'--tile {side}: {fault}.')
        overlap = min(OVERLAP, side // 4)
        return Tile(
            side, overlap // needs.pad_multiple * needs.pad_multiple if overlap > needs.pad_multiple else overlap
        )

    def _affordable(self) -> int:
        """Side of the largest tile that fits into free memory."""
        if self._device.type != 'cuda':
            return _CPU_TILE
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        image = torch.zeros(1, self._channels, 4 * _TRIAL, 4 * _TRIAL, device=self._device)
        restore(self._net, image, pad_multiple=self._pad)
        per_pixel = (torch.cuda.max_memory_allocated() - before) / image[0, 0].numel()
        free, _ = torch.cuda.mem_get_info()
        return int((_SHARE * free / per_pixel) ** 0.5)


def _training_range(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data set whose ``mean`` and ``std`` the network was trained with."""
    blocks = options.get('datasets') or {}
    return blocks.get('train') or next(iter(blocks.values()), {})
