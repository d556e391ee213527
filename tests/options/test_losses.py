"""Entries of train.losses: their names in the log, and what is no entry."""

import pytest

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file, read_options
from mclir_basicsr.options.losses import loss_terms


def names(*types, **train):
    blocks = [kind if isinstance(kind, dict) else {'type': kind} for kind in types]
    opt = {'train': {'losses': blocks, 'pixel_opt': {'type': 'L1Loss'}} | train}
    return [name for name, _ in loss_terms(read_options(opt)[0].train).values()]


def test_names_are_made_of_the_class():
    kinds = 'FFTLoss', 'FocalFrequencyLoss', 'L1Loss', 'MyFFTLoss', 'VGGPerceptualLoss', 'Loss', 'Edge'
    assert names(*kinds) == ['fft', 'focal_frequency', 'l1', 'my_fft', 'vgg_perceptual', 'loss', 'edge']


def test_no_two_have_one_name():
    named = {'type': 'MSELoss', 'name': 'fft_2'}
    assert names('FFTLoss', 'FFTLoss', named, 'FFTLoss') == ['fft', 'fft_3', 'fft_2', 'fft_4']
    assert names('PixLoss', 'SPNLoss') == ['pix_2', 'spn_2']  # l_pix and l_spn are in the log already


def test_those_of_forks_come_first():
    fork = {'type': 'FFTLoss', 'loss_weight': 0.05, 'reduction': 'mean'}
    assert names('FFTLoss', fft_opt=fork, fft_loss_opt=fork) == ['fft', 'fft_2', 'fft_3']
    assert names(fft_opt=fork | {'name': 'freq'}) == ['freq']


@pytest.mark.parametrize(
    ('block', 'said'),
    [
        ({'type': 'FFTLoss', 'name': 'pix'}, 'train: losses: the name pix is taken: give another one'),
        ({'type': 'FFTLoss', 'name': 'mine'}, 'train: losses: the name mine is taken: give another one'),
        (
            {'type': 'FFTLoss', 'name': 'a b'},
            r"train.losses.1.name: String should match pattern '^\w+$', but it is 'a b'",
        ),
        ({'typ': 'FFTLoss'}, 'train.losses.1.type: Field required'),
        ({'type': 3}, 'train.losses.1.type: Input should be a valid string, but it is 3'),
        (
            {'type': 'FFTLoss', 'loss_weight': 0.0},
            'train.losses.1: a term with loss_weight 0 has no effect: take it out.',
        ),
        (
            {'type': 'FFTLoss', 'loss_weight': '5e-2'},
            "train.losses.1.loss_weight must be a number, but it is '5e-2', text to YAML: write !!float 5e-2 without "
            'quotes.',
        ),
    ],
)
def test_entries_that_cannot_be(option_file, block, said):
    opt = parse_file(option_file(train={'losses': [{'type': 'L1Loss', 'name': 'mine'}, block]}))
    with pytest.raises(MclirError) as error:
        read_options(opt)
    assert str(error.value).split('\n  ')[1:] == [said]
