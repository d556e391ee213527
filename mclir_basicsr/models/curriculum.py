"""Which negatives of CCRLoss are easy by now: how well their networks restore, and how well net_g has."""

import math
from typing import Any

import torch
from torch import Tensor

from mclir_basicsr import ranks
from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import CCRLoss

BATCHES = 20  # the first ones of a training, whose mean is the PSNR of a negative
WINDOW = 100  # batches whose mean is a PSNR of net_g


class Curriculum:
    """Measures on the training batches, and tells the loss.

    A negative's difficulty is the mean PSNR of its network over the first batches, from the first of them on. The best
    PSNR of net_g is the largest mean over 100 batches in a row. The paper takes the best of its validations; both
    measures of ours are of the same images, and a run without validation has a curriculum too.

    Every rank has the same figures, and ``state_dict`` carries all of them.

    Source: Zheng et al. (C2PNet), CVPR 2023, arXiv 2303.14218, section 3.2.

    Args:
        loss: With as many difficulties as there are negatives.

    >>> curriculum = Curriculum(CCRLoss([0.0], layer_weights={'relu1_1': 1.0}, weights='random'))
    >>> gt = torch.zeros(1, 3, 8, 8)
    >>> curriculum.measure(gt + 0.1, gt, gt[None] + 0.01)
    >>> [round(psnr) for psnr in curriculum.loss.difficulties]
    [40]
    """

    def __init__(self, loss: CCRLoss) -> None:
        self.loss = loss
        self._sums = [0.0] * len(loss.difficulties)
        self._batches = 0  # that the sums are of
        self._window_sum: Any = 0.0  # stays on the device, so that a step does not wait for it
        self._window = 0

    def measure(self, output: Tensor, gt: Tensor, negatives: Tensor) -> None:
        """Take a batch into account.

        Args:
            output: (N, C, H, W), in [0, 1], of net_g.
            gt: The same shape.
            negatives: (K, N, C, H, W).
        """
        if self._batches < BATCHES:
            found = ranks.mean(torch.stack([psnr(negative, gt) for negative in negatives]))
            self._sums = [mine + new for mine, new in zip(self._sums, found.tolist(), strict=True)]
            self._batches += 1
            self._tell()
        self._window_sum = self._window_sum + ranks.mean(psnr(output, gt))
        self._window += 1
        if self._window == WINDOW:
            mean = float(self._window_sum) / WINDOW
            if math.isfinite(mean):
                self.loss.best_psnr = max(self.loss.best_psnr, mean)
            self._window_sum, self._window = 0.0, 0

    def _tell(self) -> None:
        self.loss.difficulties = [mine / self._batches for mine in self._sums]

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {
            'psnr_sums': list(self._sums),
            'batches': self._batches,
            'best_psnr': self.loss.best_psnr,
            'window_sum': float(self._window_sum),
            'window': self._window,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            MclirError: It is of another number of negatives.
        """
        if len(state['psnr_sums']) != len(self._sums):
            raise MclirError(
                f'curriculum: the state has {len(state["psnr_sums"])} negatives, but train.contrast_opt.negatives '
                f'names {len(self._sums)}.'
            )
        self._sums, self._batches = list(state['psnr_sums']), state['batches']
        self.loss.best_psnr = state['best_psnr']
        self._window_sum, self._window = state['window_sum'], state['window']
        if self._batches:
            self._tell()


@torch.no_grad()
def psnr(image: Tensor, gt: Tensor) -> Tensor:
    """Mean over the batch of the PSNR in dB of images in [0, 1] (N, C, H, W), at most 100; 0-d, float32."""
    error = (image.float().clamp(0, 1) - gt.float()).pow(2).mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp(min=1e-10)).mean()
