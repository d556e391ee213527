"""HistoryModel: BasicSR's SRModel with the SPN term and the negative models behind it."""

import functools
from collections import OrderedDict
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.history import PRECISIONS, ModelHistory
from mclir_basicsr.losses.spn_loss import gradient_ratio
from mclir_basicsr.models.compiler import check_compiler
from mclir_basicsr.models.saving import SavingModel
from mclir_basicsr.models.schedule import make_optimizer, make_scheduler
from mclir_basicsr.models.whole_images import WholeImageModel
from mclir_basicsr.options import HistoryOptions, read_options


class HistoryModel(WholeImageModel, SavingModel):
    """Train ``net_g`` on its reconstruction loss plus the SPN term against its own past.

    Source: Wu et al., AAAI 2024, arXiv 2309.06023. Without ``train.spn_opt`` and ``train.history`` it trains exactly
    as SRModel does. Its checkpoints are ordinary BasicSR checkpoints; ``training_states/<iter>.state`` also holds
    the history.

    Attributes:
        history: The negative models, a :class:`ModelHistory`; None without ``train.history``.
        cri_spn: The SPN loss; None without ``train.spn_opt``.

    Raises:
        MclirError: Option keys (see options.py), a pretrained file or a resumed state that cannot be used.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.own, warnings = read_options(opt)
        if opt['num_gpu'] and not torch.cuda.is_available():
            raise MclirError(f'num_gpu is {opt["num_gpu"]}, but torch sees no GPU: set num_gpu to auto or 0.')
        for warning in warnings:
            get_root_logger().warning(warning)
        self.history: ModelHistory | None = None
        super().__init__(opt)

    def init_training_settings(self) -> None:
        """Set up EMA, losses, optimizer and scheduler (SRModel), then the SPN loss and the history."""
        super().init_training_settings()
        own = self.own.train
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=own.amp == 'fp16')
        self.cri_spn: Any = None
        if own.spn_opt is not None and own.history is not None:
            self.cri_spn = build_loss(own.spn_opt.model_dump()).to(self.device)
            self.history = self._start_history(own.history)
            self._spn_from = own.history.start_iter
            for frozen in (self.cri_spn.vgg, self.history):
                frozen.to(memory_format=torch.channels_last)
        self._forward = self.net_g  # what a training step calls: net_g, or compiled with the same parameters
        if own.compile:
            self._compile()

    def _compile(self) -> None:
        check_compiler(self.device)
        self._forward = torch.compile(self.net_g)
        if self.history is not None:
            self.cri_spn.vgg.compile()
            self.history.compile()

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

    def get_optimizer(self, optim_type: str, params: Any, lr: float, **kwargs: Any) -> torch.optim.Optimizer:
        """Any optimizer of torch.optim."""
        return make_optimizer(optim_type, params, lr, **kwargs)

    def setup_schedulers(self) -> None:
        """BasicSR's schedulers, any of torch.optim.lr_scheduler, and TrueCosineAnnealingLR."""
        options = self.opt['train']['scheduler']
        self._torch_schedule = options['type'] not in ('MultiStepLR', 'MultiStepRestartLR', 'CosineAnnealingRestartLR')
        if not self._torch_schedule:
            super().setup_schedulers()
            return
        name = options.pop('type')
        self.schedulers = [make_scheduler(name, optimizer, **options) for optimizer in self.optimizers]

    def update_learning_rate(self, current_iter: int, warmup_iter: int = -1) -> None:
        """Step the schedule, then warm up; torch's schedulers go by the last rate and never see the warm-up."""
        if self._torch_schedule and 1 < current_iter <= warmup_iter:
            self._set_lr([scheduler.get_last_lr() for scheduler in self.schedulers])
        super().update_learning_rate(current_iter, warmup_iter)

    def optimize_parameters(self, current_iter: int) -> None:
        """One training step; with ``train.accumulate`` n the gradients of n calls make one optimizer step."""
        own = self.own.train
        last = current_iter % own.accumulate == 0  # of the calls that make an optimizer step
        if (current_iter - 1) % own.accumulate == 0:
            self.optimizer_g.zero_grad()
        with self._autocast():
            self.output = self._forward(self.lq)
        output = self.output.float()
        terms = self._reconstruction_terms(output)
        l_total = functools.reduce(torch.add, terms.values())
        if self.history is not None:
            if current_iter >= self._spn_from:
                with self._autocast():
                    l_spn = self.cri_spn(output, self.history(self.lq))
                terms |= {'l_spn': l_spn, 'spn_dist': -l_spn / self.cri_spn.loss_weight}
                if current_iter % self.opt['logger']['print_freq'] == 0:
                    scale = self.scaler.scale  # of both, so that fp16 gradients do not vanish
                    terms['spn_ratio'] = gradient_ratio(scale(l_spn), scale(l_total), output)
                l_total = l_total + l_spn
            if last:
                self.history.refresh_adaptive(self.get_bare_model(self.net_g), output, self.gt)

        self.scaler.scale(l_total / own.accumulate).backward()
        if last:
            terms |= self._optimizer_step()
        if self.history is not None:
            self.history.refresh(self.get_bare_model(self.net_g), current_iter)
        # Reading a value waits for the GPU, so it is left to get_current_log.
        self._terms = {name: value.detach() for name, value in terms.items()}

    def _optimizer_step(self) -> dict[str, Tensor]:
        terms = {}
        if self.own.train.grad_clip_norm is not None:
            self.scaler.unscale_(self.optimizer_g)
            terms['grad_norm'] = nn.utils.clip_grad_norm_(self.net_g.parameters(), self.own.train.grad_clip_norm)
        self.scaler.step(self.optimizer_g)
        self.scaler.update()
        if self.ema_decay > 0:
            self.model_ema(decay=self.ema_decay)
        return terms

    @torch.no_grad()
    def model_ema(self, decay: float = 0.999) -> None:
        """BasicSR's arithmetic, for all parameters in two calls."""
        mean, current = list(self.net_g_ema.parameters()), list(self.get_bare_model(self.net_g).parameters())
        torch._foreach_mul_(mean, decay)
        torch._foreach_add_(mean, current, alpha=1 - decay)

    def _reconstruction_terms(self, output: Tensor) -> OrderedDict[str, Tensor]:
        terms = OrderedDict()
        if self.cri_pix:
            terms['l_pix'] = self.cri_pix(output, self.gt)
        if self.cri_perceptual:
            perceptual = zip(('l_percep', 'l_style'), self.cri_perceptual(output, self.gt), strict=True)
            terms.update((name, value) for name, value in perceptual if value is not None)
        return terms

    def _autocast(self) -> torch.autocast:
        dtype = PRECISIONS[self.own.train.amp or 'fp32']
        return torch.autocast(self.device.type, dtype, enabled=dtype is not None)

    def get_current_log(self) -> dict[str, float]:
        """Values of the last step by name, means over ranks: losses, ``spn_dist``, ``neg_refresh``, and the like.

        Call it on every rank. ``spn_ratio`` is there at iterations that ``logger.print_freq`` logs.
        """
        self.log_dict = self.reduce_loss_dict(self._terms)
        if self.history is not None:
            self.log_dict['neg_refresh'] = sum(self.history.refreshes)
        return self.log_dict
