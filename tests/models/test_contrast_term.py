"""train.contrast_opt: where negatives come from, what the log shows, and what cannot act."""

import copy
import math

import pytest
import torch
from basicsr.archs import build_network
from basicsr.models import build_model
from conftest import EDSR
from recipe import example_input, fill_

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import CCRLoss
from mclir_basicsr.losses.contrast import at_size_of
from mclir_basicsr.models import curriculum
from mclir_basicsr.models.curriculum import Curriculum, psnr

VGG = {'weights': 'random', 'layer_weights': {'relu1_1': 1.0, 'conv2_1': 0.5}}


@pytest.fixture
def networks(tmp_path):
    """Checkpoints of two EDSR networks, one of them wider than the one that is trained."""
    files = []
    for k, features in enumerate((8, 12)):
        net = fill_(build_network(EDSR | {'num_feat': features}), f'negative_{k}')
        files.append(tmp_path / f'negative_{k}.pth')
        torch.save({'params': net.state_dict()}, files[-1])
    return [str(file) for file in files]


@pytest.fixture
def build(options):
    def make(contrast, **train):
        torch.manual_seed(0)
        return build_model(options(train=copy.deepcopy({'contrast_opt': VGG | contrast} | train)))

    return make


def step(model, iteration):
    model.update_learning_rate(iteration)
    model.feed_data(
        {'lq': example_input([2, 3, 8, 8], iteration), 'gt': example_input([2, 3, 16, 16], 1000 + iteration)}
    )
    model.optimize_parameters(iteration)
    return dict(model.get_current_log())


def test_lq_is_the_negative_by_default(build):
    model = build({'loss_weight': 0.3})
    log = step(model, 1)
    assert list(log) == ['l_pix', 'l_contrast', 'contrast_ratio']
    assert model.history is None
    expected = model.contrast.loss(model.output, model.gt, at_size_of(model.gt, model.lq)[None])
    assert log['l_contrast'] == pytest.approx(expected.item(), rel=1e-5)
    pixel = torch.nn.functional.l1_loss(model.output, model.gt)
    norms = [torch.autograd.grad(v, model.output, retain_graph=True)[0].norm() for v in (expected, pixel)]
    assert log['contrast_ratio'] == pytest.approx((norms[0] / norms[1]).item(), rel=1e-4)


