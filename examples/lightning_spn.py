"""SPN in PyTorch Lightning: the callback keeps the negatives, the module adds the term to its loss.

class Restoration(lightning.LightningModule):
def training_step(self, batch, _):
lq, gt = batch
output = self.net(lq)
return l1_loss(output, gt) + self.spn.term(output, lq)

spn = SPN(make_net, interval=[100, 200, 500, 1000])
module = Restoration(net)
module.spn = spn
lightning.Trainer(callbacks=[spn]).fit(module, loader)
"""

from collections.abc import Callable, Sequence
from typing import Any

from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from mclir_basicsr import ModelHistory, SPNLoss


class SPN(Callback):
    """The negatives of ``module.net`` and the loss against them; both travel in Lightning's checkpoints.

    Args:
        fresh: Makes a newly initialised network like ``module.net``.
        interval: Optimizer steps between refreshes, one negative each.
        **loss: Arguments of SPNLoss.
    """

    def __init__(self, fresh: Callable[[], nn.Module], interval: Sequence[int] = (100, 200, 500, 1000), **loss: Any):
        self.fresh, self.interval, self.loss = fresh, interval, SPNLoss(**loss)
        self.history: ModelHistory | None = None

    def setup(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if self.history is None:  # before a checkpoint is loaded into it
            self.history = ModelHistory(module.net, self.interval, fresh=self.fresh)

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.history.to(module.device)
        self.loss.to(module.device)
        self.done = trainer.global_step

    def term(self, output: Tensor, lq: Tensor) -> Tensor:
        return self.loss(output, self.history(lq))

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if trainer.global_step > self.done:  # batches that are only accumulated make no step
            self.done = trainer.global_step
            self.history.refresh(module.net, self.done)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.history is None else self.history.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history.load_state_dict(state)
