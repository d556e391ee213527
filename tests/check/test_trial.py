"""check tries the real thing: what shows only when a batch and an image go through the model. Nothing stays behind."""

import logging
import math
import random
import re
import signal
import warnings
import weakref

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import edsr_arch
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY
from conftest import EDSR

from mclir_basicsr.check.preflight import check
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import parse_file


@pytest.fixture
def sound(option_file):
    """The option file of the tiny run, parsed."""
    return lambda **blocks: parse_file(option_file(**blocks))


def fault(opt, folder):
    """The only fault that check finds."""
    assert check(opt, folder, fast=True)  # without the trial there is none
    with pytest.raises(MclirError) as error:
        check(opt, folder)
    (line,) = str(error.value).split('\n  ')[1:]
    return line


def network(monkeypatch, name, forward):
    """Register an EDSR with another forward pass."""
    monkeypatch.setitem(ARCH_REGISTRY._obj_map, name, type(name, (edsr_arch.EDSR,), {'forward': forward}))
    return EDSR | {'type': name}


def metric(monkeypatch, name, value):
    monkeypatch.setitem(METRIC_REGISTRY._obj_map, name, value)
    return {'type': name}


def test_a_sound_file_is_tried(sound, tmp_path):
    notes = check(sound(), tmp_path)
    assert re.fullmatch(
        r'Tried on the .PU, in [\d.]+ s: a training batch of lq 1x3x16x16 and gt 1x3x32x32, 000.png of datasets.val\.',
        notes[-1],
    )


@pytest.mark.parametrize('model_type', ['HistoryModel', 'SRModel', 'SwinIRModel'])
def test_wrong_channels(model_type, sound, tmp_path):
    opt = sound(model_type=model_type, network_g=EDSR | {'num_in_ch': 1})
    line = fault(opt, tmp_path)
    assert line.startswith('network_g: EDSR cannot take lq of datasets.train, 1x3x16x16')
    assert line.endswith('Correct network_g or datasets.train.')


def test_outputs_of_too_few_channels(monkeypatch, sound, tmp_path):
    """L1Loss would broadcast them and train."""
    opt = sound(network_g=network(monkeypatch, 'Grey', lambda self, x: edsr_arch.EDSR.forward(self, x)[:, :1]))
    line = fault(opt, tmp_path)
    assert 'Grey makes 1x1x32x32 of lq of datasets.train, 1x3x16x16, but gt is 1x3x32x32: correct' in line


def test_color_y_with_three_channels(sound, tmp_path):
    opt = sound()
    opt['datasets']['train']['color'] = 'y'  # EDSR adds the means of three channels to it
    line = fault(opt, tmp_path)
    assert 'EDSR makes 1x3x32x32 of lq of datasets.train, 1x1x16x16 (color: y), but gt is 1x1x32x32' in line


def test_color_y_only_in_a_val_set(sound, tmp_path):
    opt = sound()
    opt['datasets']['val']['color'] = 'y'
    line = fault(opt, tmp_path)
    assert line.startswith('val.metrics.psnr (calculate_psnr) fails on ')
    assert '000.png of the data set held-out' in line
    assert 'Image shapes are different: (32, 32, 3), (32, 32)' in line


def test_a_val_set_that_the_network_cannot_take(monkeypatch, sound, tmp_path):
    def forward(self, x):
        if not self.training:
            raise ValueError('not so')
        return edsr_arch.EDSR.forward(self, x)

    plain = {'spn_opt': None, 'history': None}
    line = fault(sound(network_g=network(monkeypatch, 'Training', forward), train=plain), tmp_path)
    assert line == '000.png of datasets.val (1x3x16x16) cannot be restored and measured: ValueError: not so.'


@pytest.mark.parametrize('kind', [list, tuple])
def test_list_or_tuple_outputs(kind, monkeypatch, sound, tmp_path):
    opt = sound(network_g=network(monkeypatch, 'Pair', lambda self, x: kind([edsr_arch.EDSR.forward(self, x)] * 2)))
    said = fault(opt, tmp_path)
    assert f'network_g: Pair makes a {kind.__name__} of 1x3x32x32 and 1x3x32x32 of lq' in said
    assert 'name it by the key output of a HistoryModel: its place in the list (-1 for the last) or its key' in said
    assert 'Tried on the' in check(opt | {'output': -1}, tmp_path)[-1]


