"""When networks and states are saved, and which of them stay."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger
from torch import distributed
from torch.utils.data import DataLoader

from mclir_basicsr.errors import MclirError
from mclir_basicsr.metrics.directions import direction, direction_fault
from mclir_basicsr.models.checkpoints import CheckpointModel
from mclir_basicsr.models.measuring import Measured
from mclir_basicsr.options import OwnOptions
from mclir_basicsr.run import figures, retention, stop


class _UntilAsked:
    """The images of a loader until this process is asked to stop."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        for data in self._loader:
            if stop.noted():
                return
            yield data


class SavingModel(CheckpointModel):
    """A model that keeps the saves ``train.keep`` asks for, and saves and ends where a signal asks for it.

    Attributes:
        own: Our options; set before SRModel's constructor runs.

    Raises:
        MclirError: Whether a higher or a lower ``train.keep.best`` is better is not known.
    """

    own: OwnOptions
    _saved: int | None = None  # iteration of the last save of this process

    def __init__(self, opt: dict[str, Any]) -> None:
        best = self.own.train.keep.best if self.own.train.keep else None
        if best is not None and (fault := direction_fault(best, opt['val']['metrics'][best])):
            raise MclirError(f'train.keep.best: {fault}')
        super().__init__(opt)

    def _validate_images(
        self, loader: DataLoader, dataset: Mapping[str, Any], current_iter: int | str, save_img: bool
    ) -> list[list[Measured]]:
        """Metrics of each image; a run that was asked to stops before the next image, without any figure."""
        if not self.opt['is_train']:
            return super()._validate_images(loader, dataset, current_iter, save_img)
        # BasicSR counts on behind the last iteration before it validates for the last time.
        done = min(int(current_iter), int(self.opt['train']['total_iter']))
        if self._may_stop(done):
            loader = _UntilAsked(loader)  # type: ignore[assignment]
        values = super()._validate_images(loader, dataset, current_iter, save_img)
        self._heed_signal(done)
        return values

    def _may_stop(self, done: int) -> bool:
        """Whether the last iteration that is done completes an optimizer step."""
        return done > 0 and done % self.own.train.accumulate == 0

    def _heed_signal(self, done: int) -> None:
        if self._may_stop(done):
            signal = stop.agreed()
            if signal is not None:
                self._end(signal, done)

    def _end(self, signal: str, iteration: int) -> None:
        if self._saved != iteration:
            self.save(0, iteration)  # a resumed run finds its epoch by the iteration
        if self.opt['dist']:
            distributed.barrier()  # torchrun ends the others as soon as one has left
        get_root_logger().warning(
            f'{signal}: iteration {iteration} is saved. The same command with --auto_resume goes on from it.'
        )
        stop.pass_over()  # srun ends the other ranks by SIGTERM, whose status would then take the place of this one
        sys.exit(stop.REQUEUE)

    def save(self, epoch: int, current_iter: int) -> None:
        """Save networks and training state, then remove the saves that ``train.keep.last`` leaves out."""
        super().save(epoch, current_iter)
        if current_iter == -1:  # the final network
            return
        self._saved, keep = current_iter, self.own.train.keep
        if keep is not None and keep.last is not None and self.opt['rank'] == 0:
            retention.trim(self._folder('models'), self._folder('training_states'), keep.last, current_iter)

    def resume_training(self, resume_state: dict[str, Any]) -> None:
        """Go on from a ``.state`` (CheckpointModel)."""
        super().resume_training(resume_state)
        if self.opt['rank'] == 0:
            for folder in ('models', 'training_states'):
                retention.sweep(self._folder(folder))
            if 'experiments_root' in self.opt['path']:  # not in a loop of one's own
                figures.drop_after(self._folder('experiments_root'), resume_state['iter'])

    def _update_best_metric_result(self, dataset_name: str, metric: str, val: float, current_iter: Any) -> None:
        """Keep the best figure, and its network where ``train.keep.best`` is this metric of the first data set."""
        super()._update_best_metric_result(dataset_name, metric, val, current_iter)
        keep = self.own.train.keep
        if keep is None or metric != keep.best or dataset_name != self._first_validation():
            return
        options = self.opt['val']['metrics'][metric]
        measured = {'metric': metric, 'dataset': dataset_name, 'options': options}
        record = self._folder('models') / 'net_g_best.json'
        if self.opt['rank'] == 0 and retention.is_best(record, val, direction(options) == 'higher', **measured):
            nets = {'params': self.net_g} | ({'params_ema': self.net_g_ema} if hasattr(self, 'net_g_ema') else {})
            self.save_network(list(nets.values()), 'net_g', 'best', list(nets))
            retention.write_record(record, value=val, iteration=current_iter, **measured)

    def _first_validation(self) -> str:
        return next(data['name'] for phase, data in self.opt['datasets'].items() if phase.startswith('val'))

    def _folder(self, name: str) -> Path:
        return Path(self.opt['path'][name])
