"""The term of ``train.contrast_opt``: its loss, and where its negatives come from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.paths import expand
from mclir_basicsr.files.weights import read_weights
from mclir_basicsr.inference.needs import size_faults
from mclir_basicsr.losses import CCRLoss
from mclir_basicsr.losses.contrast import at_size_of
from mclir_basicsr.models.curriculum import Curriculum
from mclir_basicsr.options import ContrastOptions

_KEY = 'train.contrast_opt.negatives'


class Contrast:
    """A ratio of the distance to gt over that to negatives; all images are in [0, 1].

    Args:
        own: The options of the term.
        opt: The whole option file, for ``scale`` and the patches.
        device: Of the model.

    Attributes:
        loss: CRLoss or CCRLoss.
        networks: The frozen negative networks; empty where the negatives are lq or the history's.
        curriculum: Of CCRLoss; None of CRLoss.
        takes_history: Whether the negatives are those of the history.

    Raises:
        MclirError: A checkpoint that cannot be read, detected or used for these images.
    """

    def __init__(self, own: ContrastOptions, opt: Mapping[str, Any], device: torch.device) -> None:
        self.takes_history = own.negatives == 'history'
        self.networks = nn.ModuleList(_frozen(expand(_KEY, each), opt) for each in own.checkpoints).to(device)
        difficulties = {'difficulties': [0.0] * len(self.networks)} if own.type == 'CCRLoss' else {}
        self.loss: Any = build_loss(own.arguments() | difficulties).to(device)
        self.curriculum = Curriculum(self.loss) if isinstance(self.loss, CCRLoss) else None

    @torch.no_grad()
    def negatives(self, lq: Tensor, gt: Tensor, of_history: Tensor | None) -> Tensor:
        """What the output is to differ from, (K, N, C, H, W).

        Args:
            lq: (N, C, h, w).
            gt: (N, C, H, W).
            of_history: What the history made of lq, where that is asked for.
        """
        if self.takes_history and of_history is not None:
            return of_history
        if not self.networks:
            return at_size_of(gt, lq)[None]
        return torch.stack([network(lq).float() for network in self.networks])

    def __call__(self, output: Tensor, gt: Tensor, negatives: Tensor, lq: Tensor) -> Tensor:
        """The term, a scalar, of an output (N, C, H, W); the curriculum goes on by this batch first."""
        if self.curriculum is None:
            return self.loss(output, gt, negatives)
        self.curriculum.measure(output, gt, negatives)
        return self.loss(output, gt, negatives, lq)


def _frozen(path: Path, opt: Mapping[str, Any]) -> nn.Module:
    """The network of a checkpoint, with its weights."""
    from mclir_basicsr.archs.detect import detect  # spandrel takes a second to import

    prefer = ('params_ema', 'params')
    found = detect(path, _KEY, prefer)
    scale = opt.get('scale', 1)
    if found.scale != scale:
        raise MclirError(f'{_KEY}: {path} is a network of scale {found.scale}, but scale is {scale}: take another one.')
    network = build_network(dict(found.network_g))
    network.load_state_dict(read_weights(path, _KEY, prefer).state_dict)
    patch = opt.get('datasets', {}).get('train', {}).get('gt_size')
    faults = size_faults(network, patch=patch // scale if isinstance(patch, int) else None)
    if faults:
        raise MclirError(f'{_KEY}: {path}: {" ".join(faults)}')
    get_root_logger().info(f'{_KEY}: {path} is {found.network_g}.')
    return network.requires_grad_(False).eval()
