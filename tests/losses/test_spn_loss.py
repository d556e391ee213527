"""SPNLoss against the reference implementation's values, closed forms and its contract."""

import itertools

import numpy as np
import pytest
import torch
from conftest import golden
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe import example_input
from torch.nn import functional as F

from mclir_basicsr import SPNLoss
from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import streamed
from mclir_basicsr.losses.spn_loss import feature_distance, gradient_ratio


@pytest.fixture(scope='module')
def loss():
    return SPNLoss(loss_weight=2.0, layer_weights={'relu1_2': 0.25, 'conv2_1': 1.5}, weights='random')


@pytest.mark.parametrize('name', ['spn_loss_vgg16_l1', 'spn_loss_vgg16_fro', 'spn_loss_vgg19_conv_l1'])
def test_matches_the_reference(name, vgg_file):
    arrays, meta = golden(name)
    keys = ('loss_weight', 'layer_weights', 'vgg_type', 'criterion', 'use_input_norm', 'range_norm')
    loss = SPNLoss(**{key: meta[key] for key in keys}, weights=vgg_file(meta['vgg_type']))
    output = example_input(meta['shape'], meta['output_seed']).requires_grad_()
    negatives = torch.stack([example_input(meta['shape'], seed) for seed in meta['negative_seeds']])

    l_spn = loss(output, negatives)
    l_spn.backward()

    assert l_spn.item() == pytest.approx(meta['l_spn'], rel=1e-5)
    for negative, expected in zip(negatives, meta['weighted_distance_per_negative'], strict=True):
        assert -loss(output, negative[None]).item() == pytest.approx(expected, rel=1e-5)
    want = arrays['grad_output']
    # In the norm: where two features are equal but for rounding, the sign of their difference is that of a machine's
    # kernels. Float64 is as far from these files as float32 is.
    assert np.linalg.norm(output.grad.numpy() - want) < 1e-3 * np.linalg.norm(want)


@given(
    weights=st.lists(st.floats(0.01, 10), min_size=1, max_size=3),
    criterion=st.sampled_from(['l1', 'l2', 'fro']),
    seed=st.integers(0, 100),
)
@settings(max_examples=30)
def test_distance_is_the_formula(weights, criterion, seed):
    random = np.random.default_rng(seed)
    a, b = ([random.standard_normal((2, 3, 4, 5)) for _ in weights] for _ in range(2))
    formula = {
        'l1': lambda d: np.abs(d).mean(),
        'l2': lambda d: (d**2).mean(),
        'fro': lambda d: np.sqrt((d**2).sum()),
    }[criterion]
    expected = sum(w * formula(x - y) for w, x, y in zip(weights, a, b, strict=True))
    named = [{str(i): torch.from_numpy(x) for i, x in enumerate(maps)} for maps in (a, b)]
    layer_weights = {str(i): w for i, w in enumerate(weights)}
    assert feature_distance(*named, layer_weights, criterion).item() == pytest.approx(expected, rel=1e-5)


def test_is_minus_lambda_times_the_mean_over_negatives(loss):
    output, negatives = torch.rand(2, 3, 16, 16), torch.rand(3, 2, 3, 16, 16)
    alone = [loss(output, negative[None]) for negative in negatives]
    torch.testing.assert_close(loss(output, negatives), torch.stack(alone).mean())
    assert loss(output, negatives) < 0
    assert loss(output, output[None]) == 0


def test_graph_reaches_the_output_only(loss):
    output, negatives = torch.rand(1, 3, 16, 16, requires_grad=True), torch.rand(2, 1, 3, 16, 16, requires_grad=True)
    loss(output, negatives).backward()
    assert output.grad.abs().sum() > 0
    assert negatives.grad is None
    assert all(p.grad is None and not p.requires_grad for p in loss.parameters())


def test_output_features_are_computed_once(loss, monkeypatch):
    seen = []
    monkeypatch.setattr(loss.vgg, 'forward', lambda x, run=loss.vgg.forward: seen.append(len(x)) or run(x))
    loss(torch.rand(2, 3, 8, 8), torch.rand(4, 2, 3, 8, 8))
    assert sum(seen) == 2 + 4 * 2