def test_a_network_of_another_scale_that_cannot_be_told_without_values(monkeypatch, sound, tmp_path):
    opt = sound(network_g=network(monkeypatch, 'Same', lambda self, x: x if x.sum() > 0 else -x))
    assert 'Same makes 1x3x16x16 of lq of datasets.train, 1x3x16x16, but gt is 1x3x32x32' in fault(opt, tmp_path)


def test_real_esrgan_data_without_lq(sound, tmp_path):
    opt = sound()
    kernels = {f'{key}{n}': value for n in ('', '2') for key, value in (
        ('blur_kernel_size', 21), ('kernel_list', ['iso']), ('kernel_prob', [1]), ('blur_sigma', [0.2, 3]),
        ('betag_range', [0.5, 4]), ('betap_range', [1, 2]), ('sinc_prob', 0.1),
    )}  # fmt: skip
    (tmp_path / 'meta.txt').write_text('000.png\n')
    opt['datasets']['train'] |= kernels | {
        'type': 'RealESRGANDataset', 'meta_info': str(tmp_path / 'meta.txt'), 'final_sinc_prob': 0.8,
    }  # fmt: skip
    line = fault(opt, tmp_path)
    assert line.startswith(
        'datasets.train: RealESRGANDataset gives gt, kernel1, kernel2, sinc_kernel, gt_path, but no lq'
    )


@pytest.mark.parametrize('term', ['spn_opt', 'perceptual_opt'])
def test_missing_vgg_weights_and_no_network(term, monkeypatch, sound, tmp_path):
    def no_network(*_, **__):
        raise OSError('no network')

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr('torch.hub.download_url_to_file', no_network)
    block = {
        'spn_opt': {'weights': 'imagenet'},
        'perceptual_opt': {'type': 'PerceptualLoss', 'layer_weights': {'x': 1}},
    }
    block['perceptual_opt']['layer_weights'] = {'conv5_4': 1}
    line = fault(sound(train={term: block[term]}), tmp_path)
    assert {'spn_opt': 'vgg16-397923af.pth', 'perceptual_opt': 'vgg19-dcbb9e9d.pth'}[term] in line
    assert 'no network' in line
    assert not (tmp_path / 'experiments').exists()


def test_a_loss_that_fails_is_named(monkeypatch, sound, tmp_path):
    monkeypatch.setattr('basicsr.losses.basic_loss.L1Loss.forward', lambda self, x, y: x @ y.flatten())
    line = fault(sound(), tmp_path)
    assert line.startswith(
        'A training step of HistoryModel on lq 1x3x16x16 and gt 1x3x32x32 fails in train.pixel_opt, L1'
    )


def test_a_further_loss_that_fails_is_named(monkeypatch, sound, tmp_path):
    class OddLoss(torch.nn.Module):
        def forward(self, output, gt):
            return output @ gt.flatten()

    monkeypatch.setitem(LOSS_REGISTRY._obj_map, 'OddLoss', OddLoss)
    losses = [{'type': 'FFTLoss'}, {'type': 'OddLoss'}]
    assert ' fails in train.losses.1, OddLoss: ' in fault(sound(train={'losses': losses}), tmp_path)
    OddLoss.forward = lambda self, output, gt: (output - gt).abs()
    assert fault(sound(train={'losses': losses}), tmp_path).startswith(
        'train.losses.1: OddLoss gives a tensor of shape (1, 3, 32, 32), but a term is one number'
    )


def test_the_spn_term_is_tried_before_its_start(monkeypatch, sound, tmp_path):
    monkeypatch.setattr('mclir_basicsr.losses.SPNLoss.forward', lambda self, output, negatives: 1 / 0)
    opt = sound(train={'history': {'interval': [1], 'start_iter': 1000}, 'accumulate': 4},
                logger={'print_freq': 1, 'save_checkpoint_freq': 4, 'use_tb_logger': False})  # fmt: skip
    assert 'fails: ZeroDivisionError: division by zero.' in fault(opt, tmp_path)


