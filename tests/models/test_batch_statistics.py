"""Networks with buffers: EMA, validation and a resumed run have those of the network."""

import copy

import pytest
import torch
from basicsr.models import build_model
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import ARCH_REGISTRY
from test_history_model import SPN, equal, step
from test_normalised_images import loader
from test_trust import NAN_LQ, WithBatchNorm
from torch import nn

from mclir_basicsr.models.guard import Guard

BATCH_NORM = {'network_g': {'type': 'WithBatchNorm'}}


class WithLazyMask(nn.Module):
    """x2, with a mask that is made for each size of image, and a number that is not there before the first one."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.register_buffer('seen', None)

    def forward(self, x):
        if getattr(self, 'mask', torch.empty(0)).shape != x.shape[-2:]:
            self.register_buffer('mask', torch.linspace(0.5, 1, x.shape[-2] * x.shape[-1]).view(x.shape[-2:]))
        self.seen = torch.zeros(()) if self.seen is None else self.seen + 1
        return self.shuffle(self.conv(x * self.mask))


class WithWeightNorm(nn.Module):
    """x2, as WDSR: the weight is computed from others, by the old way (a hook) or the new one (a parametrization)."""

    def __init__(self, way):
        super().__init__()
        normed = {'hook': nn.utils.weight_norm, 'parametrization': nn.utils.parametrizations.weight_norm}[way]
        self.body = nn.Sequential(normed(nn.Conv2d(3, 12, 3, padding=1)), nn.PixelShuffle(2))

    def forward(self, x):
        self.last = self.body(x)  # what deepcopy refuses too
        return self.last


@pytest.fixture(autouse=True)
def _networks(monkeypatch):
    for kind in (WithBatchNorm, WithLazyMask, WithWeightNorm):
        monkeypatch.setitem(ARCH_REGISTRY._obj_map, kind.__name__, kind)


def buffers(net):
    return {name: value.clone() for name, value in net.named_buffers()}


@pytest.mark.parametrize('on_device', [False, True])
def test_ema_without_buffers(options, tmp_path, monkeypatch, on_device):
    """They are those of net_g after each good step, in the EMA, in what is saved, and where only the device knows."""
    train = SPN | {'optim_g': {'type': 'Adam', 'lr': 1e-3, 'fused': on_device}}
    model = build_model(options(train=train, **BATCH_NORM))
    monkeypatch.setattr(Guard, 'on_device', on_device)
    start = buffers(model.net_g_ema)
    for iteration in (1, 2):
        step(model, iteration)
        assert equal(buffers(model.net_g_ema), buffers(model.net_g))
    assert not equal(buffers(model.net_g_ema), start)
    before = buffers(model.net_g_ema)
    step(model, 3, lq=NAN_LQ)
    assert equal(buffers(model.net_g_ema), before)
    model.save(0, 3)
    saved = torch.load(tmp_path / 'models' / 'net_g_3.pth', weights_only=True)
    assert all(equal(saved['params_ema'][name], value) for name, value in before.items())


def test_ema_on_the_device_is_that_of_basicsr_bit_for_bit(options, monkeypatch):
    model = build_model(options(train=SPN | {'optim_g': {'type': 'Adam', 'lr': 1e-3, 'fused': True}}))
    monkeypatch.setattr(Guard, 'on_device', True)
    plain = copy.deepcopy(model.net_g_ema)
    for iteration in (1, 2, 3):
        step(model, iteration)
        model.net_g_ema, ours = plain, model.net_g_ema
        SRModel.model_ema(model, 0.9)
        model.net_g_ema = ours
    assert equal(dict(ours.named_parameters()), dict(plain.named_parameters()))


def test_a_run_of_a_version_that_left_buffers_out_goes_on_with_those_of_the_network(options, tmp_path):
    model = build_model(options(train=SPN, **BATCH_NORM))
    fresh = buffers(model.net_g_ema)
    step(model, 1)
    model.net_g_ema.load_state_dict(model.net_g_ema.state_dict() | fresh)
    model.save(0, 1)
    opt = options(train=SPN, **BATCH_NORM)
    opt['path'] |= {'pretrain_network_g': str(tmp_path / 'models' / 'net_g_1.pth'), 'resume_state': '1.state'}
    resumed = build_model(opt)
    resumed.resume_training(torch.load(tmp_path / 'training_states' / '1.state', weights_only=True))
    assert equal(buffers(resumed.net_g_ema), buffers(model.net_g))


def run_and_resume(options, tmp_path, network):
    """Three steps with a validation of another size between, saved and resumed after the second: both models."""
    train = SPN | {'history': {'interval': [1, 2], 'precision': 'bf16'}}
    model = build_model(options(train=copy.deepcopy(train), network_g=network))
    for iteration in (1, 2):
        step(model, iteration)
        model.feed_data({'lq': torch.rand(1, 3, 9, 7)})
        model.test()
    model.save(0, 2)
    opt = options(train=copy.deepcopy(train), network_g=network)
    opt['path'] |= {'pretrain_network_g': str(tmp_path / 'models' / 'net_g_2.pth'), 'resume_state': '2.state'}
    resumed = build_model(opt)
    resumed.resume_training(torch.load(tmp_path / 'training_states' / '2.state', weights_only=True))
    assert equal(resumed.history.state_dict(), model.history.state_dict())
    assert step(model, 3) == step(resumed, 3)
    return model, resumed


def test_buffers_that_change_shape_or_appear_later(options, tmp_path):
    model, resumed = run_and_resume(options, tmp_path, {'type': 'WithLazyMask'})
    for one in (model, resumed):
        assert one.net_g_ema.mask.shape == one.history.negatives[0].mask.shape == (12, 12)
    for part in ('net_g', 'net_g_ema', 'history'):
        assert equal(getattr(resumed, part).state_dict(), getattr(model, part).state_dict())


@pytest.mark.parametrize('way', ['hook', 'parametrization'])
def test_weight_norm_networks_train_refresh_and_resume(options, tmp_path, way):
    model, resumed = run_and_resume(options, tmp_path, {'type': 'WithWeightNorm', 'way': way})
    assert equal(resumed.net_g.state_dict(), model.net_g.state_dict())
    assert sum(model.history.refreshes) == 4


def test_all_ranks_validate_with_the_batch_statistics_of_the_first(options, write_pairs, monkeypatch):
    """Each has statistics of its own batches; the figures must be those of one process."""
    model = build_model(options(**BATCH_NORM))
    of_first = {id(buffer): torch.full_like(buffer, 2) for buffer in model.net_g_ema.buffers()}
    monkeypatch.setattr('mclir_basicsr.ranks.of_first', lambda buffer: of_first[id(buffer)])
    model.dist_validation(loader(write_pairs()), 1, None, save_img=False)
    assert [float(buffer.flatten()[0]) for buffer in model.net_g_ema.buffers()] == [2, 2, 2]
