"""HistoryModel: BasicSR's SRModel with the SPN term and the negative models behind it."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch import Tensor

from mclir_basicsr.averages import copy_buffers, follow
from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.compiler import check_compiler, make_traceable
from mclir_basicsr.models.guard import Guard
from mclir_basicsr.models.optimizers import make_optimizer, make_scheduler
from mclir_basicsr.models.spn_term import SPNTermModel
from mclir_basicsr.models.step import TrainingStep
from mclir_basicsr.options import read_options
from mclir_basicsr.run import stop
from mclir_basicsr.run.random_streams import begin_step


class HistoryModel(SPNTermModel, TrainingStep):
    """Train ``net_g`` on its reconstruction loss plus the SPN term against its own past.

    Source: Wu et al., AAAI 2024, arXiv 2309.06023. Without ``train.spn_opt`` and ``train.history`` it trains exactly
    as SRModel does, given the same data: its random numbers are drawn per sample and step. Its checkpoints are
    ordinary BasicSR checkpoints; ``training_states/<iter>.state`` also holds the history.

    Attributes:
        history: The negative models, a :class:`ModelHistory`; None without ``train.history``.
        cri_spn: The SPN loss; None without ``train.spn_opt``.

    Raises:
        MclirError: Option keys (see options.py), a pretrained file or a resumed state that cannot be used.

    >>> model = HistoryModel({
    ...     'num_gpu': 0, 'is_train': True, 'dist': False, 'rank': 0, 'path': {}, 'logger': {'print_freq': 1},
    ...     'network_g': {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 2},
    ...     'train': {
    ...         'optim_g': {'type': 'Adam', 'lr': 1e-3}, 'scheduler': {'type': 'MultiStepLR', 'milestones': [9]},
    ...         'pixel_opt': {'type': 'L1Loss'}, 'history': {'interval': [1]},
    ...         'spn_opt': {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}},
    ...     },
    ... })
    >>> model.update_learning_rate(1)
    >>> model.feed_data({'lq': torch.rand(1, 3, 8, 8), 'gt': torch.rand(1, 3, 16, 16)})
    >>> model.optimize_parameters(1)
    >>> list(model.get_current_log())
    ['l_pix', 'l_spn', 'spn_dist', 'spn_ratio', 'neg_refresh']
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self.own, warnings = read_options(opt)
        if opt['num_gpu'] and not torch.cuda.is_available():
            raise MclirError(f'num_gpu is {opt["num_gpu"]}, but torch sees no GPU: set num_gpu to auto or 0.')
        for warning in warnings:
            get_root_logger().warning(warning)
        self.log_dict: dict[str, float] = {}
        super().__init__(opt)

    def init_training_settings(self) -> None:
        """Set up EMA, losses, optimizer and scheduler (SRModel), then the SPN loss and the history."""
        super().init_training_settings()
        own = self.own.train
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=own.amp == 'fp16')
        bare = self.get_bare_model(self.net_g)
        self.guard = Guard(bare, self.optimizer_g, own.max_bad_steps, scaled=self.scaler.is_enabled())
        self._good = torch.ones((), dtype=torch.bool, device=self.device)  # whether the last optimizer step was made
        self._start_spn()
        self._forward = self.net_g  # what a training step calls: net_g, or compiled with the same parameters
        if own.compile:
            self._compile()

    def _compile(self) -> None:
        check_compiler(self.device)
        make_traceable(self.net_g)
        self._forward = torch.compile(self.net_g)
        for loss in (self.cri_spn, None if self.contrast is None else self.contrast.loss):
            if loss is not None:
                loss.features.compile()
        if self.history is not None:
            self.history.compile()

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
        """Begin a step, which BasicSR's loop does with this call.

        A run that was asked to stop does so here. Otherwise the step gets random numbers of its own, by seed, rank and
        iteration; then the schedule moves, and the warm-up comes over it.

        Raises:
            SystemExit: A signal asked for a stop and the run is saved; the status is ``stop.REQUEUE``.
        """
        if stop.is_due(current_iter - 1, self.own.train.accumulate):
            self._heed_signal(current_iter - 1)
        if current_iter == 1 and self._validates_at_start():
            self.validate_at_start()
        begin_step(self.seed, self.opt['rank'], current_iter)
        # torch's schedulers go by the last rate and must not see the warm-up's.
        if self._torch_schedule and 1 < current_iter <= warmup_iter:
            self._set_lr([scheduler.get_last_lr() for scheduler in self.schedulers])
        super().update_learning_rate(current_iter, warmup_iter)

    def _validates_at_start(self) -> bool:
        """Whether ``val.at_start`` asks for it; by default it is right where a trained network is to become better."""
        asked = self.own.val.at_start
        if 'experiments_root' not in self.opt['path'] or not self.opt.get('val'):  # a loop of one's own; no validation
            return False
        return bool(self.opt['path'].get('pretrain_network_g')) if asked is None else asked

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch: ``lq`` and, but for a test without it, ``gt``; nothing of the batch before stays.

        Raises:
            MclirError: The data set gives no lq.
        """
        self.__dict__.pop('gt', None)
        moved = {key: self._to_device(value) if isinstance(value, Tensor) else value for key, value in data.items()}
        try:
            super().feed_data(moved)
        except KeyError as error:
            if error.args != ('lq',):
                raise
            raise MclirError(
                f'The data set gives no lq, which {type(self).__name__} needs, but {", ".join(data)}: '
                'use PairedImageDataset, or another one that gives lq and gt.'
            ) from error

    def _to_device(self, batch: Tensor) -> Tensor:
        """As SRModel does, but from pinned memory without waiting for the step before."""
        there = batch.to(self.device, non_blocking=True)
        if there.is_cuda:
            # BasicSR's CUDAPrefetcher copies on another stream, which might fill this memory again while it is in use.
            there.record_stream(torch.cuda.current_stream())
        return there

    def _refresh(self, iterations: Iterable[int]) -> None:
        """Refresh the negatives that are due at these iterations of one optimizer step, unless it was left out."""
        due = [i for i in iterations if self.history is not None and self.history.is_due(i)]
        if due and self._good:
            for iteration in due:
                self.history.refresh(self.get_bare_model(self.net_g), iteration)  # type: ignore[union-attr]

    def _hints(self) -> str:
        """What helps where a run ends for want of good steps."""
        states = [int(file.stem) for file in self._folder('training_states').glob('*.state') if file.stem.isdecimal()]
        saved = f'The last good checkpoint is that of iteration {max(states)}.' if states else 'Nothing was saved yet.'
        if self.cri_spn is None:
            return f'{saved} Lower the learning rate or set train.grad_clip_norm.'
        ratio = self.log_dict.get('spn_ratio', math.nan)
        return (
            f'λ is {self.cri_spn.loss_weight:.3g}, and spn_ratio was {ratio:.3g} when it was last logged. {saved} '
            'Lower λ (spn_opt.loss_weight) or the learning rate, or set spn_opt.margin or train.grad_clip_norm.'
        )

    def model_ema(self, decay: float = 0.999) -> None:
        """BasicSR's arithmetic for the parameters; buffers are those of net_g."""
        follow(self.net_g_ema, self.get_bare_model(self.net_g), decay)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Go on from a ``.state`` (CheckpointModel), with its λ where that follows the measurements."""
        super().resume_training(resume_state)
        if self.balance is not None:
            self.cri_spn.loss_weight = self.balance.weight
        if self.ema_decay > 0:  # saved by a version that left them out, the EMA's would be those of the start
            copy_buffers(self.net_g_ema, self.get_bare_model(self.net_g))

    def get_current_log(self) -> dict[str, float]:
        """Values of the last step by name, means over ranks: losses, ``spn_dist``, ``neg_refresh``, and the like.

        Call it on every rank. ``spn_ratio`` is there at iterations that ``logger.print_freq`` logs.
        """
        last_ratio = self.log_dict.get('spn_ratio', 0.0)
        self.log_dict = self.reduce_loss_dict(self._terms)
        if self.history is not None:
            self.log_dict['neg_refresh'] = sum(self.history.refreshes)
        if 'spn_ratio' in self.log_dict:
            self._judge_ratio(self.log_dict['spn_ratio'], last_ratio)
        bad_steps = self.guard.report(self._iteration, self._hints)
        if bad_steps:
            self.log_dict['bad_steps'] = bad_steps
        return self.log_dict
