"""Our terms in the training step of a base that has one of its own: GANs, and whatever a user writes."""

import math
from functools import partial
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.guard import Guard


class BaseStep(SRModel):
    """Stands before a base and brings the terms in through its pixel loss, which every class of BasicSR computes.

    A hook adds the SPN term, and those of ``train.losses``, to ``cri_pix(self.output, ...)``: to its gradient, not to
    its value, so that the base logs its pixel loss as ever. Other hooks, before the optimizers' steps, clip and judge
    the gradients. So the discriminator sees nothing of the terms.
    """

    guard_d: Guard | None
    cri_pix: Any

    def init_training_settings(self) -> None:
        """Set up the base, then the hooks."""
        super().init_training_settings()
        self._terms: dict[str, Tensor] = {}
        self._at: int | None = None  # the iteration, within a step of the base
        self._met = False  # whether the pixel loss of this step has met the output
        if self.cri_pix is None:
            self.cri_pix = _NoLoss()
        self.cri_pix.register_forward_hook(self._add_term)
        self.optimizer_g.register_step_pre_hook(self._before_step)
        if hasattr(self, 'optimizer_d'):
            net_d, limit = self.get_bare_model(self.net_d), self.own.train.max_bad_steps
            self.guard_d = Guard(net_d, self.optimizer_d, limit)
            self.optimizer_d.register_step_pre_hook(partial(self._before_step_of_d, self.guard_d))

    def optimize_parameters(self, current_iter: int) -> None:
        """One training step of the base, then what follows an optimizer step."""
        self._at, self._met, self._iteration, self._terms = current_iter, False, current_iter, {}
        for guard in filter(None, (self.guard, self.guard_d)):
            guard.begin()
        try:
            super().optimize_parameters(current_iter)
        finally:
            self._at = None
        self._terms |= {name: value.detach() for name, value in self._spn_terms.items()}
        self._refresh([current_iter])

    def step_log(self) -> dict[str, float]:
        """What the base logs, and the term."""
        return {**self.log_dict, **(self.reduce_loss_dict(self._terms) if self._terms else {})}

    def _add_term(self, _: nn.Module, given: tuple[Any, ...], loss: Tensor) -> Tensor:
        if self._at is None or not given or given[0] is not self.output:
            return loss
        self._met = True
        terms = self.terms(self.output, given[1] if len(given) > 1 else self.gt)  # of train.losses
        self._terms |= {name: value.detach() for name, value in terms.items()}
        if self._spn_acts(self._at):
            term = self.own.train.spn_opt.every * self._spn_of_step(self.output)
            terms['l_spn'] = term
        self.guard.note({'l_pix': loss} | terms)
        for term in terms.values():
            loss = loss + (term - term.detach())  # the value of loss, and the gradient of both
        return loss

    def _spn_of_step(self, output: Tensor) -> Tensor:
        """The term; where it is measured, that is done as soon as the gradient of all other terms is known."""
        l_spn = self._spn_loss(output, self.history(self.lq))
        is_logged, is_due = self._measured_at(self._at)
        self._note_spn(l_spn)
        if is_logged or is_due:
            (gradient,) = torch.autograd.grad(l_spn, output, retain_graph=True)
            own = self.own.train.spn_opt.every * gradient
            output.register_hook(partial(self._measure, l_spn.detach(), own, is_logged, is_due))
        return l_spn

    def _measure(self, l_spn: Tensor, own: Tensor, is_logged: bool, is_due: bool, total: Tensor) -> Tensor | None:
        """Compare the term's gradient at the output with that of all others; a balance changes it at once."""
        rest, every = total - own, self.own.train.spn_opt.every
        ratio, change = own.norm() / every / rest.norm(), 1.0
        if is_due:
            change = self._adjust_weight(ratio)
        self._note_spn(change * l_spn, change * ratio if is_logged else None)
        return rest + change * own if is_due else None

    def _before_step(self, *_: Any) -> None:
        """Clip and judge the gradient of net_g; where it is not finite, none is left to step by."""
        if self._at is None:
            return
        if self._spn_acts(self._at) and not self._met:
            raise MclirError(
                f'base_model: {type(self).base_name} trains net_g without cri_pix(self.output, ...), by which the SPN '
                'term comes in: call it with self.output, or train without spn_opt and history.'
            )
        limit = self.own.train.grad_clip_norm
        norm = nn.utils.clip_grad_norm_(self.net_g.parameters(), math.inf if limit is None else limit)
        if limit is not None:
            self._terms['grad_norm'] = norm
        self._good = self.guard.judge(norm)
        self._refresh_adaptive()
        self._leave_out(self._good, self.guard, self.optimizer_g)

    def _before_step_of_d(self, guard: Guard, *_: Any) -> None:
        if self._at is not None:
            norm = nn.utils.clip_grad_norm_(self.net_d.parameters(), math.inf)
            self._leave_out(guard.judge(norm), guard, self.optimizer_d)

    def _leave_out(self, good: Tensor, guard: Guard, optimizer: torch.optim.Optimizer) -> None:
        if not guard.on_device and not good:
            optimizer.zero_grad()
            guard.report(self._iteration, self._hints)


class _NoLoss(nn.Module):
    """A pixel loss of 0, for a base that has none."""

    def forward(self, output: Tensor, *_: Any) -> Tensor:
        return output.new_zeros(())
