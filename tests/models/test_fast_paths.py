"""The fast ways of a step against the plain formula, and what the options that trade precision for speed do."""

import copy
import functools
import shutil

import pytest
import torch
from basicsr.models import build_model
from basicsr.models.sr_model import SRModel
from recipe import example_input
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mclir_basicsr.losses.features import VGGFeatures
from mclir_basicsr.models.compiler import check_compiler
from mclir_basicsr.models.guard import Guard

LAYERS = {'relu1_1': 1.0, 'conv2_1': 0.5}
SPN = {
    'spn_opt': {'weights': 'random', 'layer_weights': LAYERS, 'loss_weight': 0.1},
    'history': {'interval': [2, 3, 100]},
    'optim_g': {'type': 'SGD', 'lr': 0.1},
}


def build(options, num_gpu=0, **train):
    torch.manual_seed(0)
    history = SPN['history'] | train.pop('history', {})
    return build_model(options(train=copy.deepcopy(SPN | train) | {'history': history}, num_gpu=num_gpu))


def feed(model, seed, count=2):
    model.feed_data({'lq': example_input([count, 3, 12, 12], seed), 'gt': example_input([count, 3, 24, 24], seed + 1)})


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.net_g.parameters()])


def plain_gradient(model):
    """The formula of the paper in float64, in the plain layout, with every negative in one graph."""
    vgg = VGGFeatures(LAYERS, weights='random').double()
    net = copy.deepcopy(model.net_g).double()
    negatives = [copy.deepcopy(n).double().to(memory_format=torch.contiguous_format) for n in model.history.negatives]
    lq = model.lq.double()
    output = net(lq)
    of_output, distance = vgg(output), 0
    for negative in negatives:
        of_negative = vgg(negative(lq))
        distance += sum(w * F.l1_loss(of_output[name], of_negative[name]) for name, w in LAYERS.items())
    loss = F.l1_loss(output, model.gt.double()) - 0.1 * distance / len(negatives)
    loss.backward()
    return distance / len(negatives), torch.cat([p.grad.flatten() for p in net.parameters()])


def test_a_step_is_the_plain_formula(options):
    model = build(options)
    feed(model, 2)  # images at which no difference of features is within rounding, where its sign is a matter of luck
    distance, gradient = plain_gradient(model)
    model.optimize_parameters(1)
    assert model.get_current_log()['spn_dist'] == pytest.approx(distance.item(), rel=1e-5)
    ours = torch.cat([p.grad.flatten() for p in model.net_g.parameters()])
    assert (ours - gradient).norm() < 1e-5 * gradient.norm()


def test_ema_is_that_of_basicsr_bit_for_bit(options):
    model = build(options)
    plain = copy.deepcopy(model.net_g_ema)
    for t in range(1, 4):
        feed(model, 10 * t)
        model.optimize_parameters(t)
        model.net_g_ema, ours = plain, model.net_g_ema
        SRModel.model_ema(model, 0.9)
        model.net_g_ema = ours
    for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, theirs)


