"""Validation of video: figures of each frame, by sequences."""

import json

import cv2
import numpy as np
import pytest
import torch
from base_cases import CASES, SPN
from basicsr.data import build_dataloader, build_dataset
from basicsr.metrics import calculate_psnr
from basicsr.models import build_model
from basicsr.utils import tensor2img


@pytest.fixture
def clips(tmp_path):
    """Write two clips of different lengths as BasicSR's video data sets find them."""
    random = np.random.default_rng(0)
    for clip, count in (('000', 6), ('001', 5)):
        for part, side in (('lq', 8), ('gt', 32)):
            folder = tmp_path / part / clip
            folder.mkdir(parents=True)
            for i in range(count):
                image = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / f'{i:08d}.png'), image)
    return {'dataroot_gt': str(tmp_path / 'gt'), 'dataroot_lq': str(tmp_path / 'lq'), 'io_backend': {'type': 'disk'}}


def data_set(base, clips):
    if 'Recurrent' in base:
        return {'type': 'VideoRecurrentTestDataset', 'cache_data': True, 'num_frame': -1} | clips
    kind = {'type': 'VideoTestDataset', 'cache_data': False, 'num_frame': 5, 'padding': 'reflection_circle'}
    return kind | clips


@pytest.mark.parametrize(('base', 'flip'), [('EDVRModel', False), ('VideoRecurrentModel', True)])
def test_figures_are_those_of_each_frame_and_the_mean_of_sequences(options, clips, tmp_path, base, flip):
    _, blocks, train = CASES[base]
    val = {'save_img': True, 'val_freq': 1, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}}
    val |= {'flip_seq': True} if flip else {}
    folders = {name: str(tmp_path / name) for name in ('models', 'training_states', 'visualization')}
    options_of_set = {'name': 'reds4', 'phase': 'val', 'scale': 4} | data_set(base, clips)
    opt = options(base_model=base, scale=4, train=train | SPN, val=val, datasets={'val': options_of_set}, **blocks)
    opt['path'] = folders | {'experiments_root': str(tmp_path)}
    opt['train']['total_iter'] = 9
    model = build_model(opt)
    model.feed_data(CASES[base][0](1))
    model.optimize_parameters(1)
    was_training = model.net_g.training
    loader = build_dataloader(build_dataset(options_of_set), options_of_set, num_gpu=0, dist=False)
    model.validation(loader, 1, None, save_img=True)
    assert model.net_g.training == was_training is True
    assert model.net_g_ema.training is False

    lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    found = {line['image']: line['metrics']['psnr'] for line in lines}
    assert list(found) == [f'000/{i:08d}' for i in range(6)] + [f'001/{i:08d}' for i in range(5)]
    of_clips = [np.mean([value for name, value in found.items() if name.startswith(clip)]) for clip in ('000', '001')]
    assert model.metric_results['psnr'] == pytest.approx(np.mean(of_clips))
    assert len(list((tmp_path / 'visualization').rglob('*_1.png'))) == 11
    if base == 'VideoRecurrentModel':
        item = build_dataset(options_of_set)[0]
        with torch.no_grad():
            both = model.net_g_ema(torch.cat([item['lq'], item['lq'].flip(0)])[None])[0]
        restored = (both[:6] + both[6:].flip(0)) / 2
        image, gt = tensor2img([restored[2]]), tensor2img([item['gt'][2]])
        assert found['000/00000002'] == pytest.approx(calculate_psnr(image, gt, crop_border=0))


def test_a_center_frame_is_one_figure_of_a_sequence(options, clips):
    _, blocks, train = CASES['VideoRecurrentModel']
    metrics = {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}
    val = {'save_img': False, 'val_freq': 1, 'metrics': metrics, 'center_frame_only': True}
    model = build_model(options(base_model='VideoRecurrentModel', scale=4, train=train, val=val, **blocks))
    lq, gt = torch.rand(1, 7, 3, 8, 8), torch.rand(1, 3, 32, 32)
    data = {'lq': lq, 'gt': gt, 'folder': ['vimeo90k'], 'lq_path': ['/x/00001/0266/im4.png'], 'idx': ['0/1']}
    (((name, values),),) = model._validate_images([data], {'name': 'vimeo'}, 1, save_img=False)
    assert name == 'vimeo90k/im4'
    assert values['psnr'] > 0


@pytest.mark.parametrize('saved', [False, True])
def test_a_test_run_saves_frames_where_basicsr_does(options, clips, tmp_path, saved):
    blocks = CASES['VideoRecurrentModel'][1]
    options_of_set = {'name': 'reds4', 'phase': 'val', 'scale': 4} | data_set('VideoRecurrentModel', clips)
    opt = options(base_model='VideoRecurrentModel', scale=4, is_train=False, **blocks)
    opt['val'] = {'metrics': None, 'suffix': 'x', 'save_img': saved}
    opt['path'] = {'visualization': str(tmp_path / 'visualization')}
    loader = build_dataloader(build_dataset(options_of_set), options_of_set, num_gpu=0, dist=False)
    build_model(opt).validation(loader, 'tiny', None, save_img=saved)
    made = sorted(str(file.relative_to(tmp_path)) for file in (tmp_path / 'visualization').rglob('*.png'))
    assert len(made) == 11 * saved
    assert not saved or made[0] == 'visualization/reds4/000/00000000_x.png'
