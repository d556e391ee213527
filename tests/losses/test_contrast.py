"""CRLoss and CCRLoss against the reference's values, a plain slow formula and their contract."""

import itertools

import numpy as np
import pytest
import torch
from basicsr.losses import build_loss
from conftest import golden
from recipe import example_input
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses import CCRLoss, CRLoss, streamed
from mclir_basicsr.losses.contrast import at_size_of

LAYERS = {'conv2_1': 1.5, 'relu1_2': 0.25}  # not in the order of the network


@pytest.mark.parametrize('name', ['contrastive_cr', 'contrastive_ccr_early', 'contrastive_ccr_late'])
def test_matches_the_reference(name, vgg_file):
    """In float64, which the file is nearest to: features of relu5_1 differ there by 1e-7 of 4e-2, so that two kernels
    of float32 give values 4 % and gradients 40 % apart. Nothing but the rounding of the file itself is left here.
    """
    arrays, meta = golden(name)
    shared = {key: meta[key] for key in ('layer_weights', 'vgg_type', 'use_input_norm')}
    shared |= {'loss_weight': 1.0, 'weights': vgg_file(meta['vgg_type'])}

    def image(seed):
        return example_input(meta['shape'], seed).double()

    output, gt = image(meta['output_seed']).requires_grad_(), image(meta['positive_seed'])
    negatives = torch.stack([image(seed) for seed in meta['negative_seeds']])
    if meta['loss'] == 'CR':
        value = CRLoss(**shared).double()(output, gt, negatives)
    else:
        loss = CCRLoss(meta['difficulties'], meta['gamma'], **shared).double()
        loss.best_psnr = meta['best_psnr']
        assert loss.curriculum() == pytest.approx(meta['weights_of_negatives_then_input'], rel=1e-12)
        value = loss(output, gt, negatives, image(meta['input_seed']))
    value.backward()
    assert value.item() == pytest.approx(meta['value'], rel=4e-3)
    want = arrays['grad_output']
    assert np.linalg.norm(output.grad.numpy() - want) < 0.2 * np.linalg.norm(want)