class Reads(TorchDispatchMode):
    """Counts where a tensor's value is read on the host, which waits for a GPU."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **kwargs or {})


@pytest.mark.parametrize('train', [{}, {'amp': 'bf16'}, {'grad_clip_norm': 0.1}, {'history': {'precision': 'bf16'}}])
def test_a_step_reads_nothing_on_the_host(options, monkeypatch, train):
    """With a fused optimizer, as on a GPU by default; only a refresh asks whether the last step was made."""
    model = build(options, optim_g={'type': 'Adam', 'lr': 1e-3, 'fused': True}, **train)
    monkeypatch.setattr(Guard, 'on_device', True)  # the CPU's fused optimizer heeds the same flag
    feed(model, 1)
    with Reads() as reads:
        for t in (5, 7, 11):
            model.optimize_parameters(t)
        assert reads.count == 0
        model.optimize_parameters(12)
        assert reads.count == 1
        model.get_current_log()
        assert reads.count > 0


@pytest.mark.parametrize('spn', [True, False])
def test_accumulated_batches_make_the_step_of_one_large_batch(options, spn):
    extra = {} if spn else {'spn_opt': None, 'history': None}
    torch.manual_seed(0)
    large = build_model(options(train=copy.deepcopy(SPN | extra)))
    torch.manual_seed(0)
    small = build_model(options(train=copy.deepcopy(SPN | extra | {'accumulate': 2})))
    start, start_ema = parameters(small), copy.deepcopy(small.net_g_ema.state_dict())
    feed(large, 1, count=4)
    large.optimize_parameters(1)
    for t in (1, 2):
        assert torch.equal(parameters(small), start)
        assert all(torch.equal(v, start_ema[k]) for k, v in small.net_g_ema.state_dict().items())
        part = slice(2 * t - 2, 2 * t)
        small.feed_data({'lq': large.lq[part], 'gt': large.gt[part]})
        small.optimize_parameters(t)
    moved = parameters(large) - start
    assert moved.norm() > 0
    assert (parameters(small) - start - moved).norm() < 1e-5 * moved.norm()
    for mine, theirs in zip(small.net_g_ema.parameters(), large.net_g_ema.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


def test_accumulation_clips_and_refreshes_by_the_optimizer_step(options):
    history = {'policy': 'adaptive', 'negatives': 2, 'threshold': 1e-6, 'interval': None}
    model = build(options, accumulate=4, grad_clip_norm=1.0, history=history)
    logged = []
    for t in range(1, 9):
        feed(model, t)
        model.optimize_parameters(t)
        logged.append('grad_norm' in model.get_current_log())
    assert logged == [False, False, False, True] * 2
    assert sum(model.history.refreshes) == 2


@pytest.mark.parametrize('train', [{}, {'amp': 'bf16'}, {'amp': 'fp16', 'history': {'precision': 'fp16'}}])
def test_ratio_in_the_log_does_not_depend_on_accumulation(options, train):
    ratios = []
    for n in (1, 4):
        model = build(options, accumulate=n, **copy.deepcopy(train))
        feed(model, 1)
        model.optimize_parameters(1)
        ratios.append(model.get_current_log()['spn_ratio'])
    assert ratios[0] == ratios[1] > 0


@pytest.mark.parametrize(('precision', 'error'), [('bf16', 0.05), ('fp16', 0.005)])
def test_low_precision_features_stay_near(options, precision, error):
    logs = []
    for each in ('fp32', precision):
        model = build(options, history={'precision': each})
        feed(model, 1)
        model.optimize_parameters(1)
        logs.append(model.get_current_log())
    assert logs[0]['spn_dist'] != logs[1]['spn_dist'] == pytest.approx(logs[0]['spn_dist'], rel=error)
    assert logs[0]['l_pix'] == logs[1]['l_pix']


def test_compiled_training_is_that_without(options, monkeypatch):
    """Traced and replayed without code generation, which takes longer and is torch's own affair."""
    monkeypatch.setattr(torch, 'compile', functools.partial(torch.compile, backend='aot_eager'))
    models = [build(options, compile=each) for each in (False, True)]
    for t in range(1, 4):
        for model in models:
            feed(model, 10 * t)
            model.optimize_parameters(t)
    plain, compiled = models
    assert list(compiled.net_g.state_dict()) == list(plain.net_g.state_dict())
    assert list(compiled.history.state_dict()) == list(plain.history.state_dict())
    assert compiled._forward is not compiled.net_g
    assert compiled.get_current_log() == pytest.approx(plain.get_current_log(), rel=1e-5)
    torch.testing.assert_close(parameters(compiled), parameters(plain), rtol=1e-5, atol=1e-7)


def test_a_compiler_is_found_where_there_is_one():
    if shutil.which('g++') is None:
        pytest.skip('there is no g++')
    check_compiler(torch.device('cpu'))


def test_a_compiler_that_does_not_work_is_named(options, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError('no g++')

    monkeypatch.setattr(torch, 'compile', broken)
    with pytest.raises(ValueError, match=r'train\.compile: torch\.compile does not work here \(no g\+\+\).*false'):
        build(options, compile=True)
