"""mclir check: each fault of an option file with its place, all in one message."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from conftest import EDSR
from PIL import Image

from mclir_basicsr.check.preflight import check, check_test
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file


@pytest.fixture
def faults(option_file, tmp_path):
    """Faults of the tiny run's option file after a change to it."""

    def of(change=lambda opt: None, **blocks):
        opt = parse_file(option_file(**blocks))
        change(opt)
        with pytest.raises(MclirError) as error:
            check(opt, tmp_path)
        return str(error.value)

    return of


def test_a_sound_file(option_file, tmp_path):
    torch.save({'params': build_network(dict(EDSR)).state_dict()}, tmp_path / 'net.pth')
    opt = parse_file(option_file(path={'pretrain_network_g': str(tmp_path / 'net.pth')}))
    notes = '\n'.join(check(opt, tmp_path))
    assert 'network_g: EDSR, 0.00 M parameters.' in notes
    assert 'net.pth fits.' in notes
    assert 'datasets.train: 1 pairs.' in notes
    assert 'param_key_g' not in notes
    assert not (tmp_path / 'experiments').exists()


def test_the_averaged_weights_that_are_taken_are_told(option_file, tmp_path):
    weights = build_network(dict(EDSR)).state_dict()
    torch.save({'params': weights, 'params_ema': weights}, tmp_path / 'net.pth')
    opt = parse_file(option_file(path={'pretrain_network_g': str(tmp_path / 'net.pth')}))
    assert 'path.param_key_g is not given: the averaged weights (EMA)' in '\n'.join(check(opt, tmp_path, fast=True))
    opt['path']['param_key_g'] = 'params_ema'
    assert 'param_key_g' not in '\n'.join(check(opt, tmp_path, fast=True))


def test_all_faults_come_in_one_message(faults, tmp_path):
    def spoil(opt):
        opt['train']['spn_opt']['wieghts'] = 'random'
        opt['train']['pixel_opt']['type'] = 'L1Los'
        opt['val']['metrics']['psnr']['type'] = 'calculate_pnsr'
        opt['network_g']['num_faet'] = 8
        opt['datasets']['val']['dataroot_lq'] = str(tmp_path / 'gone')

    message = faults(spoil)
    for part in (
        'train.spn_opt.wieghts: unknown key; did you mean weights?',
        'did you mean L1Loss',
        'did you mean calculate_psnr',
        "network_g: EDSR cannot be built: .*'num_faet'",
        f'datasets.val.dataroot_lq: there is no {tmp_path / "gone"}.',
    ):
        assert re.search(part, message), (part, message)
    assert message.count('\n  ') == 5


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda opt: opt.pop('logger'), 'it has no logger'),
        (lambda opt: opt.update(model_type='HistroyModel'), 'model_type: .*did you mean HistoryModel'),
        (lambda opt: opt['datasets']['train'].update(type='PairdImageDataset'), 'datasets.train: .*PairedImageDataset'),
        (lambda opt: opt['path'].update(pretrain_network_g='gone.pth'), 'path.pretrain_network_g: there is no file'),
        (lambda opt: opt['path'].update(resume_state='gone.state'), 'path.resume_state: there is no file'),
        (lambda opt: opt['datasets']['train'].update(gt_size=64), 'is 32x32 .* smaller than gt_size 64'),
        (lambda opt: opt['datasets']['train'].pop('io_backend'), "datasets.train: 'io_backend' is missing"),
        (lambda opt: opt['path'].update(experiments_root='runs'), 'path.experiments_root cannot act: .*--root DIR'),
        (lambda opt: opt['path'].update(results_root='runs'), 'path.results_root cannot act'),
        (lambda opt: opt.update(scale=4), 'so that scale 4 needs 64x64'),
    ],
)  # fmt: skip
def test_single_faults(faults, change, message):
    assert re.search(message, faults(change))


@pytest.mark.parametrize(
    ('block', 'message'),
    [
        ({'type': 'FTTLoss'}, r'train\.losses\.1: There is no loss .*did you mean FFTLoss'),
        ({'type': 'FFTLoss', 'weight': 1}, r'train\.losses\.1: FFTLoss takes no weight .*are loss_weight, reduction\.'),
        ({'type': 'LPIPSLoss', 'net': 'resnet'}, r'train\.losses\.1: net of LPIPSLoss must be one of alex'),
        ({'type': 'FFTLoss', 'loss_weight': '1e-3'}, r'train\.losses\.1\.loss_weight must be a number'),
        ({'type': 'FFTLoss', 'loss_weight': 0}, r'train\.losses\.1: a term with loss_weight 0 has no effect'),
        ({'type': 'GANLoss', 'gan_type': 'lsgan'}, r'train\.losses\.1: GANLoss judges a discriminator'),
        ('FFTLoss', r'train\.losses\.1: Input should be a valid dictionary'),
    ],
)
def test_terms_that_cannot_be(faults, block, message):
    said = faults(lambda opt: opt['train'].update(losses=[{'type': 'FFTLoss'}, block]))
    assert re.search(message, said)
    assert said.count('\n  ') == 1


def test_a_term_alone_is_no_reconstruction(faults):
    said = faults(lambda opt: opt['train'].update(pixel_opt=None, losses=[{'type': 'FFTLoss'}]))
    assert 'train.losses.0 stands beside pixel_opt or perceptual_opt, but train has neither' in said


def test_option_files_of_forks_with_further_losses(option_file, tmp_path):
    """As NAFNet, SAFMN and FFTformer write theirs."""
    opt = parse_file(option_file())
    opt['train']['pixel_opt'] = {'type': 'PSNRLoss', 'loss_weight': 1, 'reduction': 'mean', 'toY': False}
    for key in ('fft_opt', 'fft_loss_opt'):
        opt['train'][key] = {'type': 'FFTLoss', 'loss_weight': 0.05, 'reduction': 'mean'}
    assert any('a training batch of' in note for note in check(opt, tmp_path))


