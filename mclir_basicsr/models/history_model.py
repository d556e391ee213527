"""HistoryModel: a model class of BasicSR with the SPN term and the negative models behind it."""

import functools
import math
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from torch import Tensor

from mclir_basicsr import devices
from mclir_basicsr.averages import copy_buffers, follow
from mclir_basicsr.errors import MclirError
from mclir_basicsr.models import bases
from mclir_basicsr.models.base_step import BaseStep
from mclir_basicsr.models.compiler import check_compiler, make_traceable
from mclir_basicsr.models.guard import Guard
from mclir_basicsr.models.outputs import Outputs
from mclir_basicsr.models.spn_term import SPNTermModel
from mclir_basicsr.models.step import TrainingStep
from mclir_basicsr.models.terms import Terms
from mclir_basicsr.options import read_options


class HistoryModel(SPNTermModel):
    """Train ``net_g`` on its reconstruction loss plus the SPN term against its own past.

    Source: Wu et al., AAAI 2024, arXiv 2309.06023. Without ``train.spn_opt`` and ``train.history`` it trains exactly
    as SRModel does, given the same data: its random numbers are drawn per sample and step. Its checkpoints are
    ordinary BasicSR checkpoints; ``training_states/<iter>.state`` also holds the history.

    ``base_model`` puts it on another model class of BasicSR, which then gives the batch, the networks, the optimizers
    and the step, and whatever else it has of its own.

    Attributes:
        base_name: The class that it stands on.
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

    base_name = 'SRModel'

    def __new__(cls, opt: dict[str, Any]) -> 'HistoryModel':
        """An object of the class that stands on ``base_model``."""
        return object.__new__(cls.of(opt))

    @classmethod
    def of(cls, opt: dict[str, Any]) -> 'type[HistoryModel]':
        """The class that stands on ``base_model``."""
        return cls.on(bases.find(opt.get('base_model') or 'SRModel'))

    @classmethod
    @functools.cache
    def on(cls, base: type) -> 'type[HistoryModel]':
        """The class of a HistoryModel on a base, which has this class before the base and a step at its place.

        >>> [kind.__name__ for kind in HistoryModel.on(bases.find('EDVRModel')).__mro__[7:11]]
        ['EDVRModel', 'VideoBaseModel', 'TrainingStep', 'SRModel']
        >>> [kind.__name__ for kind in HistoryModel.on(bases.find('ESRGANModel')).__mro__[7:11]]
        ['BaseStep', 'ESRGANModel', 'SRGANModel', 'SRModel']
        """
        if issubclass(cls, (TrainingStep, BaseStep)):  # made here before
            return cls
        parts: tuple[type, ...] = (cls, TrainingStep) if base is SRModel else (cls, base, TrainingStep)
        if bases.steps_itself(base):
            parts = cls, BaseStep, base
        name = cls.__name__ if base is SRModel else f'{cls.__name__} on {base.__name__}'
        told = {'base_name': base.__name__, 'tests_itself': bases.tests_itself(base)}
        return type(name, parts, {'__doc__': cls.__doc__, **told})

    def __init__(self, opt: dict[str, Any]) -> None:
        self.own, warnings = read_options(opt)
        base = bases.find(self.base_name)
        if faults := list(bases.faults(base, self.own)):
            raise MclirError('\n  '.join(['The option file cannot be used:', *faults]))
        device = devices.of_run(opt)
        for warning in [*warnings, *bases.remarks(base)]:
            get_root_logger().warning(warning)
        self.log_dict: dict[str, float] = {}
        self._loaded = set()
        self._last_ratio = 0.0  # as it was last logged
        self._outputs = None if self.own.output is None else Outputs(self.own.output)
        with bases.staying_on(device):
            super().__init__(opt)
        if not self.is_train and self._outputs is not None:
            self._outputs.choose(self.get_bare_model(self.net_g))

    def init_training_settings(self) -> None:
        """Set up EMA, losses, optimizer and scheduler (SRModel), then the SPN loss and the history."""
        if self._outputs is not None:
            self._outputs.choose(self.get_bare_model(self.net_g))
        super().init_training_settings()
        self.load_what_is_left()
        own = self.own.train
        self.terms = Terms(self.opt, own, self.device)
        if self._outputs is not None and self.cri_pix is not None:
            self._outputs.sum_over_all(self.cri_pix)
        if self._outputs is not None and self.ema_decay > 0:
            self._outputs.choose(self.net_g_ema)
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

    def feed_data(self, data: dict[str, Any]) -> None:
        """Take a batch: ``lq`` and, but for a test without it, ``gt``; nothing of the batch before stays.

        Raises:
            MclirError: The data set gives no lq.
        """
        self.__dict__.pop('gt', None)
        moved = {key: self._to_device(value) if isinstance(value, Tensor) else value for key, value in data.items()}
        try:
            with bases.staying_on(self.device):
                super().feed_data(moved)
        except KeyError as error:
            raise MclirError(self._missing(str(error.args[0]), data)) from error

    def _missing(self, key: str, data: dict[str, Any]) -> str:
        if key == 'lq':
            return (
                f'The data set gives no lq, which {type(self).__name__} needs, but {", ".join(data)}: '
                'use PairedImageDataset, or another one that gives lq and gt.'
            )
        return (
            f'{self.base_name} reads {key}, but neither the option file has it, nor does the data set give it, which '
            f'gives {", ".join(data)}: add it, or use a data set that is made for {self.base_name}.'
        )

    def _to_device(self, batch: Tensor) -> Tensor:
        """As SRModel does, but from pinned memory without waiting for the step before."""
        there = batch.to(self.device, non_blocking=True)
        if there.is_cuda:
            # BasicSR's CUDAPrefetcher copies on another stream, which might fill this memory again while it is in use.
            there.record_stream(torch.cuda.current_stream())
        return there

    def _hints(self) -> str:
        """What helps where a run ends for want of good steps."""
        states = [int(file.stem) for file in self._folder('training_states').glob('*.state') if file.stem.isdecimal()]
        saved = f'The last good checkpoint is that of iteration {max(states)}.' if states else 'Nothing was saved yet.'
        if self.cri_spn is None:
            return f'{saved} Lower the learning rate or set train.grad_clip_norm.'
        ratio = self._last_ratio or math.nan
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
        self.log_dict = self.step_log()
        if self.history is not None:
            self.log_dict['neg_refresh'] = sum(self.history.refreshes)
        if 'spn_ratio' in self.log_dict:
            self._judge_ratio(self.log_dict['spn_ratio'], self._last_ratio)
        self._last_ratio = self.log_dict.get('spn_ratio', 0.0)
        guards = [guard for guard in (self.guard, self.guard_d) if guard is not None]
        bad_steps = sum(guard.report(self._iteration, self._hints) for guard in guards)
        if bad_steps:
            self.log_dict['bad_steps'] = bad_steps
        return self.log_dict
