"""The whole family in every precision, memory layout and number of channels, against a plain slow formula."""

import contextlib

import pytest
import torch

from mclir_basicsr import SPNLoss
from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import CCRLoss, CRLoss
from mclir_basicsr.losses.distances import feature_distance, layer_distances

LAYERS = {'relu1_2': 0.25, 'conv2_1': 1.5}
KINDS = ['spn', 'cr', 'ccr']
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@pytest.fixture(scope='module')
def losses():
    """Each member with the arguments that it takes of (gt, negatives, lq)."""
    shared = {'layer_weights': LAYERS, 'weights': 'random'}
    ccr = CCRLoss([20.0, 30.0], **shared)
    ccr.best_psnr = 25.0
    return {
        'spn': (SPNLoss(0.1, **shared), lambda gt, negatives, lq: (negatives,)),
        'cr': (CRLoss(0.1, **shared), lambda gt, negatives, lq: (gt, negatives)),
        'ccr': (ccr, lambda gt, negatives, lq: (gt, negatives, lq)),
    }


def slow(loss, output, gt, negatives, lq):
    """The formulas of the three, by autograd alone, in float32 whatever surrounds it."""
    with torch.autocast('cpu', enabled=False):
        gt, negatives, lq = gt.float(), negatives.float(), lq.float()
        mine = loss.features(output.float())
        if isinstance(loss, SPNLoss):
            return -0.1 * sum(feature_distance(mine, loss.features(n), LAYERS, 'l1') for n in negatives) / 2
        weights = loss.curriculum() if isinstance(loss, CCRLoss) else [0.5, 0.5]
        others = [*negatives, lq][: len(weights)]
        mine = {name: mine[name] for name in LAYERS}
        below = sum(v * layer_distances(mine, loss.features(n), 'l1') for v, n in zip(weights, others, strict=True))
        ratio = layer_distances(mine, loss.features(gt), 'l1') / (below + 1e-7)
        return loss.loss_weight * (torch.tensor([*LAYERS.values()]) * ratio).sum()


def images(dtype, channels, layout, side=16):
    """output, gt, two negatives, lq, far from each other, so that rounding changes few signs."""
    generator = torch.Generator().manual_seed(0)
    made = [
        (0.25 * k + 0.25 * torch.rand(2, channels, side, side, generator=generator)).to(dtype, memory_format=layout)
        for k in (1, 0, 2, 3, 2)
    ]
    return made[0].requires_grad_(), made[1], torch.stack(made[2:4]), made[4]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=['contiguous', 'channels_last'])
@pytest.mark.parametrize('autocast', [None, 'bf16', 'fp16'], ids=str)
@pytest.mark.parametrize('dtype', DTYPES)
class TestEveryWayOfUse:
    """A plain loop in low precision, autocast, and what they are combined with."""

    def test_the_first_derivative_is_that_of_the_formula(self, losses, kind, dtype, autocast, layout, channels):
        loss, taken = losses[kind]
        output, *others = images(DTYPES[dtype], channels, layout)
        with torch.autocast('cpu', DTYPES[autocast]) if autocast else contextlib.nullcontext():
            found = loss(output, *taken(*others))
        exact = slow(loss, output, *others)
        assert found.dtype == torch.float32
        # autocast rounds the features, which moves values by 2^-8 (bf16) and turns the signs of a few differences
        close = {None: 1e-5, 'fp16': 1e-2, 'bf16': 5e-2}[autocast]
        torch.testing.assert_close(found, exact, rtol=close, atol=0)
        scale = 2.0**14  # as a GradScaler does it: what fp16 can hold is then a gradient, not the lack of one
        ours, theirs = (torch.autograd.grad(scale * value, output)[0] for value in (found, exact))
        assert ours.dtype == DTYPES[dtype]
        assert ours.shape == output.shape
        error = (ours.float() - theirs.float()).norm() / theirs.float().norm()
        assert error < {None: 1e-2 if dtype == 'bf16' else 1e-3, 'fp16': 0.1, 'bf16': 0.3}[autocast]

    def test_a_second_derivative_is_refused(self, losses, kind, dtype, autocast, layout, channels):
        loss, taken = losses[kind]
        output, *others = images(DTYPES[dtype], channels, layout)
        with torch.autocast('cpu', DTYPES[autocast]) if autocast else contextlib.nullcontext():
            found = loss(output, *taken(*others))
        (gradient,) = torch.autograd.grad(found + output.float().pow(2).mean(), output, create_graph=True)
        with pytest.raises(MclirError, match='can be differentiated once'):
            torch.autograd.grad(gradient.float().pow(2).sum(), output)


@pytest.mark.parametrize('kind', KINDS)
class TestFirstDerivative:
    """What a training does with it."""

    def test_a_loss_scale_lifts_it_before_it_is_rounded(self, losses, kind):
        """Of as many elements as photographs have each gradient is below 6e-8, the least that fp16 holds."""
        loss, taken = losses[kind]
        output, *others = images(torch.float16, 3, torch.contiguous_format, side=32)
        small = 2.0**-16 * loss(output, *taken(*others))
        (lifted,) = torch.autograd.grad(2.0**30 * small, output, retain_graph=True)
        (rounded,) = torch.autograd.grad(small, output)
        (exact,) = torch.autograd.grad(2.0**14 * slow(loss, output, *others), output)
        assert (lifted.float() - exact.float()).norm() < 1e-3 * exact.float().norm()
        assert (rounded == 0).float().mean() > 0.5, 'without a scale there is nothing that fp16 can hold'

    def test_a_graph_of_the_gradient_is_no_error_unless_it_is_used(self, losses, kind):
        loss, taken = losses[kind]
        output, *others = images(torch.float32, 3, torch.contiguous_format)
        weight = torch.ones((), requires_grad=True)
        value = loss(output, *taken(*others))
        (gradient,) = torch.autograd.grad(weight * value, output, create_graph=True)
        (by_weight,) = torch.autograd.grad(gradient.sum(), weight)  # linear in it, and known
        torch.testing.assert_close(by_weight, gradient.detach().sum())

    def test_the_output_may_be_overwritten(self, losses, kind):
        loss, taken = losses[kind]
        leaf, *others = images(torch.float32, 3, torch.contiguous_format)
        output = leaf * 1.0
        value = loss(output, *taken(*others))
        output.clamp_(0, 1)
        value.backward()
        assert leaf.grad.norm() > 0

    def test_float64_is_kept(self, losses, kind):
        loss, taken = losses[kind]
        output, *others = images(torch.float64, 3, torch.contiguous_format)
        assert torch.autograd.grad(loss(output, *taken(*others)), output)[0].dtype == torch.float64
