"""Bad steps and a λ that follows: what they do to a run."""

import copy

import pytest
import torch
from basicsr.models import build_model
from basicsr.utils import get_root_logger
from basicsr.utils.registry import ARCH_REGISTRY
from test_history_model import SPN, equal, step
from torch import nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.guard import Guard


class WithBatchNorm(nn.Module):
    """x2, with statistics that every forward pass moves."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.PixelShuffle(2))

    def forward(self, x):
        return self.body(x)


def everything(model):
    parts = (model.net_g, model.net_g_ema, model.optimizer_g, model.history)
    return copy.deepcopy([part.state_dict() for part in parts])


NAN = torch.full((2, 3, 24, 24), float('nan'))
NAN_LQ = torch.full((2, 3, 12, 12), float('nan'))


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('amp', [None, 'bf16', 'fp16'])
def test_a_bad_step_changes_nothing(options, caplog, monkeypatch, fused, amp):
    """Iteration 2 would refresh a negative. With a fused optimizer on a GPU only the device knows of the bad step."""
    train = SPN | {'amp': amp, 'optim_g': {'type': 'Adam', 'lr': 1e-3, 'fused': fused}}
    model = build_model(options(train=train))
    monkeypatch.setattr(Guard, 'on_device', fused and amp != 'fp16')
    step(model, 1)
    before = everything(model)
    assert 'bad_steps' not in model.get_current_log()
    assert step(model, 2, gt=NAN)['bad_steps'] == 1
    assert equal(everything(model), before)
    assert 'Iteration 2: 1 step(s) left out (l_pix not finite' in caplog.text
    assert step(model, 3)['bad_steps'] == 1
    assert not equal(everything(model), before)


@pytest.mark.parametrize('accumulate', [1, 2])
def test_a_bad_step_leaves_batch_statistics(options, monkeypatch, accumulate):
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, 'WithBatchNorm', WithBatchNorm)
    model = build_model(options(train=SPN | {'accumulate': accumulate}, network_g={'type': 'WithBatchNorm'}))
    for iteration in range(1, accumulate + 1):
        step(model, iteration)
    before = everything(model)
    for iteration in range(accumulate + 1, 2 * accumulate + 1):
        step(model, iteration, lq=NAN_LQ if iteration == accumulate + 1 else None)
    assert model.get_current_log()['bad_steps'] == 1
    assert equal(everything(model), before)


def test_a_bad_step_refreshes_nothing_by_its_residual(options):
    history = {'policy': 'adaptive', 'negatives': 2, 'threshold': 0.01}
    model = build_model(options(train=SPN | {'history': history, 'pixel_opt': {'type': 'MSELoss'}}))
    step(model, 1)
    before = everything(model)
    assert model.history.refreshes == [1, 0]
    assert step(model, 2, gt=torch.full_like(NAN, 1e25))['bad_steps'] == 1  # whose square is infinite
    assert equal(everything(model), before)


@pytest.mark.parametrize('fused', [False, True])
def test_bad_steps_in_a_row_end_the_run(options, monkeypatch, fused):
    train = SPN | {'max_bad_steps': 3, 'optim_g': {'type': 'Adam', 'lr': 1e-3, 'fused': fused}}
    model = build_model(options(train=train))
    monkeypatch.setattr(Guard, 'on_device', fused)
    step(model, 1)
    model.save(0, 1)
    for iteration in (2, 3):
        step(model, iteration, gt=NAN)
    message = r'Iteration 4: 3 steps in a row .* λ is 0\.1, and spn_ratio was .* iteration 1\. Lower λ'
    with pytest.raises(MclirError, match=message):
        step(model, 4, gt=NAN)


def test_a_term_that_wins_is_told_when_it_begins_to(options, caplog):
    spn = SPN['spn_opt'] | {'loss_weight': 1e4}
    model = build_model(options(train=SPN | {'spn_opt': spn}))
    for iteration in (1, 2, 3):
        assert step(model, iteration)['spn_ratio'] > 1
    assert caplog.text.count('pushes harder than') == 1


def test_a_term_that_hardly_acts_is_told_once(options, caplog):
    """As the published λ beside PSNRLoss: nothing moves, and nothing says so."""
    spn = SPN['spn_opt'] | {'loss_weight': 1e-6}
    model = build_model(options(train=SPN | {'spn_opt': spn}))
    for iteration in (1, 2, 3):
        assert 0 < step(model, iteration)['spn_ratio'] < 0.002
    assert caplog.text.count('the SPN term hardly acts') == 1
    assert 'would give 0.02' in caplog.text


def test_a_balance_is_not_told_that_it_is_low(options, caplog):
    """Whoever sets a low one wants it."""
    spn = {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'balance': 1e-4}
    model = build_model(options(train=SPN | {'spn_opt': spn}))
    step(model, 1)
    assert 'hardly acts' not in caplog.text


def test_balance_keeps_the_ratio(options):
    spn = {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'balance': 0.05}
    model = build_model(options(train=SPN | {'spn_opt': spn}))
    first = step(model, 1)
    assert first['spn_ratio'] == pytest.approx(0.05, rel=1e-4)
    assert first['l_spn'] == pytest.approx(-first['spn_weight'] * first['spn_dist'], rel=1e-4)
    second = step(model, 2)  # not measured: λ stays
    assert second['spn_weight'] == first['spn_weight']
    # λ of the step's gradient is the one that is logged
    assert second['l_spn'] == pytest.approx(-first['spn_weight'] * second['spn_dist'], rel=1e-4)


def test_a_resumed_balance_has_its_weight(options, tmp_path):
    spn = {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'balance': 0.05}
    model = build_model(options(train=SPN | {'spn_opt': spn}))
    step(model, 1)
    model.save(0, 1)
    resumed = build_model(options(train=SPN | {'spn_opt': spn}))
    resumed.resume_training(torch.load(tmp_path / 'training_states' / '1.state', weights_only=True))
    assert resumed.cri_spn.loss_weight == model.cri_spn.loss_weight != 1e-3


def test_balance_and_loss_weight_exclude_each_other(options):
    with pytest.raises(MclirError, match=r'train\.spn_opt: balance takes the place of loss_weight'):
        build_model(options(train=SPN | {'spn_opt': SPN['spn_opt'] | {'balance': 0.05}}))


@pytest.fixture(autouse=True)
def _heard(monkeypatch):
    """BasicSR's logger passes nothing on once it is set up."""
    monkeypatch.setattr(get_root_logger(), 'propagate', True)
