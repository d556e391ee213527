"""An option file of each kind of model of BasicSR: converted, examined, trained, validated, broken off, resumed."""

import sys
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from mclir_basicsr.models.history_model import HistoryModel

ROOT = Path(__file__).parents[2]
KERNELS = {'blur_kernel_size': 21, 'kernel_list': ['iso'], 'kernel_prob': [1], 'sinc_prob': 0.1, 'blur_sigma': [0.2, 3]}
KERNELS |= {'betag_range': [0.5, 4], 'betap_range': [1, 2]}
PAIRS = {'type': 'PairedImageDataset', 'dataroot_lq': ''}
FRAMES = {'dataroot_lq': '', 'num_frame': 5, 'interval_list': [1], 'random_reverse': False, 'val_partition': 'REDS4'}
FRAMES |= {'meta_info_file': '', 'test_mode': False}
# By class: the data set to train on, and that to validate on.
SETS = {
    'RealESRGANModel': (
        {'type': 'RealESRGANDataset', 'meta_info': '', 'final_sinc_prob': 0.8, **KERNELS}
        | {f'{key}2': value for key, value in KERNELS.items() if not key.startswith('beta')}
        | {'betag_range2': [0.5, 4], 'betap_range2': [1, 2]},
        PAIRS,
    ),
    'ESRGANModel': (PAIRS, PAIRS),
    'EDVRModel': (
        {'type': 'REDSDataset', 'dataroot_flow': None} | FRAMES,
        {'type': 'VideoTestDataset', 'dataroot_lq': '', 'cache_data': False, 'num_frame': 5, 'padding': 'replicate'},
    ),
    'VideoRecurrentGANModel': (
        {'type': 'REDSRecurrentDataset'} | FRAMES,
        {'type': 'VideoRecurrentTestDataset', 'dataroot_lq': '', 'cache_data': True, 'num_frame': -1},
    ),
}


def option_file(base, of_base, of_train):
    """The text of an option file of a class, of the form that BasicSR's have."""
    train, val = (deepcopy(each) for each in SETS[base])
    train |= {'name': 'train', 'io_backend': {'type': 'disk'}, 'use_hflip': True, 'use_rot': False}
    val |= {'name': 'REDS4', 'io_backend': {'type': 'disk'}}
    opt = {
        'name': 'tiny', 'model_type': base, 'scale': 4, 'num_gpu': 0, 'manual_seed': 0,
        'datasets': {'train': train, 'val': val},
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': {
            'ema_decay': 0.9, 'total_iter': 400000, 'warmup_iter': -1,
            'optim_g': {'type': 'Adam', 'lr': 1e-3},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [2], 'gamma': 0.5},
            'pixel_opt': {'type': 'L1Loss', 'loss_weight': 1.0},
        } | deepcopy(of_train),
        'val': {'val_freq': 1000, 'save_img': False, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 1000, 'use_tb_logger': False},
    } | deepcopy(of_base)  # fmt: skip
    return yaml.safe_dump(opt, sort_keys=False)


@pytest.fixture
def bench(monkeypatch):
    """The functions of benchmarks/option_files.py, and the options of the tiny runs."""
    monkeypatch.syspath_prepend(ROOT / 'benchmarks')
    monkeypatch.syspath_prepend(ROOT / 'tests' / 'models')
    monkeypatch.setattr(sys, 'argv', ['mclir'])
    import base_cases
    import option_files

    return option_files, base_cases.CASES


class BrokenOffError(Exception):
    """What stands for a kill in the process of the test."""


@pytest.mark.parametrize('base', SETS)
def test_its_file_is_retrained_and_resumed(base, bench, tmp_path, monkeypatch):
    files, cases = bench
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in.yml').write_text(option_file(base, *cases[base][1:]))
    assert files.command(tmp_path, 'enable', 'in.yml', '-o', 'spn.yml', '--vgg-weights', 'oxford') == 0
    files.shrink(tmp_path, 3)
    assert files.command(tmp_path, 'check', '-opt', 'small.yml') == 0
    train = ('train', '-opt', str(tmp_path / 'small.yml'), '--fast')
    assert files.command(tmp_path, *train) == 0
    run, again = (tmp_path / place / 'experiments' / 'small' for place in ('.', 'again'))
    assert files.validated(run, 3) == 0

    (tmp_path / 'again').mkdir()
    begin = HistoryModel.update_learning_rate

    def break_off(model, current_iter, warmup_iter=-1):
        if current_iter == 3:
            raise BrokenOffError
        begin(model, current_iter, warmup_iter)

    with monkeypatch.context() as patch, pytest.raises(BrokenOffError):
        patch.setattr(HistoryModel, 'update_learning_rate', break_off)
        files.command(tmp_path / 'again', *train)
    assert not (again / 'training_states' / '3.state').exists()
    assert files.command(tmp_path / 'again', *train, '--auto_resume') == 0
    assert files.compare(run, again, 3) == 0
    state = files.ends(run, 3)['3.state']
    assert len(state['optimizers']) == (2 if 'GAN' in base else 1)
