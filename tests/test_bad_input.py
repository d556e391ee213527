"""Bad input on the command line: an exit status, one message that names the place, no traceback, nothing run.

``benchmarks/bad_input.py`` makes the table of benchmarks/bad_input.md from the same cases.
"""

import logging
import os
import pickle
import re
import shlex
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.models.lr_scheduler import MultiStepRestartLR
from basicsr.utils.logger import initialized_logger
from conftest import EDSR

from mclir_basicsr.commands.cli import main

PAGE = Path(__file__).parents[1] / 'benchmarks' / 'bad_input.md'
CHECK, TRAIN, TEST = (f'{command} -opt run.yml' for command in ('check', 'train', 'test'))

Spoil = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """A kind of bad input.

    Attributes:
        name: What is wrong.
        command: Arguments of ``mclir``, in a folder with run.yml and its pairs.
        spoil: What is done to that folder first, in this order.
        said: Part of the message.
        training: The fault shows only once training has begun, so that there is an experiments folder.
    """

    name: str
    command: str
    spoil: tuple[Spoil, ...]
    said: str
    training: bool = False


def edit(change):
    def spoil(folder):
        file = folder / 'run.yml'
        opt = yaml.safe_load(file.read_text())
        change(opt)
        file.write_text(yaml.safe_dump(opt, sort_keys=False))

    return spoil


def put(key, value):
    """Set a key, given as ``block:key``."""

    def change(opt):
        *blocks, last = key.split(':')
        for block in blocks:
            opt = opt[block]
        opt[last] = value

    return edit(change)


def drop(key):
    def change(opt):
        *blocks, last = key.split(':')
        for block in blocks:
            opt = opt[block]
        del opt[last]

    return edit(change)


def write(name, content):
    def spoil(folder):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def remove(name):
    return lambda folder: (folder / name).unlink()


