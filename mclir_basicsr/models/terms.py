"""The reconstruction terms of a step: BasicSR's, and those of ``train.losses``."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from mclir_basicsr.inference.normalisation import Normalisation
from mclir_basicsr.models.loss_terms import LossTerm, make_term
from mclir_basicsr.options import TrainOptions
from mclir_basicsr.options.losses import loss_terms


def reconstruction_terms(model: Any, output: Tensor) -> OrderedDict[str, Tensor]:
    """Every term that draws an output to gt, by its name in the log; those of BasicSR first.

    Args:
        model: Of BasicSR's losses and, as ``terms``, of our :class:`Terms`, with gt of the batch.
        output: (N, C, H, W), float32.
    """
    found = OrderedDict()
    if model.cri_pix:
        found['l_pix'] = model.cri_pix(output, model.gt)
    if model.cri_perceptual:
        perceptual = zip(('l_percep', 'l_style'), model.cri_perceptual(output, model.gt), strict=True)
        found.update((name, value) for name, value in perceptual if value is not None)
    found.update(model.terms(output, model.gt))
    return found


class Terms:
    """The terms beside BasicSR's: those of ``train.losses``, and ``fft_opt`` of forks.

    They see images in [0, 1]: ``mean`` and ``std`` of the training set are undone.

    Args:
        opt: The option file.
        own: Its keys that are ours, of ``train``.
        device: Of the model.

    Raises:
        MclirError: A term cannot be made, or training cannot use it.
    """

    def __init__(self, opt: Mapping[str, Any], own: TrainOptions, device: torch.device) -> None:
        self._all = [make_term(path, name, options) for path, (name, options) in loss_terms(own).items()]
        for term in self._all:
            term.loss.to(device)
        self._every = int(opt['logger']['print_freq']) if self._all else 0
        self._undone = Normalisation(opt.get('datasets', {}).get('train', {}), 'datasets.train', device).undone

    def __iter__(self) -> Iterator[LossTerm]:
        return iter(self._all)

    def __call__(self, output: Tensor, gt: Tensor) -> dict[str, Tensor]:
        """Their values by their names in the log, each a scalar with its weight.

        Args:
            output: (N, C, H, W), float32, as the network makes it; of sequences (N, T, C, H, W), frame by frame.
            gt: The same shape.
        """
        if not self._all:
            return {}
        pair = tuple(self._undone(each).flatten(0, -4) for each in (output, gt))  # (N, C, H, W), or (N * T, C, H, W)
        return {name: value for term in self._all for name, value in term.values(*pair).items()}

    def gradient_norms(self, values: Mapping[str, Tensor], output: Tensor, iteration: int) -> dict[str, Tensor]:
        """Norm of the gradient of each term at the output, as ``g_`` and its name, at iterations that are logged.

        They cost a backward pass through each loss. Without terms of ours there are none, and the log is as it was.

        Args:
            values: Of all reconstruction terms; their graphs are kept.
            output: What they are of.
            iteration: Counted from 1.
        """
        if not self._all or iteration % self._every:
            return {}
        return {
            f'g_{name.removeprefix("l_")}': torch.autograd.grad(value, output, retain_graph=True)[0].norm()
            for name, value in values.items()
        }