@pytest.mark.parametrize('criterion', ['l1', 'l2', 'fro'])
def test_streamed_gradient_is_that_of_the_plain_formula(criterion):
    loss = SPNLoss(2.0, {'relu1_2': 0.25, 'conv2_1': 1.5}, criterion=criterion, weights='random')
    output = torch.rand(2, 3, 16, 16, requires_grad=True)
    negatives = torch.rand(4, 2, 3, 16, 16)
    features = loss.vgg(output)
    distances = [feature_distance(features, loss.vgg(n), loss.layer_weights, criterion) for n in negatives]
    plain = -2.0 * torch.stack(distances).mean()
    streamed = loss(output, negatives)
    torch.testing.assert_close(streamed, plain, rtol=1e-6, atol=0)
    expected, found = (torch.autograd.grad(3 * value, output)[0] for value in (plain, streamed))
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize('criterion', ['l1', 'l2', 'fro'])
@pytest.mark.parametrize('margin', [None, 1e9])
def test_images_in_parts_are_those_in_one(criterion, margin, monkeypatch):
    """3 images, 2 at a time, where the distance is a mean over images: only then."""
    loss = SPNLoss(2.0, {'relu1_2': 0.25, 'conv2_1': 1.5}, criterion=criterion, weights='random', margin=margin)
    output, negatives = torch.rand(3, 3, 16, 16, requires_grad=True), torch.rand(2, 3, 3, 16, 16)
    whole = loss(output, negatives)
    monkeypatch.setattr(streamed, 'PART', 2 * 16 * 16)
    seen = []
    monkeypatch.setattr(loss.vgg, 'forward', lambda x, run=loss.vgg.forward: seen.append(len(x)) or run(x))
    parts = loss(output, negatives)
    assert sorted(seen) == ([1] * 3 + [2] * 3 if criterion != 'fro' and margin is None else [3] * 3)
    torch.testing.assert_close(parts, whole, rtol=1e-6, atol=0)
    expected, found = (torch.autograd.grad(value, output)[0] for value in (whole, parts))
    assert (found - expected).norm() < 1e-6 * expected.norm()


def test_memory_grows_neither_with_negatives_nor_with_images(loss, monkeypatch):
    def peak(negatives, images):
        output, others = torch.rand(images, 3, 32, 32, requires_grad=True), torch.rand(negatives, images, 3, 32, 32)
        with torch.profiler.profile(profile_memory=True) as run:
            loss(output, others).backward()
        changes = [e.nbytes() for e in run.profiler.kineto_results.events() if e.name() == '[memory]']
        return max(itertools.accumulate(changes))

    monkeypatch.setattr(streamed, 'PART', 32 * 32)
    assert peak(8, 1) < 1.01 * peak(2, 1)
    assert peak(2, 8) < 1.05 * peak(2, 2)  # 4 times the gradient by the output


def test_without_gradients_it_is_the_same_value(loss):
    output, negatives = torch.rand(1, 3, 16, 16, requires_grad=True), torch.rand(2, 1, 3, 16, 16)
    with torch.no_grad():
        value = loss(output, negatives)
    assert not value.requires_grad
    assert value == loss(output, negatives)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_negatives_of_low_precision_have_their_features_in_it(loss, dtype, monkeypatch):
    output, negatives = torch.rand(1, 3, 16, 16, requires_grad=True), torch.rand(2, 1, 3, 16, 16)
    dtypes = []

    def recorded(x, run=loss.vgg.forward):
        found = run(x)
        dtypes.append(found['conv2_1'].dtype)
        return found

    monkeypatch.setattr(loss.vgg, 'forward', recorded)
    exact, low = loss(output, negatives), loss(output, negatives.to(dtype))
    assert dtypes == [torch.float32] * 4 + [dtype] * 2
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(exact.item(), rel=0.02)


def test_gradient_survives_fp16(loss):
    """The gradient of a mean over so many features is below what fp16 holds; the loss scale must still find it."""
    small = SPNLoss(1e-3, {'relu1_2': 1e-3}, weights='random')
    output, negatives = torch.rand(1, 3, 32, 32, requires_grad=True), torch.rand(1, 1, 3, 32, 32)
    with torch.autocast('cpu', torch.float16):
        scaled = small(output, negatives) * 2.0**16
    found = torch.autograd.grad(scaled, output)[0] / 2.0**16
    exact = torch.autograd.grad(small(output, negatives), output)[0]
    assert (found - exact).norm() < 0.2 * exact.norm()


