"""The optimizer, the schedule of its learning rate, and what happens at the beginning of a step."""

from typing import Any

import torch

from mclir_basicsr.models.optimizers import make_optimizer, make_scheduler
from mclir_basicsr.models.saving import SavingModel
from mclir_basicsr.run import progress, stop
from mclir_basicsr.run.random_streams import begin_step


class ScheduleModel(SavingModel):
    """A model that takes any optimizer and schedule of torch, and whose steps have random numbers of their own."""

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
        progress.reach(current_iter, self.opt)
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