def test_the_contrast_term_is_tried(monkeypatch, sound, tmp_path):
    """With negatives of a checkpoint: sound, of another scale, and a loss that fails."""
    file = tmp_path / 'negative.pth'
    contrast = {'type': 'CCRLoss', 'negatives': [str(file)], 'weights': 'random', 'layer_weights': {'relu1_1': 1.0}}
    opt = sound(train={'contrast_opt': contrast})
    torch.save({'params': edsr_arch.EDSR(3, 3, 8, 1, upscale=4).state_dict()}, file)
    assert 'negative.pth is a network of scale 4, but scale is 2' in fault(opt, tmp_path)
    torch.save({'params': edsr_arch.EDSR(3, 3, 8, 1, upscale=2).state_dict()}, file)
    assert 'a training batch of lq 1x3x16x16' in check(opt, tmp_path)[-1]
    monkeypatch.setattr('mclir_basicsr.losses.CCRLoss.forward', lambda self, *images: 1 / 0)
    assert 'fails: ZeroDivisionError: division by zero.' in fault(opt, tmp_path)


@pytest.mark.parametrize('model_type', ['HistoryModel', 'SRModel'])
@pytest.mark.parametrize(
    ('value', 'said'),
    [
        (
            lambda img, img2: img + img2[:, :-1],
            r'val\.metrics\.odd \(odd\) fails on .*000\.png.* 32x32.*operands',
        ),
        (lambda img, img2: float('nan'), r'val\.metrics\.odd is nan on 000\.png of datasets\.val\. Correct it'),
        (lambda img, img2: 'good', r'val\.metrics\.odd is good on 000\.png of datasets\.val\. Correct it'),
    ],
)
def test_a_metric_that_fails_at_the_first_validation(model_type, value, said, monkeypatch, sound, tmp_path):
    opt = sound(model_type=model_type)
    opt['val']['metrics']['odd'] = metric(monkeypatch, 'odd', value)
    assert re.match(said, fault(opt, tmp_path))


def test_every_val_set_is_tried(monkeypatch, sound, tmp_path):
    monkeypatch.setattr('mclir_basicsr.check.trial._SECONDS', math.inf)
    opt = sound()
    val = opt['datasets']['val']
    opt['datasets'] |= {'val_2': val | {'name': 'other', 'color': 'y'}, 'val_3': val | {'name': 'more'}}
    assert 'of the data set other' in fault(opt, tmp_path)
    del opt['datasets']['val_2']['color']
    tried = ', '.join(f'000.png of datasets.{phase}' for phase in ('val', 'val_2', 'val_3'))
    assert check(opt, tmp_path)[-1].endswith(f'{tried}.')


def test_no_further_val_set_is_begun_once_the_time_is_over(monkeypatch, sound, tmp_path):
    monkeypatch.setattr('mclir_basicsr.check.trial._SECONDS', -1)
    opt = sound()
    opt['datasets']['val_2'] = opt['datasets']['val'] | {'name': 'other'}
    assert check(opt, tmp_path)[-1].endswith(', 000.png of datasets.val, not datasets.val_2, for want of time.')


def test_a_large_image_is_cut(monkeypatch, sound, write_pairs, tmp_path):
    """To 64 lq pixels, or to what a metric needs."""
    write_pairs(1, side=1024)
    seen = []
    opt = sound()
    look = metric(monkeypatch, 'look', lambda img, img2: seen.append((img.shape, img2.shape)) or 1)
    opt['val']['metrics']['look'] = look
    check(opt, tmp_path)
    opt['val']['metrics'] |= {'niqe': {'type': 'calculate_niqe', 'crop_border': 100}}
    check(opt, tmp_path)
    assert seen == [((128, 128, 3), (128, 128, 3)), ((512, 512, 3), (512, 512, 3))]


