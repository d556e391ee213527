"""The callback of examples/ against a plain loop, and resumed."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import l1_loss
from torch.utils.data import DataLoader, TensorDataset

from mclir_basicsr import ModelHistory, SPNLoss

lightning = pytest.importorskip('lightning', reason='the example is for Lightning, which is not installed')
FILE = Path(__file__).parents[2] / 'examples' / 'lightning_spn.py'
LOSS = {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'loss_weight': 0.1}
STEPS = 4


@pytest.fixture(scope='module')
def example():
    spec = spec_from_file_location('lightning_spn', FILE)
    module = sys.modules['lightning_spn'] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_net():
    return nn.Conv2d(3, 3, 3, padding=1)


class Restoration(lightning.LightningModule):
    def __init__(self, spn):
        super().__init__()
        torch.manual_seed(0)
        self.net, self.spn = make_net(), spn

    def training_step(self, batch, _):
        lq, gt = batch
        output = self.net(lq)
        return l1_loss(output, gt) + self.spn.term(output, lq)

    def configure_optimizers(self):
        return torch.optim.Adam(self.net.parameters(), 1e-2)


def loader():
    random = torch.Generator().manual_seed(1)
    return DataLoader(TensorDataset(*(torch.rand(STEPS, 3, 8, 8, generator=random) for _ in range(2))))


def trained(example, folder, steps, checkpoint=None):
    spn = example.SPN(make_net, interval=[2, 3], **LOSS)
    module = Restoration(spn)
    trainer = lightning.Trainer(
        max_epochs=1, limit_train_batches=steps, callbacks=[spn], default_root_dir=folder, accelerator='cpu',
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader(), ckpt_path=checkpoint)
    return trainer, module, spn


def test_the_callback_trains_as_a_plain_loop_does(example, tmp_path):
    _, module, spn = trained(example, tmp_path, STEPS)
    torch.manual_seed(0)
    net = make_net()
    history, loss = ModelHistory(net, [2, 3], fresh=make_net), SPNLoss(**LOSS)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for iteration, (lq, gt) in enumerate(loader(), start=1):
        output = net(lq)
        optimizer.zero_grad()
        (l1_loss(output, gt) + loss(output, history(lq))).backward()
        optimizer.step()
        history.refresh(net, iteration)
    assert spn.history.refreshes == history.refreshes == [2, 1]
    for got, wanted in ((module.net, net), (spn.history, history)):
        for one, other in zip(got.parameters(), wanted.parameters(), strict=True):
            torch.testing.assert_close(one, other)


def test_the_history_travels_in_checkpoints(example, tmp_path):
    trainer, _, spn = trained(example, tmp_path, 3)
    trainer.save_checkpoint(tmp_path / 'a.ckpt')
    _, _, resumed = trained(example, tmp_path, 3, tmp_path / 'a.ckpt')
    assert resumed.history.refreshes == [1, 1]
    for one, other in zip(resumed.history.parameters(), spn.history.parameters(), strict=True):
        assert torch.equal(one, other)