def images(count=2, side=16, negatives=3, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    output, gt, lq = (torch.rand(count, channels, side, side, generator=generator) for _ in range(3))
    return output.requires_grad_(), gt, torch.rand(negatives, count, channels, side, side, generator=generator), lq


def plain(loss, output, gt, negatives, weights):
    """Σ_l w_l d_l(y, gt) / (Σ_k v_k d_l(y, n_k) + 1e-7), all by autograd."""
    distance = {'l1': F.l1_loss, 'l2': F.mse_loss, 'fro': torch.dist}[loss.criterion]
    mine, wanted = loss.features(output), loss.features(gt)
    others = [loss.features(negative) for negative in negatives]
    terms = [
        weight * distance(mine[name], wanted[name])
        / (sum(v * distance(mine[name], other[name]) for v, other in zip(weights, others, strict=True)) + 1e-7)
        for name, weight in loss.layer_weights.items()
    ]  # fmt: skip
    return loss.loss_weight * sum(terms)


@pytest.mark.parametrize('criterion', ['l1', 'l2', 'fro'])
@pytest.mark.parametrize('part', [2**16, 2 * 16 * 16])
def test_streamed_gradient_is_that_of_the_plain_formula(criterion, part, monkeypatch):
    """Five images, all at once and two at a time, whose distances then have to be known ahead."""
    monkeypatch.setattr(streamed, 'PART', part)
    output, gt, negatives, lq = images(5)
    shared = {'layer_weights': LAYERS, 'criterion': criterion, 'weights': 'random'}
    cr, ccr = CRLoss(**shared), CCRLoss([20.0, 25.0, 30.0], 0.5, **shared)
    ccr.best_psnr = 26.0
    weights = [1.5 / 6.5, 1.5 / 6.5, 0.5 / 6.5, 3 / 6.5]
    for loss, found, expected in (
        (cr, cr(output, gt, negatives), plain(cr, output, gt, negatives, [1 / 3] * 3)),
        (ccr, ccr(output, gt, negatives, lq), plain(ccr, output, gt, torch.cat([negatives, lq[None]]), weights)),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
        ours, theirs = (torch.autograd.grad(3 * value, output)[0] for value in (found, expected))
        assert (ours - theirs).norm() < 1e-4 * theirs.norm(), type(loss).__name__


def test_a_batch_of_one_part_is_seen_once_and_of_more_but_the_last_twice(monkeypatch):
    loss, (output, gt, negatives, _) = CRLoss(layer_weights=LAYERS, weights='random'), images(5)
    seen = []
    monkeypatch.setattr(loss.features, 'forward', lambda x, run=loss.features.forward: seen.append(len(x)) or run(x))
    loss(output, gt, negatives)
    assert sum(seen) == 5 * (1 + 1 + 3)
    monkeypatch.setattr(streamed, 'PART', 2 * 16 * 16)
    seen.clear()
    loss(output, gt, negatives)  # 2, 2 and 1 images
    assert sum(seen) == (4 + 4 + 1) * (1 + 1 + 3)
    seen.clear()
    with torch.no_grad():
        assert not loss(output, gt, negatives).requires_grad
    assert sum(seen) == 5 * (1 + 1 + 3)


def test_memory_grows_neither_with_negatives_nor_with_images(monkeypatch):
    loss = CRLoss(layer_weights=LAYERS, weights='random')

    def peak(negatives, count):
        output, gt, others, _ = images(count, 32, negatives)
        with torch.profiler.profile(profile_memory=True) as run:
            loss(output, gt, others).backward()
        changes = [e.nbytes() for e in run.profiler.kineto_results.events() if e.name() == '[memory]']
        return max(itertools.accumulate(changes))

    monkeypatch.setattr(streamed, 'PART', 32 * 32)
    assert peak(8, 1) < 1.01 * peak(2, 1)
    assert peak(2, 8) < 1.05 * peak(2, 2)  # 4 times the gradient by the output


def test_lq_is_brought_to_the_size_of_the_output():
    """A ramp stays a ramp but at the border; what has the size already is left as it is."""
    ramp = torch.arange(8.0).expand(1, 3, 8, 8)
    big = at_size_of(torch.zeros(1, 3, 16, 16), ramp)
    torch.testing.assert_close(big[0, 0, 4, 4:12], torch.arange(4, 12) / 2 - 0.25)
    assert at_size_of(ramp, ramp) is ramp
    loss, (output, gt, negatives, _) = CCRLoss([1.0, 2.0, 3.0], layer_weights=LAYERS, weights='random'), images()
    lq = torch.rand(2, 3, 8, 8)
    assert loss(output, gt, negatives, lq) == loss(output, gt, negatives, at_size_of(output, lq))


def test_option_files_name_them_with_what_is_wrong():
    loss = build_loss({'type': 'CRLoss', 'weights': 'random', 'layer_weights': LAYERS})
    output, gt, negatives, lq = images()
    with pytest.raises(MclirError, match=r'gt must be as output, but output is \(2, 3, 16, 16\) and gt is \(2, 3, 8'):
        loss(output, gt[..., :8, :], negatives)
    with pytest.raises(MclirError, match=r'negatives must have the shape \(K, \*output.shape\)'):
        loss(output, gt, gt)
    ccr = build_loss({'type': 'CCRLoss', 'difficulties': [1, 2], 'weights': 'random', 'layer_weights': LAYERS})
    with pytest.raises(MclirError, match='difficulties are 2, but there are 3 negatives'):
        ccr(output, gt, negatives, lq)
    for arguments, message in (
        ({'difficulties': []}, 'give the PSNR'),
        ({'difficulties': [1], 'gamma': 1}, 'gamma must'),
    ):
        with pytest.raises(MclirError, match=message):
            CCRLoss(**arguments, weights='random')