def test_at_most_two_samples_of_a_batch(monkeypatch, sound, write_pairs, tmp_path):
    """On a CPU one, cut to 64 lq pixels; the two as they are for a network that cannot do with less."""

    def forward(self, x):
        if x.shape[0] == 1 or x.shape[2] < 80:
            raise ValueError('too small')
        return edsr_arch.EDSR.forward(self, x)

    write_pairs(1, side=200)
    plain = {'spn_opt': None, 'history': None}
    opt = sound(train=plain, num_gpu=0)
    opt['datasets']['train'] |= {'batch_size_per_gpu': 64, 'gt_size': 160}
    assert 'a training batch of lq 1x3x64x64 and gt 1x3x128x128' in check(opt, tmp_path)[-1]
    opt['network_g'] = network(monkeypatch, 'Large', forward)
    opt['datasets'] = {'train': opt['datasets']['train']}
    assert 'a training batch of lq 2x3x80x80 and gt 2x3x160x160' in check(opt, tmp_path)[-1]


def test_samples_that_make_no_batch(sound, write_pairs, tmp_path, monkeypatch):
    gt, lq = write_pairs(2)
    for folder, side in ((gt, 36), (lq, 18)):
        cv2.imwrite(str(folder / '001.png'), np.zeros((side, side, 3), np.uint8))
    monkeypatch.setattr('basicsr.data.paired_image_dataset.paired_random_crop', lambda gt, lq, *_: (gt, lq))
    opt = sound()
    opt['datasets']['train']['batch_size_per_gpu'] = 2
    assert fault(opt, tmp_path).startswith('datasets.train: no batch can be made of its samples: ')


def handlers():
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]


def generators():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize('is_sound', [True, False])
def test_nothing_is_left_behind(is_sound, capfd, monkeypatch, sound, tmp_path):
    """No file, no logger, no signal handler, no model; the generators as they were; also where it fails."""
    opt = sound(train={'keep': {'best': 'psnr', 'last': 1}})
    opt['val'] |= {'save_img': True, 'pbar': True, 'at_start': True}
    if not is_sound:
        opt['val']['metrics']['odd'] = metric(monkeypatch, 'odd', lambda img, img2: 1 / 0)
    make, made = edsr_arch.EDSR.__init__, weakref.WeakSet()
    monkeypatch.setattr(edsr_arch.EDSR, '__init__', lambda self, **given: (made.add(self), make(self, **given))[-1])
    logger = logging.getLogger('basicsr')
    before = generators(), handlers(), list(logger.handlers), logger.disabled, warnings.filters[:]
    files = sorted(tmp_path.rglob('*'))
    copy = repr(opt)
    try:
        check(opt, tmp_path)
    except MclirError:
        assert not is_sound
    assert (generators(), handlers(), list(logger.handlers), logger.disabled, warnings.filters[:]) == before
    assert sorted(tmp_path.rglob('*')) == files
    assert repr(opt) == copy
    assert capfd.readouterr().err == ''
    assert list(made) == []


def test_batch_norm_is_tried_with_two_samples(monkeypatch, sound, write_pairs, tmp_path):
    """One value per channel is an error to torch."""

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        if self.training:
            mean = torch.nn.functional.batch_norm(mean, None, None, training=True)
        return edsr_arch.EDSR.forward(self, x) + mean

    write_pairs(2)
    opt = sound(network_g=network(monkeypatch, 'Normed', forward), train={'spn_opt': None, 'history': None})
    assert 'Expected more than 1 value per channel' in fault(opt, tmp_path)
    opt['datasets']['train']['batch_size_per_gpu'] = 4
    assert 'a training batch of lq 2x3x16x16' in check(opt, tmp_path)[-1]


def test_a_model_for_a_gpu_is_not_tried_where_the_run_is_elsewhere(monkeypatch, sound, tmp_path):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)

    def needs_gpu(self, current_iter):
        raise RuntimeError('Found no NVIDIA driver on your system')

    monkeypatch.setattr('mclir_basicsr.models.history_model.HistoryModel.optimize_parameters', needs_gpu)
    assert 'Not tried: HistoryModel needs a GPU' in check(sound(), tmp_path)[-1]
    for opt, here in ((sound(), True), (sound(num_gpu=0), False)):
        with pytest.raises(MclirError, match='Found no NVIDIA driver'):
            check(opt, tmp_path, here=here)