def test_a_checkpoint_of_another_network(faults, tmp_path):
    torch.save({'params': build_network(EDSR | {'num_feat': 4}).state_dict()}, tmp_path / 'net.pth')
    message = faults(path={'pretrain_network_g': str(tmp_path / 'net.pth')})
    assert 'net.pth does not fit network_g: of another shape: conv_first.weight ([4, 3, 3, 3] instead of' in message


def test_without_strict_a_checkpoint_of_which_no_key_fits_is_a_fault(faults, tmp_path):
    torch.save({'params': {'other.weight': torch.zeros(2)}}, tmp_path / 'net.pth')
    message = faults(path={'pretrain_network_g': str(tmp_path / 'net.pth'), 'strict_load_g': False})
    assert 'net.pth does not fit network_g in any key' in message


@pytest.mark.parametrize('model_type', ['HistoryModel', 'SRModel'])
def test_unread_keys_and_text_are_faults_whatever_the_model(faults, model_type):
    def spoil(opt):
        opt['path']['pretrain_network_G'] = 'net.pth'
        opt['val']['metrics']['psnr']['crop_border'] = '2e0'
        opt['datasets']['train']['use_hflip'] = 'false'

    message = faults(spoil, model_type=model_type)
    assert 'path.pretrain_network_G: unknown key; did you mean pretrain_network_g?' in message
    assert 'val.metrics.psnr.crop_border must be a number, but it is' in message
    assert 'datasets.train.use_hflip must be true or false' in message


def test_a_test_with_a_misspelt_path_is_refused(option_file, tmp_path):
    """It would measure a network with random weights."""
    opt = parse_file(option_file())
    del opt['train']
    opt['path'] = {'pretrain_model_g': 'net.pth'}
    with pytest.raises(MclirError, match=r'path\.pretrain_model_g: unknown key; did you mean pretrain_network_g'):
        check_test(opt, tmp_path)


def test_counts_that_differ_and_files_that_are_no_images(faults, write_pairs, tmp_path):
    gt, lq = write_pairs(7)
    (gt / '003.png').write_text('no image')
    for i in (4, 5):
        cv2.imwrite(str(lq / f'{i:03d}.png'), np.zeros((9, 9, 3), np.uint8))
    message = faults()
    assert f'datasets.train: {gt / "003.png"} is no image that can be read' in message
    assert f'{gt / "004.png"} is 32x32 (height x width), but {lq / "004.png"} is 9x9' in message
    (lq / '000.png').unlink()
    assert 'datasets.train: lq and gt datasets have different number of images: 6, 7' in faults()


def test_of_many_pairs_a_sample_is_compared(option_file, write_pairs, monkeypatch, tmp_path):
    """Eight pairs of which three may be looked at: every third."""
    opened = []
    monkeypatch.setattr('mclir_basicsr.check.pairs.MOST', 3)
    monkeypatch.setattr('PIL.Image.open', lambda path, open_=Image.open: opened.append(path) or open_(path))
    write_pairs(8)
    opt = parse_file(option_file())
    del opt['datasets']['val']
    notes = check(opt, tmp_path)
    assert 'datasets.train: 8 pairs. The sizes of 3 of them, evenly spread, were compared.' in notes
    assert sorted(Path(path).stem for path in opened) == ['000', '000', '003', '003', '006', '006']


def test_the_home_folder_is_known_in_pairs_file(option_file, monkeypatch, tmp_path):
    (tmp_path / 'pairs.txt').write_text('000 000\n')
    monkeypatch.setenv('HOME', str(tmp_path))
    opt = parse_file(option_file())
    opt['datasets']['train'] |= {'type': 'PairsFileDataset', 'pairs_file': '~/pairs.txt'}
    assert 'datasets.train: 1 pairs.' in check(opt, tmp_path)


def test_a_network_whose_scale_cannot_be_told_is_left_alone(option_file, monkeypatch, tmp_path):
    """One that computes with values cannot run without them."""
    opt = parse_file(option_file())
    opt['network_g']['upscale'] = 3
    monkeypatch.setattr('basicsr.archs.edsr_arch.EDSR.forward', lambda self, x: x if x.sum() > 0 else -x)
    assert 'datasets.train: 1 pairs.' in check(opt, tmp_path, fast=True)


def test_a_class_of_the_user_that_raises_is_one_fault(faults, monkeypatch):
    monkeypatch.setattr('basicsr.models.sr_model.SRModel.setup_schedulers', lambda self: 1 / 0)
    message = faults(lambda opt: opt['network_g'].update(num_feat=-3))
    assert '\n  train cannot be used: ZeroDivisionError: division by zero' in message
    assert '\n  network_g: EDSR cannot be built: ' in message


def test_fast_makes_losses_without_a_download(option_file, monkeypatch, tmp_path):
    monkeypatch.setattr('torch.hub.load_state_dict_from_url', lambda *_, **__: pytest.fail('it downloads'))
    opt = parse_file(option_file())
    opt['train']['perceptual_opt'] = {'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 1}}
    opt['train']['losses'] = [dict(opt['train']['perceptual_opt']), {'type': 'LPIPSLoss'}, {'type': 'DISTSLoss'}]
    check(opt, tmp_path, fast=True)


def test_an_experiments_folder_that_cannot_be_made(faults, tmp_path):
    (tmp_path / 'experiments').write_text('a file')
    assert f'{tmp_path / "experiments" / "tiny"} cannot be written' in faults()
