"""Shared fixtures. The plugin is registered once, as the start-up hook does it."""

import os

os.environ['OMP_NUM_THREADS'] = '1'  # two tests run at a time, and on a busy machine threads wait for one another

import gc
import json
import subprocess
from copy import deepcopy
from pathlib import Path

import cv2
import hypothesis
import numpy as np
import pytest
import torch
import torchvision
import yaml
from commands_by_fork import Server
from recipe import fill_

import mclir_basicsr

mclir_basicsr.register()
gc.freeze()  # `check` collects garbage after each trial: without this, among the modules of torch each time
hypothesis.settings.register_profile('any_machine', deadline=None)
hypothesis.settings.load_profile('any_machine')

# They start processes one after the other: begun last, they would leave the other worker without work.
LONGEST = ['test_study', 'test_installation', 'test_demo', 'test_resume', 'test_cli', 'test_benchmarks', 'test_import']

DATA = Path(__file__).parent / 'golden'

# What the tiny runs of both fixtures below share.
EDSR = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 2}
VAL = {'val_freq': 100, 'save_img': False, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 2}}}
LOGGER = {'print_freq': 1, 'save_checkpoint_freq': 100, 'use_tb_logger': False}


def golden(name):
    """Arrays of a golden file and its settings."""
    arrays = np.load(DATA / f'{name}.npz')
    return arrays, json.loads(str(arrays['meta']))


@pytest.fixture(scope='session')
def vgg_file(tmp_path_factory):
    """Make a torchvision state dict of a vgg with the weights that the golden files were made with."""
    folder = tmp_path_factory.mktemp('vgg')

    def make(vgg_type):
        file = folder / f'{vgg_type}.pth'
        if not file.exists():
            with torch.device('meta'):
                net = torchvision.models.get_model(vgg_type, weights=None)
            features = torch.nn.Module()
            features.features = net.features.to_empty(device='cpu')  # the classifier is not needed and large
            torch.save(fill_(features).state_dict(), file)
        return str(file)

    return make


@pytest.fixture
def write_pairs(tmp_path):
    """Write count smooth random colour pairs as PNG, gt of side `side`, lq reduced by scale; returns both folders."""

    def write(count=1, side=32, scale=2, name='pairs'):
        random = np.random.default_rng(7)
        folders = tmp_path / name / 'gt', tmp_path / name / 'lq'
        for folder in folders:
            folder.mkdir(parents=True)
        for i in range(count):
            coarse = random.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
            gt = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
            lq = cv2.resize(gt, (side // scale, side // scale), interpolation=cv2.INTER_AREA)
            for folder, image in zip(folders, (gt, lq), strict=True):
                cv2.imwrite(str(folder / f'{i:03d}.png'), image)
        return folders

    return write


@pytest.fixture
def options(tmp_path):
    """Options of a tiny EDSR x2 run as BasicSR's parser would hand them to a model; blocks may be replaced."""

    def make(model_type='HistoryModel', train=None, **blocks):
        opt = {
            'name': 'tiny',
            'model_type': model_type,
            'scale': 2,
            'num_gpu': 0,
            'manual_seed': 0,
            'is_train': True,
            'dist': False,
            'rank': 0,
            'world_size': 1,
            'network_g': dict(EDSR),
            'path': {'models': str(tmp_path / 'models'), 'training_states': str(tmp_path / 'training_states')},
            'train': {
                'ema_decay': 0.9,
                'optim_g': {'type': 'Adam', 'lr': 1e-3, 'betas': [0.9, 0.99]},
                'scheduler': {'type': 'MultiStepLR', 'milestones': [4], 'gamma': 0.5},
                'total_iter': 12,
                'pixel_opt': {'type': 'L1Loss'},
            }
            | (train or {}),
            'val': deepcopy(VAL),
            'logger': dict(LOGGER),
        }
        for folder in ('models', 'training_states'):
            (tmp_path / folder).mkdir(exist_ok=True)
        return opt | blocks

    return make


@pytest.fixture
def option_file(tmp_path, write_pairs):
    """Write the option file of a tiny run on tmp_path's pairs; blocks may be replaced, train keys added."""

    def write(name='tiny', model_type='HistoryModel', train=None, **blocks):
        gt, lq = (tmp_path / 'pairs' / part for part in ('gt', 'lq'))
        if not gt.exists():
            write_pairs()
        folders = {
            'type': 'PairedImageDataset',
            'dataroot_gt': str(gt),
            'dataroot_lq': str(lq),
            'io_backend': {'type': 'disk'},
        }
        training = {
            'gt_size': 32, 'use_hflip': False, 'use_rot': False,
            'num_worker_per_gpu': 0, 'batch_size_per_gpu': 1, 'dataset_enlarge_ratio': 1,
        }  # fmt: skip
        opt = {
            'name': name,
            'model_type': model_type,
            'scale': 2,
            'num_gpu': 'auto',
            'manual_seed': 0,
            'datasets': {'train': {'name': 'train'} | folders | training, 'val': {'name': 'held-out'} | folders},
            'network_g': dict(EDSR),
            'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
            'train': {
                'ema_decay': 0.9,
                'optim_g': {'type': 'Adam', 'lr': 1e-3},
                'scheduler': {'type': 'MultiStepLR', 'milestones': [4], 'gamma': 0.5},
                'total_iter': 2,
                'warmup_iter': -1,
                'pixel_opt': {'type': 'L1Loss'},
                'spn_opt': {
                    'type': 'SPNLoss',
                    'weights': 'random',
                    'layer_weights': {'relu1_1': 1.0},
                    'loss_weight': 0.1,
                },
                'history': {'interval': [1, 2]},
            }
            | (train or {}),
            'val': deepcopy(VAL),
            'logger': dict(LOGGER),
        }
        file = tmp_path / f'{name}.yml'
        file.write_text(yaml.safe_dump(opt | blocks, sort_keys=False))
        return file

    return write


def run(*command, cwd, **environment):
    """Run a command as a user does, with its output captured as text."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope='session')
def _server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def mclir(_server, tmp_path):
    """Run a command of ``mclir``, in tmp_path if nothing else is said, in a process of its own; its output is text."""

    def command(*arguments, cwd=tmp_path, **environment):
        return _server.run([str(part) for part in arguments], cwd, environment)

    return command


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
