"""Entries of train.losses that training cannot use are refused by name before it starts."""

import pytest
import torch
from basicsr.losses import basic_loss
from basicsr.models import build_model
from basicsr.utils.registry import LOSS_REGISTRY

from mclir_basicsr.errors import MclirError
from mclir_basicsr.models.loss_terms import takes_gt


def kind(forward):
    return type('Kind', (torch.nn.Module,), {'forward': forward})


@pytest.mark.parametrize(
    ('forward', 'expected'),
    [
        (lambda self, output, gt: 0, True),
        (lambda self, pred, target, weight=None, **kwargs: 0, True),
        (lambda self, x, y=None: 0, True),
        (lambda self, *images: 0, True),
        (lambda self, output: 0, False),
        (lambda self, pred, weight=None: 0, False),
        (lambda self, x, mask=None, eps=1e-3: 0, False),
    ],
)
def test_what_a_forward_compares(forward, expected):
    assert takes_gt('train.losses.0', kind(forward)) is expected


@pytest.mark.parametrize(
    ('forward', 'said'),
    [
        (lambda self, output, gt, lq: 0, 'Kind compares output, gt, lq, but a term of training is given output and gt'),
        (lambda self, output, *, depth: 0, 'Kind compares output, depth, but'),
        (lambda self: 0, 'Kind compares nothing, but'),
        (lambda self, output, gt, negatives: 0, 'Kind compares the output with negatives'),
    ],
)
def test_a_forward_that_takes_something_else(forward, said):
    with pytest.raises(MclirError, match=rf'^train\.losses\.0: {said}'):
        takes_gt('train.losses.0', kind(forward))


@pytest.mark.parametrize(
    ('block', 'said'),
    [
        ({'type': 'FocalFrequncyLoss'}, 'There is no loss named .FocalFrequncyLoss.*did you mean FocalFrequencyLoss'),
        (
            {'type': 'FocalFrequencyLoss', 'alfa': 2, 'x': 1},
            r'FocalFrequencyLoss takes no alfa, x \(did you mean alpha\?\)\. Its arguments are loss_weight, alpha, '
            'patch_factor, ave_spectrum, log_matrix, batch_matrix.',
        ),
        ({'type': 'PerceptualLoss'}, 'PerceptualLoss needs layer_weights. Its arguments are layer_weights, vgg_type'),
        ({'type': 'GANLoss', 'gan_type': 'lsgan'}, 'GANLoss judges a discriminator, which HistoryModel does not have'),
        ({'type': 'MultiScaleGANLoss', 'gan_type': 'lsgan'}, 'MultiScaleGANLoss judges a discriminator'),
        ({'type': 'SPNLoss'}, r'SPNLoss compares the output with negatives: .*train\.spn_opt'),
        ({'type': 'L1Loss', 'reduction': 'none'}, 'L1Loss with reduction none gives no number to train by'),
        ({'type': 'L1Loss', 'reduction': 'max'}, 'L1Loss cannot be used so: Unsupported reduction mode: max'),
        ({'type': 'PSNRLoss', 'reduction': 'sum'}, 'reduction of PSNRLoss must be mean'),
        ({'type': 'square_loss'}, r'square_loss is no class with forward\(output, gt\)'),
    ],
)
def test_refused_where_the_model_is_built(options, monkeypatch, block, said):
    def square_loss(output, gt):
        return (output - gt).square().mean()

    monkeypatch.setitem(LOSS_REGISTRY._obj_map, 'square_loss', square_loss)
    with pytest.raises(MclirError, match=rf'^train\.losses\.1: {said}'):
        build_model(options(train={'losses': [{'type': 'FFTLoss'}, block]}))


def test_a_vgg_that_cannot_be_downloaded(options, monkeypatch):
    def offline(*_, **__):
        raise OSError('no network')

    monkeypatch.setattr(basic_loss, 'VGGFeatureExtractor', offline)
    block = {'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 1.0}}
    with pytest.raises(MclirError, match=r'train\.losses\.0: the weights of vgg19 are not at .*no network'):
        build_model(options(train={'losses': [block]}))


def test_parameters_of_a_loss_are_not_trained_which_is_said(options, monkeypatch, caplog):
    class Weighted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, output, gt):
            return self.scale * (output - gt).abs().mean()

    monkeypatch.setitem(LOSS_REGISTRY._obj_map, 'WeightedLoss', Weighted)
    with caplog.at_level('WARNING', 'basicsr'):
        model = build_model(options(train={'losses': [{'type': 'WeightedLoss'}]}))
    assert 'train.losses.0: Weighted has parameters (scale); they stay as they are' in caplog.text
    (term,) = model.terms
    assert not term.loss.scale.requires_grad
