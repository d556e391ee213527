"""train.losses in a training step: what is summed, logged and measured."""

import copy

import numpy as np
import pytest
import torch
from basicsr.losses import basic_loss, build_loss
from basicsr.models import build_model
from basicsr.utils.registry import LOSS_REGISTRY
from recipe import example_input

from mclir_basicsr.errors import MclirError

SPN = {
    'spn_opt': {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'loss_weight': 0.1},
    'history': {'interval': [2]},
}
LOSSES = {'losses': [{'type': 'FFTLoss', 'loss_weight': 0.1}, {'type': 'MSELoss', 'loss_weight': 2.0}]}


@pytest.fixture
def register(monkeypatch):
    """A loss of the user's, made of a function of output and gt."""

    def of(name, function):
        class Loss(torch.nn.Module):
            def __init__(self, loss_weight=1.0):
                super().__init__()
                self.loss_weight = loss_weight

            def forward(self, output, gt):
                return self.loss_weight * function(output, gt)

        Loss.__name__ = name
        monkeypatch.setitem(LOSS_REGISTRY._obj_map, name, Loss)

    return of


def images(iteration):
    return example_input([2, 3, 8, 8], 100 + iteration), example_input([2, 3, 16, 16], 200 + iteration)


def step(model, iteration):
    model.update_learning_rate(iteration)
    lq, gt = images(iteration)
    model.feed_data({'lq': lq, 'gt': gt})
    model.optimize_parameters(iteration)
    return dict(model.get_current_log())


def gradient_norm(value, output):
    return torch.autograd.grad(value, output, retain_graph=True)[0].norm().item()


def test_names_in_the_log_and_when_gradients_are_measured(options):
    losses = [{'type': 'FFTLoss'}, {'type': 'FocalFrequencyLoss'}, {'type': 'FFTLoss', 'name': 'spectrum'}]
    train = copy.deepcopy(SPN) | {'losses': losses, 'fft_opt': {'type': 'FFTLoss', 'loss_weight': 0.05}}
    model = build_model(options(train=train, logger={'print_freq': 2, 'save_checkpoint_freq': 9}))
    first, second = step(model, 1), step(model, 2)
    values = ['l_pix', 'l_fft', 'l_fft_2', 'l_focal_frequency', 'l_spectrum']
    assert list(first) == [*values, 'l_spn', 'spn_dist', 'neg_refresh']
    norms = ['g_pix', 'g_fft', 'g_fft_2', 'g_focal_frequency', 'g_spectrum']
    assert list(second) == [*values, *norms, 'l_spn', 'spn_dist', 'spn_ratio', 'neg_refresh']
    assert first['l_fft'] == pytest.approx(0.05 * first['l_spectrum'])
    assert second['g_fft'] == pytest.approx(0.05 * second['g_fft_2'])


@pytest.mark.parametrize('amp', [None, 'fp16'])
def test_values_gradients_and_ratio_are_those_of_autograd(options, amp):
    model = build_model(options(train=copy.deepcopy(SPN) | LOSSES | {'amp': amp}))
    lq, gt = images(1)
    with torch.no_grad(), model._autocast():
        output = model.net_g(lq)
        negatives = model.history(lq)
    output = output.float().requires_grad_()
    terms = {'pix': model.cri_pix(output, gt)}
    terms |= {'fft': build_loss(LOSSES['losses'][0])(output, gt), 'mse': build_loss(LOSSES['losses'][1])(output, gt)}
    with model._autocast():
        spn = 2**10 * model.cri_spn(output, negatives)  # scaled, so that fp16 holds its gradient
    expected = {f'l_{name}': value.item() for name, value in terms.items()}
    expected |= {f'g_{name}': gradient_norm(value, output) for name, value in terms.items()}
    expected['spn_ratio'] = gradient_norm(spn, output) / 2**10 / gradient_norm(sum(terms.values()), output)
    log = step(model, 1)
    assert {name: log[name] for name in expected} == pytest.approx(expected, rel=1e-5 if amp is None else 0.02)
    assert len({round(log[f'g_{name}'], 9) for name in terms}) == 3


@pytest.mark.parametrize('accumulate', [1, 2])
def test_a_step_follows_the_gradient_of_the_sum(options, accumulate):
    sgd = {'optim_g': {'type': 'SGD', 'lr': 1.0}, 'accumulate': accumulate}
    model = build_model(options(train=copy.deepcopy(LOSSES) | sgd))
    before = [p.detach().clone() for p in model.net_g.parameters()]
    total = 0
    for iteration in range(1, accumulate + 1):
        lq, gt = images(iteration)
        output = model.net_g(lq)
        spectrum = torch.view_as_real(torch.fft.fft2(output) - torch.fft.fft2(gt))
        total += (output - gt).abs().mean() + 0.1 * spectrum.abs().mean() + 2 * (output - gt).square().mean()
    gradients = torch.autograd.grad(total / accumulate, list(model.net_g.parameters()))
    for iteration in range(1, accumulate + 1):
        step(model, iteration)
    for then, now, gradient in zip(before, model.net_g.parameters(), gradients, strict=True):
        torch.testing.assert_close(now.detach(), then - gradient, rtol=1e-4, atol=1e-6)