def test_one_channel_is_repeated_to_three(loss):
    output, negatives = torch.rand(2, 1, 16, 16), torch.rand(3, 2, 1, 16, 16)
    torch.testing.assert_close(
        loss(output, negatives), loss(output.repeat(1, 3, 1, 1), negatives.repeat(1, 1, 3, 1, 1))
    )


def test_gradient_ratio_is_that_of_the_norms(loss):
    output = torch.rand(1, 3, 16, 16, requires_grad=True)
    spn, reconstruction = loss(output, torch.rand(1, 1, 3, 16, 16)), F.l1_loss(output, torch.zeros_like(output))
    ratio = gradient_ratio(spn, reconstruction, output)
    (spn + reconstruction).backward()  # the graphs are still there
    # every element of the L1 gradient is 1/n, so its norm is n^-1/2
    by_spn = output.grad - 1 / output.numel()
    assert ratio.item() == pytest.approx((by_spn.norm() * output.numel() ** 0.5).item(), rel=1e-4)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'loss_weight': 0}, 'loss_weight must be above 0, but is 0'),
        ({'loss_weight': -1e-3}, 'loss_weight must be above 0'),
        ({'criterion': 'cos'}, "criterion must be one of l1, l2, fro, but is 'cos'"),
        ({'vgg_type': 'vgg17'}, "vgg_type must be one of vgg11, .*vgg19_bn, but is 'vgg17'"),
        ({'layer_weights': {'relu9_9': 1}}, 'vgg16 has no layer relu9_9; its layers are conv1_1'),
        ({'layer_weights': {}}, 'name at least one layer'),
    ],
)
def test_impossible_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SPNLoss(**{'weights': 'random'} | arguments)


@pytest.mark.parametrize('shape', [(2, 3, 8, 8), (1, 2, 3, 8, 9), (0, 2, 3, 8, 8), (1, 1, 3, 8, 8)])
def test_negatives_of_another_shape(loss, shape):
    with pytest.raises(ValueError, match=r'output is \(2, 3, 8, 8\) and negatives are \(' + ', '.join(map(str, shape))):
        loss(torch.rand(2, 3, 8, 8), torch.rand(shape))


def test_beyond_the_margin_nothing_pushes():
    """Two negatives: one nearer than the margin, which pushes as without it, one farther, which does not."""
    output = torch.rand(1, 3, 16, 16, requires_grad=True)
    near, far = output.detach() + 0.01, 1 - output.detach()
    free = SPNLoss(loss_weight=1.0, weights='random', layer_weights={'relu1_1': 1.0})
    near_distance, far_distance = (-free(output, negative[None]).item() for negative in (near, far))
    assert near_distance < far_distance
    margin = (near_distance + far_distance) / 2
    bound = SPNLoss(loss_weight=1.0, weights='random', layer_weights={'relu1_1': 1.0}, margin=margin)
    loss = bound(output, torch.stack([near, far]))
    assert loss.item() == pytest.approx(-(near_distance + margin) / 2)
    (gradient,) = torch.autograd.grad(loss, output)
    (expected,) = torch.autograd.grad(free(output, near[None]) / 2, output)
    torch.testing.assert_close(gradient, expected)
    with pytest.raises(MclirError, match='margin must be above 0'):
        SPNLoss(weights='random', margin=0.0)


def test_sequences_are_compared_frame_by_frame():
    """(N, T, C, H, W) is as N * T images, gradient too."""
    loss = SPNLoss(layer_weights={'relu1_1': 1.0}, weights='random')
    output, negatives = torch.rand(2, 3, 3, 16, 16, requires_grad=True), torch.rand(2, 2, 3, 3, 16, 16)
    value = loss(output, negatives)
    (gradient,) = torch.autograd.grad(value, output)
    flat = output.detach().flatten(0, 1).requires_grad_()
    expected = loss(flat, negatives.flatten(1, 2))
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient.flatten(0, 1), torch.autograd.grad(expected, flat)[0])
