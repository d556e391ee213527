"""The arguments of ``mclir enable``."""

import argparse
from pathlib import Path
from typing import Any

from mclir_basicsr.commands import import_flag
from mclir_basicsr.errors import MclirError


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to those of argparse; returns its parser."""
    enable: argparse.ArgumentParser = commands.add_parser(
        'enable', help='turn a BasicSR option file, or a checkpoint and two folders of images, into an SPN retraining'
    )
    enable.add_argument(
        'source',
        type=Path,
        nargs='?',
        metavar='FILE',
        help='option file of BasicSR, of a fork or of the MCLIR reference; without it --pretrain, --gt and --lq',
    )
    enable.add_argument('-o', '--output', type=Path, required=True, metavar='OUT', help='option file to write')
    enable.add_argument(
        '--pretrain', metavar='CKPT', help='checkpoint to retrain; it tells the network where FILE has no network_g'
    )
    for flag, what in (
        ('gt', 'without FILE: folder or LMDB of ground truth to train with'),
        ('lq', 'its inputs, of the same names, or as mclir prepare paired them'),
        ('val-gt', 'the same for validation (default: pairs held out of --gt and --lq)'),
        ('val-lq', 'inputs of --val-gt'),
    ):
        enable.add_argument(f'--{flag}', type=Path, metavar='DIR', help=what)
    enable.add_argument('--scale', type=int, metavar='S', help='sides of gt over those of lq (default: by the images)')
    enable.add_argument('--negatives', type=int, metavar='K', help='number of negative models (default: 4)')
    weight = enable.add_mutually_exclusive_group()
    weight.add_argument('--loss-weight', type=float, metavar='L', help='weight (lambda) of the SPN term')
    weight.add_argument(
        '--ratio',
        type=float,
        metavar='R',
        help='spn_ratio that the weight is measured for (default: 0.02; where checkpoint, data or VGG weights are not '
        'at hand, 1e-3 for L1 and Charbonnier, else a balance)',
    )
    enable.add_argument(
        '--vgg-weights', metavar='W', help='imagenet (default), oxford, random, or a torchvision vgg state dict'
    )
    import_flag.add_to(enable)
    enable.add_argument('--force', action='store_true', help='replace OUT where it exists')
    return enable


def run(options: argparse.Namespace) -> list[str]:
    """Write the option file that the arguments ask for; returns what was set."""
    from mclir_basicsr.commands.enable.enable import enable, enable_folders

    settings = {key: getattr(options, key) for key in ('negatives', 'loss_weight', 'ratio', 'vgg_weights', 'force')}
    places = {f'--{key.replace("_", "-")}': getattr(options, key) for key in ('gt', 'lq', 'val_gt', 'val_lq', 'scale')}
    if options.source is not None:
        if given := [flag for flag, value in places.items() if value is not None]:
            raise MclirError(f'{", ".join(given)}: with FILE, the data sets are those of FILE. Leave one of them out.')
        return enable(options.source, options.output, pretrain=options.pretrain, **settings)
    needed = {'--pretrain': options.pretrain, '--gt': options.gt, '--lq': options.lq}
    if missing := [flag for flag, value in needed.items() if value is None]:
        raise MclirError(f'enable takes FILE, or --pretrain, --gt and --lq: there is no {", ".join(missing)}.')
    if (options.val_gt is None) != (options.val_lq is None):
        raise MclirError('--val-gt and --val-lq go together: give both folders.')
    val = None if options.val_gt is None else (options.val_gt, options.val_lq)
    return enable_folders(
        options.output, options.pretrain, options.gt, options.lq, scale=options.scale, val=val, **settings
    )
