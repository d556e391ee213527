"""The SPN term of a training: its loss, its negative models, its λ, and what the log shows of it."""

from collections.abc import Iterable
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from torch import Tensor

from mclir_basicsr import ranks
from mclir_basicsr.errors import MclirError
from mclir_basicsr.history import PRECISIONS, ModelHistory
from mclir_basicsr.inference.normalisation import Normalisation
from mclir_basicsr.losses.spn_loss import gradient_ratio
from mclir_basicsr.losses.spn_weight import STRONG, WEAK, judge
from mclir_basicsr.models.balance import Balance
from mclir_basicsr.models.contrast import Contrast
from mclir_basicsr.models.curriculum import Curriculum
from mclir_basicsr.models.lazy import Lazy
from mclir_basicsr.models.schedule import ScheduleModel
from mclir_basicsr.options import HistoryOptions


class SPNTermModel(ScheduleModel):
    """A model that knows its SPN term and its negative models; what a step makes of them is not its matter.

    Attributes:
        history: The negative models; None without ``train.history``.
        cri_spn: The SPN loss; None without ``train.spn_opt``.
        contrast: The term of ``train.contrast_opt``; None without it.
        balance: What λ follows; None where it is fixed.
    """

    cri_spn: Any

    def __init__(self, opt: dict[str, Any]) -> None:
        self.history: ModelHistory | None = None
        self.balance: Balance | None = None
        self.contrast: Contrast | None = None
        self._spn_terms: dict[str, Tensor] = {}  # of the last step with the SPN term
        self._was_weak = False  # whether the log has said so
        super().__init__(opt)

    def _start_spn(self) -> None:
        """Make the SPN loss and the negative models, where the options ask for them."""
        own = self.own.train
        self.cri_spn = None
        terms = [term for term in (own.spn_opt, own.contrast_opt) if term is not None]
        if not terms:
            return
        self._normalisation = self._range_of_training(any(term.range_norm for term in terms))
        if own.history is not None:
            self.history = self._start_history(own.history)
            self._spn_from = own.history.start_iter
            self.history._apply(_channels_last)
        if own.spn_opt is not None:
            self.cri_spn = build_loss(own.spn_opt.arguments()).to(self.device)
            if own.spn_opt.balance is not None:
                self.balance = Balance(own.spn_opt.balance, self.cri_spn.loss_weight)
            # A GAN may train net_g at every net_d_iters-th iteration only.
            self._lazy = Lazy(own.spn_opt.every * getattr(self, 'net_d_iters', 1), own.accumulate)
            self.cri_spn._apply(_channels_last)
        if own.contrast_opt is not None:
            self.contrast = Contrast(own.contrast_opt, self.opt, self.device)
            for frozen in (self.contrast.loss, self.contrast.networks):
                frozen._apply(_channels_last)

    @property
    def curriculum(self) -> Curriculum | None:
        """Of the contrast term; None where it has none."""
        return None if self.contrast is None else self.contrast.curriculum

    def _range_of_training(self, range_norm: bool) -> Normalisation:
        """How training images were normalised, which is undone for the VGG and the adaptive policy."""
        data = self.opt.get('datasets', {}).get('train', {})
        normalisation = Normalisation(data, 'datasets.train', self.device)
        if range_norm and not normalisation.is_identity:
            raise MclirError(
                'range_norm of train.spn_opt or train.contrast_opt is true, but mean and std of datasets.train are '
                'undone before the VGG, which then sees [0, 1]: take range_norm out.'
            )
        return normalisation

    def _start_history(self, own: HistoryOptions) -> ModelHistory:
        history = ModelHistory(
            self.get_bare_model(self.net_g),
            own.interval,
            negatives=own.negatives,
            threshold=own.threshold or 0.0,
            decay=own.decay,
            start=own.start,
            fresh=lambda: build_network(self.opt['network_g']),
            seed=self.opt.get('manual_seed') or 0,
            per_step=own.per_step,
            precision=own.precision,
        )
        get_root_logger().info(f'History of {len(history.negatives)} negative models: {own}')
        return history

    def _spn_term(self, current_iter: int, output: Tensor, negatives: Tensor, l_rec: Tensor) -> Tensor:
        """The SPN term of this step; with ``spn_opt.balance`` λ is adjusted first."""
        l_spn, ratio = self._spn_loss(output, negatives), None
        is_logged, is_due = self._measured_at(current_iter)
        if is_logged or is_due:
            scale = self.scaler.scale  # of both, so that fp16 gradients do not vanish
            ratio = gradient_ratio(scale(l_spn), scale(l_rec), output)
            if is_due:
                change = self._adjust_weight(ratio)
                l_spn, ratio = change * l_spn, change * ratio
        self._note_spn(l_spn, ratio if is_logged else None)
        return l_spn

    def _spn_loss(self, output: Tensor, negatives: Tensor) -> Tensor:
        undone = self._normalisation.undone
        with self._autocast():
            return self.cri_spn(undone(output), undone(negatives))  # (N, C, H, W) and (K, N, C, H, W), in [0, 1]

    def _measured_at(self, current_iter: int) -> tuple[bool, bool]:
        """Whether an iteration with the term measures its ratio, for the log and for the balance."""
        is_logged = self._lazy.has_multiple(current_iter, int(self.opt['logger']['print_freq']))
        return is_logged, self.balance is not None and self.balance.is_due(current_iter, self._lazy)

    def _note_spn(self, l_spn: Tensor, ratio: Tensor | None = None) -> None:
        """Take down what the log shows of the term, at this step and up to the next one with it.

        Its value and ratio are what they are on average over the steps, for which ``spn_opt.every`` does not count.
        """
        measured = {} if ratio is None else {'spn_ratio': ratio}
        self._spn_terms = {'l_spn': l_spn, 'spn_dist': -l_spn / self.cri_spn.loss_weight} | measured
        if self.balance is not None:
            self._spn_terms['spn_weight'] = torch.full_like(l_spn, self.balance.weight)

    def _refresh(self, iterations: Iterable[int]) -> None:
        """Refresh the negatives that are due at these iterations of one optimizer step, unless it was left out."""
        due = [i for i in iterations if self.history is not None and self.history.is_due(i)]
        if due and self._good:
            for iteration in due:
                self.history.refresh(self.get_bare_model(self.net_g), iteration)  # type: ignore[union-attr]

    def _refresh_adaptive(self) -> None:
        """Refresh the next negative where the adaptive policy asks for it, before a good optimizer step."""
        if self.history is not None and self.history.interval is None and self._good:
            undone = self._normalisation.undone
            self.history.refresh_adaptive(self.get_bare_model(self.net_g), undone(self.output), undone(self.gt))

    def _spn_acts(self, current_iter: int) -> bool:
        """Whether the SPN term is part of this step."""
        return self.cri_spn is not None and current_iter >= self._spn_from and self._lazy.acts(current_iter)

    def _negatives(self, current_iter: int) -> tuple[Tensor | None, Tensor | None]:
        """What the SPN term and the contrast term compare the output with, each (K, N, C, H, W); None where it rests.

        Those of the contrast term are in [0, 1], those of the SPN term as the network makes them.
        """
        spn_acts, others = self._spn_acts(current_iter), None
        by_history = self.contrast is not None and self.contrast.takes_history
        contrasts = self.contrast is not None and (not by_history or current_iter >= self._spn_from)
        of_history: Any = None
        if spn_acts or (contrasts and by_history):
            of_history = self.history(self.lq)  # type: ignore[misc]
        if contrasts:
            undone = self._normalisation.undone
            given = undone(of_history) if by_history else None
            with self._autocast():
                others = self.contrast.negatives(undone(self.lq), undone(self.gt), given)  # type: ignore[union-attr]
        return of_history if spn_acts else None, others

    def _contrast_term(self, current_iter: int, output: Tensor, negatives: Tensor, l_rec: Tensor) -> dict[str, Tensor]:
        """``l_contrast`` and, at logged iterations, ``contrast_ratio``, the norm of its gradient over l_rec's."""
        undone = self._normalisation.undone
        with self._autocast():
            value = self.contrast(undone(output), undone(self.gt), negatives, undone(self.lq))  # type: ignore[misc]
        found = {'l_contrast': value}
        if current_iter % int(self.opt['logger']['print_freq']) == 0:
            scale = self.scaler.scale  # of both, so that fp16 gradients do not vanish
            found['contrast_ratio'] = gradient_ratio(scale(value), scale(l_rec), output)
        return found

    def _adjust_weight(self, ratio: Tensor) -> float:
        """Let λ follow the measured ratio; returns by what factor it changed, the same on every rank."""
        before = self.cri_spn.loss_weight
        self.balance.measured(ranks.mean(ratio).item())  # type: ignore[union-attr]
        self.cri_spn.loss_weight = self.balance.weight  # type: ignore[union-attr]
        return self.cri_spn.loss_weight / before

    def _judge_ratio(self, ratio: float, last_ratio: float) -> None:
        """Warn each time that the ratio becomes too high, and once where it is too low."""
        is_weak = ratio < WEAK and self.balance is None and not self._was_weak
        warning = judge(ratio, self.cri_spn.loss_weight) if is_weak or ratio > STRONG >= last_ratio else ''
        if warning:
            get_root_logger().warning(warning)
            self._was_weak |= is_weak

    def _autocast(self) -> torch.autocast:
        dtype = PRECISIONS[self.own.train.amp or 'fp32']
        return torch.autocast(self.device.type, dtype, enabled=dtype is not None)


def _channels_last(tensor: Tensor) -> Tensor:
    """Convolution kernels in that layout; ``Module.to`` would try five dimensions (FFTformer) too."""
    return tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