def test_the_term_moves_the_network_by_its_gradient(build):
    """SGD at rate 1: the step is the gradient of both terms."""
    model = build({}, optim_g={'type': 'SGD', 'lr': 1.0})
    before = [p.detach().clone() for p in model.net_g.parameters()]
    step(model, 1)
    moved = [b - p.detach() for b, p in zip(before, model.net_g.parameters(), strict=True)]
    with torch.no_grad():
        for p, b in zip(model.net_g.parameters(), before, strict=True):
            p.copy_(b)
    output = model.net_g(model.lq)
    contrast = model.contrast.loss(output, model.gt, at_size_of(model.gt, model.lq)[None])
    total = torch.nn.functional.l1_loss(output, model.gt) + contrast
    for found, expected in zip(moved, torch.autograd.grad(total, list(model.net_g.parameters())), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_both_terms_share_one_pass_of_the_history(build, monkeypatch):
    model = build({'negatives': 'history'}, spn_opt=VGG | {'every': 2}, history={'interval': [1, 2], 'start_iter': 2})
    calls = []
    forward = model.history.forward
    monkeypatch.setattr(model.history, 'forward', lambda lq: calls.append(model._iteration) or forward(lq))
    logs = [step(model, iteration) for iteration in (1, 2, 3)]
    assert calls == [2, 3]
    assert 'l_contrast' not in logs[0]
    assert {'l_spn', 'l_contrast', 'spn_ratio', 'contrast_ratio'} <= logs[1].keys()
    alone = build({'negatives': 'history'}, history={'interval': [1, 2]})
    assert 'l_contrast' in step(alone, 1)
    assert alone.cri_spn is None


def test_checkpoints_are_detected_frozen_and_measured(build, networks):
    model = build({'type': 'CCRLoss', 'negatives': networks, 'gamma': 0.5})
    assert [net.conv_first.out_channels for net in model.contrast.networks] == [8, 12]
    before = [p.clone() for p in model.contrast.networks.parameters()]
    figures = []
    for iteration in (1, 2):
        step(model, iteration)
        with torch.no_grad():
            figures.append([psnr(net(model.lq), model.gt).item() for net in model.contrast.networks])
    means = [sum(each) / 2 for each in zip(*figures, strict=True)]
    assert model.contrast.loss.difficulties == pytest.approx(means, rel=1e-6)
    assert all(torch.equal(*pair) for pair in zip(before, model.contrast.networks.parameters(), strict=True))
    assert not any(p.requires_grad for p in model.contrast.networks.parameters())


@pytest.mark.parametrize('at', [3, 4])
def test_a_resumed_curriculum_goes_on_as_it_would_have(build, networks, tmp_path, monkeypatch, at):
    """Bit for bit, stopped while negatives are measured and behind that, and in the middle of a window."""
    monkeypatch.setattr(curriculum, 'BATCHES', 4)
    monkeypatch.setattr(curriculum, 'WINDOW', 3)
    contrast = {'type': 'CCRLoss', 'negatives': networks}
    straight, logs = build(contrast), []
    for iteration in range(1, 11):
        logs.append(step(straight, iteration))
        if iteration == at:
            straight.save(0, at)
    resumed = build(contrast)
    saved = torch.load(tmp_path / 'models' / f'net_g_{at}.pth', weights_only=True)
    resumed.net_g.load_state_dict(saved['params'])
    resumed.net_g_ema.load_state_dict(saved['params_ema'])
    resumed.resume_training(torch.load(tmp_path / 'training_states' / f'{at}.state', weights_only=True))
    assert [step(resumed, iteration) for iteration in range(at + 1, 11)] == logs[at:]
    assert resumed.curriculum.state_dict() == straight.curriculum.state_dict()
    assert straight.contrast.loss.best_psnr > 0
    fewer = build(contrast | {'negatives': networks[:1]})
    with pytest.raises(MclirError, match=r'the state has 2 negatives, but train\.contrast_opt\.negatives names 1'):
        fewer.resume_training(torch.load(tmp_path / 'training_states' / f'{at}.state', weights_only=True))


def test_the_best_psnr_is_that_of_a_window_and_only_rises(monkeypatch):
    monkeypatch.setattr(curriculum, 'WINDOW', 2)
    loss = CCRLoss([0.0], layer_weights={'relu1_1': 1.0}, weights='random')
    course, gt = Curriculum(loss), torch.full((1, 3, 4, 4), 0.5)
    best = []
    for error in (0.1, 0.01, 0.1, 0.1, 0.001, 0.001):  # 20, 40, 20, 20, 60, 60 dB
        course.measure(gt + error, gt, gt[None])
        best.append(round(loss.best_psnr))
    assert best == [0, 30, 30, 30, 30, 60]
    course.measure(gt * math.nan, gt, gt[None])
    course.measure(gt, gt, gt[None])
    assert round(loss.best_psnr) == 60


def test_what_cannot_act_is_named(build, networks, tmp_path):
    for contrast, train, message in (
        ({'type': 'CCRLoss'}, {}, 'CCRLoss weighs each negative by the PSNR of its network'),
        ({'gamma': 0.3}, {}, 'gamma is of CCRLoss'),
        ({'negatives': 'past'}, {}, "train.contrast_opt.negatives: .*'lq' or 'history'"),
        ({'negatives': []}, {}, 'train.contrast_opt.negatives: .*at least 1 item'),
        ({'negatives': 'history'}, {}, 'contrast_opt with negatives: history needs history beside it'),
        ({}, {'history': {}}, r'history needs spn_opt beside it'),
        ({'negatives': [str(tmp_path / 'gone.pth')]}, {}, 'train.contrast_opt.negatives: there is no file .*gone.pth'),
        ({'layer_weights': {'relu9_1': 1}}, {}, 'vgg19 has no layer relu9_1; its layers are conv1_1'),
    ):
        with pytest.raises(MclirError, match=message):
            build(contrast, **train)
    torch.save({'params': build_network(EDSR | {'upscale': 4}).state_dict()}, networks[0])
    with pytest.raises(MclirError, match=r'negative_0\.pth is a network of scale 4, but scale is 2'):
        build({'negatives': networks})