def test_measuring_gradients_changes_no_weight(options):
    """Logged at each iteration or at none, the run is the same bit for bit."""
    ends = []
    for freq in (1, 100):
        torch.manual_seed(0)
        model = build_model(options(train=copy.deepcopy(SPN) | LOSSES, logger={'print_freq': freq}))
        logs = [step(model, t) for t in (1, 2, 3)]
        ends.append((logs[-1]['l_fft'], torch.cat([p.detach().flatten() for p in model.net_g.parameters()])))
    assert ends[0][0] == ends[1][0]
    assert torch.equal(ends[0][1], ends[1][1])


def test_a_resumed_run_equals_an_uninterrupted_one(options, tmp_path):
    train = copy.deepcopy(SPN) | LOSSES | {'amp': 'fp16', 'accumulate': 2}
    torch.manual_seed(1)
    straight = build_model(options(train=copy.deepcopy(train)))
    for t in range(1, 5):
        step(straight, t)
    straight.save(0, 4)
    logs = [step(straight, t) for t in range(5, 9)]
    path = options()['path'] | {'pretrain_network_g': str(tmp_path / 'models' / 'net_g_4.pth')}
    resumed = build_model(options(train=copy.deepcopy(train), path=path))
    resumed.resume_training(torch.load(tmp_path / 'training_states' / '4.state', weights_only=True))
    assert [step(resumed, t) for t in range(5, 9)] == logs


def test_a_term_that_is_not_finite_is_named_and_its_step_left_out(options, register, caplog):
    register('RootLoss', lambda output, gt: (output - gt).mean().sub(9).sqrt())
    model = build_model(options(train={'losses': [{'type': 'FFTLoss'}, {'type': 'RootLoss'}]}))
    before = model.net_g.conv_first.weight.detach().clone()
    with caplog.at_level('WARNING', 'basicsr'):
        log = step(model, 1)
    assert log['bad_steps'] == 1
    assert '(l_root not finite)' in caplog.text
    assert torch.equal(model.net_g.conv_first.weight, before)


def test_a_loss_of_one_image_is_given_the_output(options):
    model = build_model(options(train={'losses': [{'type': 'WeightedTVLoss', 'loss_weight': 0.3}]}))
    lq, _ = images(1)
    with torch.no_grad():
        output = model.net_g(lq)
    variation = output.diff(dim=-1).abs().mean() + output.diff(dim=-2).abs().mean()
    assert step(model, 1)['l_weighted_tv'] == pytest.approx(0.3 * variation.item(), rel=1e-5)


def test_both_terms_of_a_perceptual_loss(options, monkeypatch):
    class Features(torch.nn.Module):
        def __init__(self, layer_name_list, **_):
            super().__init__()
            self.names = layer_name_list

        def forward(self, image):
            return {name: image.diff(dim=-1) for name in self.names}

    monkeypatch.setattr(basic_loss, 'VGGFeatureExtractor', Features)
    block = {'type': 'PerceptualLoss', 'layer_weights': {'conv1_1': 1.0}}
    losses = [block, block | {'style_weight': 0.5, 'name': 'vgg'}]
    log = step(build_model(options(train={'losses': losses})), 1)
    assert list(log)[:4] == ['l_pix', 'l_perceptual', 'l_vgg', 'l_vgg_style']
    assert log['l_vgg'] == log['l_perceptual'] > 0
    assert log['g_vgg_style'] > 0


def test_terms_see_images_as_they_were_before_mean_and_std(options):
    data = {'train': {'mean': [0.5, 0.4, 0.3], 'std': [0.25, 0.5, 0.2]}}
    model = build_model(options(train={'losses': [{'type': 'L1Loss'}, {'type': 'PSNRLoss'}]}, datasets=data))
    lq, gt = images(1)
    std = torch.tensor(data['train']['std']).view(3, 1, 1)
    with torch.no_grad():
        difference = std * (model.net_g(lq) - gt)
    log = step(model, 1)
    assert log['l_l1'] == pytest.approx(difference.abs().mean().item(), rel=1e-5)
    psnr = 10 * np.log10(difference.square().mean(dim=(1, 2, 3)).numpy()).mean()
    assert log['l_psnr'] == pytest.approx(psnr, rel=1e-4)
    assert log['l_pix'] > 1.5 * log['l_l1']


@pytest.mark.parametrize(
    ('function', 'said'),
    [
        (lambda output, gt: (output - gt).abs(), r'gives a tensor of shape \(2, 3, 16, 16\), but a term is one number'),
        (lambda output, gt: ((output - gt).mean(), gt.mean()), 'gives a tuple, but a term is one number'),
        (lambda output, gt: (output - gt).mean().item(), 'gives a float, but a term is one number'),
        (lambda output, gt: (output - gt).detach().mean(), 'has no gradient by the output, and so no effect'),
    ],
)
def test_a_loss_that_gives_no_number_to_train_by(options, register, function, said):
    register('OddLoss', lambda output, gt: 0)
    LOSS_REGISTRY.get('OddLoss').forward = lambda self, output, gt: function(output, gt)
    model = build_model(options(train={'losses': [{'type': 'OddLoss'}]}))
    with pytest.raises(MclirError, match=rf'train\.losses\.0: OddLoss {said}'):
        step(model, 1)


def test_without_losses_nothing_is_added(options):
    for losses in ({}, {'losses': None}, {'losses': []}, {'fft_opt': None}):
        assert list(step(build_model(options(train=losses)), 1)) == ['l_pix']
