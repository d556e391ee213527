"""The training step of our own: reconstruction terms, the SPN term, one backward pass, and the optimizer step."""

import functools
import math
from contextlib import nullcontext

import torch
from basicsr.models.sr_model import SRModel
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mclir_basicsr.averages import follow
from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.outputs import image_of
from mclir_basicsr.models.terms import reconstruction_terms


class TrainingStep(SRModel):
    """SRModel's step with the SPN term, mixed precision, accumulation, clipping and the guard.

    It stands behind a base, in the place of SRModel's, and takes over where the base calls that.
    """

    def optimize_parameters(self, current_iter: int) -> None:
        """One training step; with ``train.accumulate`` n the gradients of n calls make one optimizer step."""
        if not hasattr(self, 'gt'):
            raise MclirError('The training data set gives no gt, which training needs: use PairedImageDataset.')
        self._iteration, own = current_iter, self.own.train
        last = current_iter % own.accumulate == 0  # of the calls that make an optimizer step
        if (current_iter - 1) % own.accumulate == 0:
            self.optimizer_g.zero_grad()
            self.guard.begin()
        waits = not last and isinstance(self.net_g, DistributedDataParallel)
        with self.net_g.no_sync() if waits else nullcontext():  # ranks exchange the sum of all batches, once
            self._add_gradient(current_iter)
        if last:
            self._optimizer_step(current_iter)
            self._refresh(range(current_iter - own.accumulate + 1, current_iter + 1))

    def _add_gradient(self, current_iter: int) -> None:
        """Forward and backward pass of one batch."""
        # Before net_g's forward pass, whose activations then take no memory yet
        negatives, contrasted = self._negatives(current_iter)
        with self._autocast():
            self.output = image_of(self._forward(self.lq))  # (N, C, h, w) to (N, C, H, W)
        output = self.output.float()
        terms = reconstruction_terms(self, output)
        l_total = l_rec = functools.reduce(torch.add, terms.values())
        terms |= self.terms.gradient_norms(terms, output, current_iter)
        if negatives is not None:
            l_total = l_total + self._lazy.every * self._spn_term(current_iter, output, negatives, l_rec)
            terms |= self._spn_terms
        if contrasted is not None:
            terms |= self._contrast_term(current_iter, output, contrasted, l_rec)
            l_total = l_total + terms['l_contrast']
        self.scaler.scale(l_total / self.own.train.accumulate).backward()
        # Reading a value waits for the GPU, so it is left to get_current_log.
        fresh = {name: value.detach() for name, value in terms.items()}
        self.guard.note({name: value for name, value in fresh.items() if name.startswith('l_')})
        self._terms = fresh | {name: value.detach() for name, value in self._spn_terms.items()}

    def step_log(self) -> dict[str, float]:
        """The terms of the last step."""
        return self.reduce_loss_dict(self._terms)

    def _optimizer_step(self, current_iter: int) -> None:
        """Step and average, unless the gradient is not finite."""
        limit = self.own.train.grad_clip_norm
        self.scaler.unscale_(self.optimizer_g)
        norm = nn.utils.clip_grad_norm_(self.net_g.parameters(), math.inf if limit is None else limit)
        self._good = self.guard.judge(norm)
        self._refresh_adaptive()
        if limit is not None:
            self._terms['grad_norm'] = norm
        if self.guard.on_device:
            self.scaler.step(self.optimizer_g)
            self._average(self._good)
        elif self._good:
            self.scaler.step(self.optimizer_g)
            self._average()
        else:
            self.guard.report(current_iter, self._hints)
        self.scaler.update()

    def _average(self, good: Tensor | None = None) -> None:
        """Move the EMA network; good where only the device knows whether the step was made."""
        if self.ema_decay > 0 and good is None:
            self.model_ema(decay=self.ema_decay)
        elif self.ema_decay > 0:
            follow(self.net_g_ema, self.get_bare_model(self.net_g), self.ema_decay, good)