def cut(name, share):
    """Leave only the first part of a file."""

    def spoil(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return spoil


def tensors(name, make=lambda: {'params': network().state_dict()}):
    return lambda folder: torch.save(make(), folder / name)


def network(**changes):
    return build_network(EDSR | changes)


def image(name, height, width):
    return lambda folder: cv2.imwrite(str(folder / name), np.zeros((height, width, 3), np.uint8))


def data(**keys):
    """Change the training set."""
    return edit(lambda opt: opt['datasets']['train'].update(keys))


def databases(folder):
    """The training set as LMDB."""
    for side in ('lq', 'gt'):
        with (
            lmdb.open(str(folder / f'{side}.lmdb'), map_size=2**20) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key in ('000', '001'):
                transaction.put(key.encode(), (folder / 'pairs' / side / f'{key}.png').read_bytes())
        describe(folder, side, ('000', '001'))
    data(dataroot_lq='lq.lmdb', dataroot_gt='gt.lmdb', io_backend={'type': 'lmdb'})(folder)


def describe(folder, side, keys):
    """Write the meta_info.txt of a database."""
    n = {'lq': 16, 'gt': 32}[side]
    (folder / f'{side}.lmdb' / 'meta_info.txt').write_text(''.join(f'{key}.png ({n},{n},3) 1\n' for key in keys))


def pairs_file(content):
    return lambda folder: (
        data(type='PairsFileDataset', pairs_file='pairs.txt')(folder),
        content and (folder / 'pairs.txt').write_text(content),
    )


def of_testing(folder):
    """Turn the option file into one for `mclir test`."""
    tensors('net.pth')(folder)

    def change(opt):
        del opt['train'], opt['logger'], opt['datasets']['train']
        opt['datasets'] = {'test': opt['datasets']['val']}
        opt['path'] = {'pretrain_network_g': 'net.pth'}

    edit(change)(folder)


def state(**changes):
    """A state after one iteration, of a network that may differ from the one beside it."""

    def spoil(folder):
        optimizer = torch.optim.Adam(network(**changes).parameters())
        schedule = MultiStepRestartLR(optimizer, [4], gamma=0.5).state_dict()
        content = {'epoch': 0, 'iter': 1, 'optimizers': [optimizer.state_dict()], 'schedulers': [schedule]}
        torch.save(content, folder / 'a.state')
        (folder / 'experiments' / 'tiny' / 'models').mkdir(parents=True)
        tensors('experiments/tiny/models/net_g_1.pth')(folder)

    return spoil


class Opaque:
    """Anything but tensors and plain types."""

    def __reduce__(self):
        return os.system, ('touch unpickled',)


CASES = (
    # The command line.
    Case('no command', '', (), 'required: COMMAND'),
    Case('unknown command', 'trian -opt run.yml', (), "invalid choice: 'trian'"),
    Case('unknown flag', 'check -opt run.yml --slow', (), 'unrecognized arguments: --slow'),
    Case('no option file named', 'train --auto_resume', (), 'required: -opt'),
    Case('missing option file', 'train -opt gone.yml', (), 'There is no option file gone.yml'),
    Case('--force_yml without a value', f'{TRAIN} --force_yml train:ema_decay', (), 'write block:key=value'),
    Case('--force_yml of an unknown block', f'{TRAIN} --force_yml trian:ema_decay=1', (), 'trian:ema_decay=1: write'),
    Case('--force_yml with a value that is no YAML', f'{TRAIN} --force_yml train:x=[1', (), '--force_yml train:x=[1'),
    Case('--launcher pytorch without torchrun', f'{TRAIN} --launcher pytorch', (), 'start it by torchrun'),
    Case('--launcher slurm without srun', f'{TRAIN} --launcher slurm', (), 'start it by srun'),
    # The option file as a whole.
    Case('option file that is no YAML', CHECK, (write('run.yml', 'a: [1\n'),), 'run.yml is no YAML'),
    Case('option file that is empty', CHECK, (write('run.yml', ''),), 'it holds nothing instead of "key: value" lines'),
    Case('option file that is binary', CHECK, (write('run.yml', b'\x80\x00\xff'),), 'run.yml is no YAML'),
    Case('option file that is a folder', 'check -opt pairs', (), 'no option file pairs that can be read'),
    Case(
        'option file with a Python tag',
        TRAIN,
        (write('run.yml', 'name: !!python/object/apply:os.system ["touch executed"]\n'),),
        'could not determine a constructor for the tag',
    ),
    Case('key that stands twice', TRAIN, (lambda folder: (folder / 'run.yml').open('a').write('scale: 4\n'),),
         'scale stands in line'),
    Case('missing blocks', CHECK, (drop('network_g'), drop('logger')), 'it has no network_g, logger'),
    Case('block that is no mapping', CHECK, (put('train', 'fast'),), 'train'),
    Case('data set that is no mapping', CHECK, (put('datasets:train', 'pairs'),), 'datasets.train'),
    Case('data set that is empty', CHECK, (put('datasets:val', None),), 'datasets.val must be a block of keys'),
    Case('name that is a number', TRAIN, (put('name', 20240101),), "write '20240101' in quotes"),
    Case('name that is no folder', CHECK, (put('name', '../tiny'),), "but it is '../tiny'"),
    Case('key that is no text', CHECK, (put('train', {5: 'x'}), put('datasets:1', {})), 'train has the key 5, which'),
    Case('model type that is no text', CHECK, (put('model_type', ['HistoryModel']),), 'model_type must be text'),
    Case('network type that is no text', CHECK, (put('network_g:type', 5),), 'network_g.type must be text'),
    # Keys and values.
    Case('misspelt key', CHECK, (put('train:histroy', {}),), 'train.histroy: unknown key; did you mean history?'),
    Case('misspelt key of path', TRAIN, (put('path:pretrain_network_G', 'net.pth'),), 'mean pretrain_network_g?'),
    Case('misspelt key of a data set', CHECK, (data(use_flip=True),), 'did you mean use_hflip?'),
    Case('key in the wrong block', CHECK, (put('grad_clip_norm', 1),), 'it has its place in train'),
    Case('keys of a discriminator', CHECK, (put('train:gan_opt', {'type': 'GANLoss'}),), 'without a discriminator'),
    Case('truth value in quotes', CHECK, (put('path:strict_load_g', 'false'),), 'must be true or false'),
    Case('wrong type', CHECK, (put('train:history:interval', 'often'),), 'train.history.interval: Input should be'),
    Case('value out of bounds', CHECK, (put('train:history:decay', 1.5),), 'less than or equal to 1'),
    Case('lists that do not agree', CHECK, (put('train:history:decay', [0.1]),), 'decay has 1 values for 2 negatives'),
    Case('keys that exclude each other', CHECK, (put('train:spn_opt:balance', 0.05),), 'balance takes the place of'),
    Case('unknown VGG layer', CHECK, (put('train:spn_opt:layer_weights', {'relu9': 1}),), 'vgg16 has no layer relu9'),
    Case('total_iter that is no number', CHECK, (put('train:total_iter', 'many'),), 'train.total_iter'),
    Case('interval between saves that YAML reads as text', CHECK, (put('logger:save_checkpoint_freq', '5e3'),),
         'write 5000 without quotes'),
    Case('learning rate that YAML reads as text', CHECK, (put('train:optim_g:lr', '1e-4'),), 'train.optim_g.lr must'),
    Case('warmup_iter that is no number', CHECK, (put('train:warmup_iter', 'abc'),), 'train.warmup_iter: Input should'),
    Case('ema_decay that is no number', CHECK, (put('train:ema_decay', 'x'),), 'train.ema_decay: Input should'),
    Case('seed that is no number', CHECK, (put('manual_seed', 'abc'),), 'manual_seed: Input should be a valid integer'),
    Case('seed below 0', CHECK, (put('manual_seed', -5),), 'manual_seed: Input should be greater than or equal to 0'),
    Case('no total_iter', CHECK, (drop('train:total_iter'),), 'train.total_iter'),
    Case('no pixel or perceptual loss', CHECK, (drop('train:pixel_opt'),), 'pixel_opt'),
    Case('no print_freq', CHECK, (drop('logger:print_freq'),), 'logger.print_freq'),
    Case('no save_checkpoint_freq', CHECK, (drop('logger:save_checkpoint_freq'),), 'logger.save_checkpoint_freq'),
    Case('print_freq 0', CHECK, (put('logger:print_freq', 0),), 'logger.print_freq'),
    Case('no use_tb_logger', CHECK, (drop('logger:use_tb_logger'),), 'logger.use_tb_logger'),
    Case('no val_freq', CHECK, (drop('val:val_freq'),), 'val.val_freq'),
    Case('no save_img', CHECK, (drop('val:save_img'),), 'val.save_img'),
    # Names.
    Case('unknown model', TRAIN, (put('model_type', 'HistroyModel'),), 'did you mean HistoryModel'),
    Case('unknown network', TRAIN, (put('network_g:type', 'ESDR'),), 'network_g: There is no arch named'),
    Case('unknown argument of a network', CHECK, (put('network_g:num_faet', 8),), 'EDSR cannot be built'),
    Case('impossible value of a network', CHECK, (put('network_g:num_feat', -3),), 'EDSR cannot be built: Trying to'),
    Case('network of another scale', CHECK, (put('network_g:upscale', 3),), 'network_g makes 48x48 of 16x16, but'),
    Case('no network type', CHECK, (drop('network_g:type'),), 'network_g'),
    Case('unknown loss', TRAIN, (put('train:pixel_opt:type', 'L1Los'),), 'did you mean L1Loss'),
    Case('unknown argument of a loss', CHECK, (put('train:pixel_opt:weight', 1),), 'train.pixel_opt'),
    Case('unknown value of a loss', CHECK, (put('train:pixel_opt:reduction', 'foo'),), 'reduction mode: foo'),
    Case('loss that is no mapping', CHECK, (put('train:pixel_opt', 'L1Loss'),), 'train.pixel_opt must be a block'),
    Case('unknown layer of a perceptual loss', CHECK,
         (put('train:perceptual_opt', {'type': 'PerceptualLoss', 'layer_weights': {'x': 1}}),), 'vgg19 has no layer x'),
    Case('unknown metric', TRAIN, (put('val:metrics:psnr:type', 'calculate_pnsr'),), 'did you mean calculate_psnr'),
    Case('metric without its arguments', CHECK, (drop('val:metrics:psnr:crop_border'),), 'val.metrics.psnr'),
    Case('unknown data set class', TRAIN, (data(type='PairdDataset'),), 'PairedImageDataset'),
    Case('unknown data set phase', CHECK,
         (edit(lambda opt: opt['datasets'].update(valid=opt['datasets'].pop('val'))),), 'datasets.valid'),
    Case('no training set', CHECK, (drop('datasets:train'),), 'datasets'),
    Case('unknown optimizer', CHECK, (put('train:optim_g:type', 'Adma'),), 'did you mean Adam'),
    Case('unknown argument of an optimizer', CHECK, (put('train:optim_g:beta', 0.9),), 'Adam does not take'),
    Case('unknown scheduler', CHECK, (put('train:scheduler:type', 'StepRL'),), 'did you mean'),
    Case('unknown argument of a scheduler', CHECK, (put('train:scheduler', {'type': 'StepLR', 'step': 3}),),
         'StepLR does not take'),
    Case('unknown argument of a BasicSR scheduler', CHECK, (put('train:scheduler:gama', 3),), 'train.scheduler'),
    Case('schedule that ends before the run', TRAIN,
         (put('train:scheduler', {'type': 'OneCycleLR', 'max_lr': 1e-3, 'total_steps': 5}), put('train:total_iter', 9)),
         'OneCycleLR ends after 5 iterations (total_steps), but train.total_iter is 9'),
    Case('best by a metric that is better where smaller', CHECK,
         (put('train:keep', {'best': 'psnr'}), put('val:metrics:psnr:better', 'lower')), 'set val.metrics.psnr.better'),
    # What a batch and an image show.
    Case('network of other channels', TRAIN, (put('network_g:num_in_ch', 1),), 'EDSR cannot take lq of datasets.train'),
    Case('color: y with three channels', TRAIN, (data(color='y'),), 'EDSR makes 1x3x32x32 of lq of datasets.train'),
    Case('metric that fails', TRAIN,
         (edit(lambda opt: opt['datasets']['val'].update(color='y')),), '(calculate_psnr) fails on pairs/lq/000.png'),
    # Checkpoints.
    Case('missing pretrained file', TRAIN, (put('path:pretrain_network_g', 'net.pth'),), 'there is no file net.pth'),
    Case('truncated pretrained file', TRAIN,
         (tensors('net.pth'), cut('net.pth', 0.6), put('path:pretrain_network_g', 'net.pth')), 'net.pth is truncated'),
    Case('empty pretrained file', TRAIN, (write('net.pth', ''), put('path:pretrain_network_g', 'net.pth')),
         'net.pth is truncated'),
    Case('pretrained file that is a picture', TRAIN,
         (image('net.png', 8, 8), put('path:pretrain_network_g', 'net.png')), 'no checkpoint of tensors'),
    Case('pretrained pickle that would run code', TRAIN,
         (write('net.pth', pickle.dumps({'params': Opaque()})), put('path:pretrain_network_g', 'net.pth')),
         'net.pth'),
    Case('pretrained checkpoint that would run code', TRAIN,
         (tensors('net.pth', Opaque), put('path:pretrain_network_g', 'net.pth')), 'would call posix.system'),
    Case('pretrained file without weights', TRAIN,
         (tensors('net.pth', lambda: {'iter': 1}), put('path:pretrain_network_g', 'net.pth')), 'holds no weights'),
    Case('pretrained file of another size', TRAIN,
         (tensors('net.pth', lambda: network(num_feat=4).state_dict()), put('path:pretrain_network_g', 'net.pth')),
         'does not fit network_g: of another shape'),
    Case('pretrained safetensors that are damaged', TRAIN,
         (write('net.safetensors', 'x' * 20), put('path:pretrain_network_g', 'net.safetensors')), 'is truncated'),
    Case('pretrained path that is a number', CHECK, (put('path:pretrain_network_g', 5),), 'path.pretrain_network_g'),
    Case('pretrained file of which no key fits', TRAIN,
         (tensors('net.pth', lambda: {'a.weight': torch.zeros(2)}), put('path:pretrain_network_g', 'net.pth'),
          put('path:strict_load_g', False)), 'does not fit network_g in any key'),
    Case('missing state to resume', TRAIN, (put('path:resume_state', 'gone.state'),), 'there is no file gone.state'),
    Case('damaged state to resume', TRAIN, (write('a.state', 'x'), put('path:resume_state', 'a.state')), 'a.state'),
    Case('state to resume that is a network', TRAIN, (tensors('a.state'), put('path:resume_state', 'a.state')),
         'a.state'),
    Case('state to resume of another network', TRAIN, (state(num_block=2), put('path:resume_state', 'a.state')),
         'does not fit this option file', training=True),
    Case('state to resume without its network', TRAIN,
         (state(), remove('experiments/tiny/models/net_g_1.pth'), put('path:resume_state', 'a.state')),
         'there is no file', training=True),
    Case('no VGG weights, no network', TRAIN, (put('train:spn_opt:weights', 'imagenet'),), 'vgg16-397923af.pth'),
    Case('no VGG weights for a perceptual loss, no network', TRAIN,
         (put('train:perceptual_opt', {'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 1}}),),
         'train.perceptual_opt: the weights of vgg19 are not at'),
    Case('no VGG weights, no network, --fast', f'{TRAIN} --fast', (put('train:spn_opt:weights', 'imagenet'),),
         'vgg16-397923af.pth', training=True),
    Case('missing VGG weights', TRAIN, (put('train:spn_opt:weights', 'vgg.pth'),), 'there is no file vgg.pth'),
    Case('damaged VGG weights', TRAIN, (write('vgg.pth', 'x'), put('train:spn_opt:weights', 'vgg.pth')), 'vgg.pth'),
    Case('damaged state and missing VGG weights', TRAIN,
         (write('a.state', 'x'), put('path:resume_state', 'a.state'), put('train:spn_opt:weights', 'vgg.pth')),
         'oxford or random.\n  path.resume_state: a.state'),
    # Data.
    Case('missing folder of images', TRAIN, (data(dataroot_lq='gone'),), 'train.dataroot_lq: there is no gone'),
    Case('no folder named', CHECK, (drop('datasets:train:dataroot_lq'),), 'dataroot_lq'),
    Case('folder that is empty', CHECK, (lambda folder: (folder / 'none').mkdir(),
         data(dataroot_lq='none', dataroot_gt='none')), 'no images in'),
    Case('numbers of images that differ', TRAIN, (remove('pairs/lq/000.png'),), 'different number of images: 1, 2'),
    Case('names of images that differ', TRAIN,
         (lambda folder: (folder / 'pairs/lq/000.png').rename(folder / 'pairs/lq/00.png'),),
         '000.png is not in lq'),
    Case('sizes that do not fit the scale', TRAIN, (image('pairs/lq/001.png', 9, 9),), 'but pairs/lq/001.png is 9x9'),
    Case('images smaller than gt_size', TRAIN, (data(gt_size=64),), 'smaller than gt_size 64'),
    Case('gt_size that the scale does not divide', CHECK, (data(gt_size=15),), 'gt_size 15 is no multiple of scale 2'),
    Case('no scale', CHECK, (drop('scale'),), 'scale'),
    Case('no gt_size', CHECK, (drop('datasets:train:gt_size'),), 'gt_size'),
    Case('no batch size', CHECK, (drop('datasets:train:batch_size_per_gpu'),), 'batch_size_per_gpu'),
    Case('no number of workers', CHECK, (drop('datasets:train:num_worker_per_gpu'),), 'num_worker_per_gpu'),
    Case('wrong prefetch mode', CHECK, (data(prefetch_mode='gpu'),), 'prefetch_mode'),
    Case('unknown io_backend', CHECK, (data(io_backend={'type': 'zip'}),), 'Backend zip is not supported'),
    Case('file among the images that is none', TRAIN, (write('pairs/gt/000.png', 'x'),), '000.png is no image'),
    Case('damaged image, the first', TRAIN, (cut('pairs/gt/000.png', 0.5),), 'pairs/gt/000.png'),
    Case('damaged image, another', TRAIN, (cut('pairs/gt/001.png', 0.5),), 'pairs/gt/001.png', training=True),
    Case('damaged image, read by a worker', TRAIN, (cut('pairs/gt/001.png', 0.5), data(num_worker_per_gpu=1)),
         'pairs/gt/001.png', training=True),
    Case('damaged image, PairsFileDataset and a worker', TRAIN,
         (pairs_file('000 000\n001 001\n'), cut('pairs/gt/001.png', 0.5), data(num_worker_per_gpu=1)),
         'gt image pairs/gt/001.png', training=True),
    Case('damaged image, only to validate on', TRAIN,
         (edit(lambda opt: opt['datasets']['val'].update(dataroot_gt='pairs/new')),
          lambda folder: shutil.copytree(folder / 'pairs/gt', folder / 'pairs/new'), cut('pairs/new/001.png', 0.5)),
         'pairs/new/001.png', training=True),
    Case('LMDB whose name has no .lmdb', TRAIN, (data(io_backend={'type': 'lmdb'}),), 'should both in lmdb'),
    Case('LMDB without meta_info.txt', TRAIN, (databases, remove('gt.lmdb/meta_info.txt')), 'meta_info.txt'),
    Case('LMDB with a malformed meta_info.txt', TRAIN,
         (databases, *(write(f'{side}.lmdb/meta_info.txt', '000\n001\n') for side in ('lq', 'gt'))),
         'a meta_info.txt lacks one of them'),
    Case('LMDB without data', TRAIN, (databases, remove('gt.lmdb/data.mdb')), 'gt.lmdb'),
    Case('LMDB that is truncated', TRAIN, (databases, cut('gt.lmdb/data.mdb', 0.2)), 'gt.lmdb'),
    Case('LMDB that lacks a key', TRAIN,
         (databases, *(partial(describe, side=side, keys=('000', '002')) for side in ('lq', 'gt'))),
         'lq 002 and gt 002', training=True),
    Case('missing pairs file', TRAIN, (pairs_file(''),), 'pairs_file pairs.txt cannot be read'),
    Case('malformed pairs file', TRAIN, (pairs_file('000\n'),), "line 1: '000' is neither LQ GT nor"),
    Case('pairs file with a missing image', TRAIN, (pairs_file('007 000\n'),), 'names 1 images that dataroot_lq'),
    Case('metric that needs gt, data set without gt', TRAIN,
         (edit(lambda opt: opt['datasets']['val'].update(type='SingleImageDataset')),), 'gives no gt, with which'),
    Case('images too small for a metric', TRAIN, (put('val:metrics:psnr:type', 'calculate_niqe'),),
         'calculate_niqe needs 96x192 or 192x96 pixels, and crop_border 2 leaves 28x28'),
    Case('val sets of the same name', TRAIN, (edit(lambda opt: opt['datasets'].update(val_2=opt['datasets']['val'])),),
         "datasets.val and datasets.val_2 have the same name, 'held-out'"),
    Case('persistent workers without workers', TRAIN, (data(persistent_workers=True),), 'no workers to persist'),
    # Place and machine.
    Case('experiments folder that is a file', TRAIN, (write('experiments', 'x'),), 'tiny cannot be written'),
    Case('num_gpu without a GPU', TRAIN, (put('num_gpu', 1),), 'torch sees no GPU'),
    Case('num_gpu without a GPU, SRModel', TRAIN, (put('num_gpu', 1), put('model_type', 'SRModel')), 'num_gpu is 1'),
    Case('Weights & Biases without TensorBoard', TRAIN, (put('logger:wandb', {'project': 'p'}),),
         'logger.wandb needs logger.use_tb_logger: true'),
    Case('--fast for mclir test', f'{TEST} --fast', (of_testing,), '--fast is for train'),
    # Testing.
    Case('test: missing blocks', TEST, (of_testing, drop('network_g')), 'network_g'),
    Case('test: missing network', TEST, (of_testing, put('path:pretrain_network_g', 'gone.pth')), 'no file gone.pth'),
    Case('test: numbers of images that differ', TEST, (of_testing, remove('pairs/lq/000.png')), 'number of images'),
    Case('test: missing folder', TEST, (of_testing, put('datasets:test:dataroot_gt', 'gone')), 'gone'),
    Case('test: unknown metric', TEST, (of_testing, put('val:metrics:psnr:type', 'calculate_pnsr')), 'calculate_psnr'),
    Case('test: metric that needs gt, data set without gt', TEST,
         (of_testing, put('datasets:test:type', 'SingleImageDataset')), 'SingleImageDataset gives no gt'),
    # The other commands.
    Case('enable: missing file', 'enable gone.yml -o new.yml', (), 'gone.yml'),
    Case('enable: no YAML', 'enable run.yml -o new.yml', (write('run.yml', 'a: [1\n'),), 'run.yml'),
    Case('enable: file that exists', 'enable run.yml -o old.yml', (write('old.yml', ''),), 'old.yml exists already'),
    Case('enable: no weight', 'enable run.yml -o new.yml --loss-weight 0', (), '--loss-weight'),
    Case('enable: an SPN retraining already', 'enable run.yml -o new.yml', (), 'already'),
    Case('enable: missing checkpoint to detect from', 'enable run.yml -o new.yml --pretrain gone.pth',
         (drop('network_g'),), 'gone.pth'),
    Case('prepare: unknown recipe', 'prepare div2 --src . --out out', (), "no recipe 'div2'; did you mean div2k?"),
    Case('prepare: nothing there', 'prepare div2k --src . --out out', (), 'holds no part of div2k'),
    Case('prepare: no source', 'prepare div2k --out out', (), '--src must name the folder'),
    Case('prepare: no processes', 'prepare div2k --src . --out out --jobs 0', (), '--jobs'),
    Case('prepare: bad pattern', 'prepare pairs --gt pairs/gt --lq pairs/lq --scale 2 --out out --regex (', (), '('),
    Case('prepare: damaged image', 'prepare pairs --gt pairs/gt --lq pairs/lq --scale 2 --out out --jobs 1',
         (write('pairs/gt/000.png', 'x'),), '000.png'),
    Case('prepare: sizes that do not fit', 'prepare pairs --gt pairs/gt --lq pairs/lq --scale 4 --out out --jobs 1',
         (), 'is not 4 times that'),
    Case('verify: nothing to verify', 'verify pairs', (), 'holds no LMDB'),
    Case('verify: missing folder', 'verify gone', (), 'gone'),
    Case('compare: missing folder', 'compare gone', (), 'There is no folder gone'),
    Case('compare: no log', 'compare pairs', (), 'holds no training log'),
    Case('demo: too few iterations', 'demo --iters 1', (), '--iters must be at least 5'),
)  # fmt: skip


def run(arguments, folder):
    """``mclir`` in a child of this process, which has imported torch already: exit status and standard error."""
    sys.stdout.flush()
    with tempfile.TemporaryFile('w+') as log:
        child = os.fork()
        if child == 0:
            status = 70
            try:
                os.setsid()
                cv2.setNumThreads(0)
                initialized_logger.clear()  # that of another test writes elsewhere
                logging.getLogger('basicsr').handlers.clear()
                for number in (1, 2):
                    os.dup2(log.fileno(), number)
                sys.stdout, sys.stderr = (os.fdopen(number, 'w') for number in (1, 2))
                os.chdir(folder)
                os.environ |= {'TORCH_HOME': str(folder), 'https_proxy': 'http://127.0.0.1:9'}  # as without a network
                status = main(arguments)
            except SystemExit as stop:
                status = stop.code
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # workers
        log.seek(0)
        return os.waitstatus_to_exitcode(status), log.read()


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name)
def test_status_and_message(case, option_file, write_pairs, record_property, tmp_path):
    write_pairs(2)
    file = option_file()
    (tmp_path / 'run.yml').write_text(file.read_text().replace(f'{tmp_path}/', ''))
    file.unlink()
    for spoil in case.spoil:
        spoil(tmp_path)
    status, said = run(shlex.split(case.command), tmp_path)
    assert 'Traceback' not in said, said
    start, *more = (found.start() for found in re.finditer('^mclir( [a-z]+)?: error: ', said, re.MULTILINE))
    assert not more, said
    message = said[start:].replace(f'{tmp_path}/', '').replace(str(tmp_path), '.')
    record_property('case', (case.name, status, message))
    assert case.said in message
    assert status == 2
    assert not (tmp_path / 'executed').exists()
    assert not (tmp_path / 'unpickled').exists()
    assert (tmp_path / 'experiments' / 'tiny').exists() == case.training


def test_the_page_has_every_case():
    page = PAGE.read_text(encoding='utf-8')
    assert [case.name for case in CASES if f'| {case.name} | 2 | ' not in page] == [], 'run benchmarks/bad_input.py'
