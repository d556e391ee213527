"""The arguments of ``mclir enable``."""

import argparse
from pathlib import Path
from typing import Any

from mclir_basicsr.commands import import_flag


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to those of argparse; returns its parser."""
    enable: argparse.ArgumentParser = commands.add_parser(
        'enable', help='turn a BasicSR option file into an SPN retraining'
    )
    enable.add_argument('source', type=Path, metavar='FILE', help='option file of BasicSR or of the MCLIR reference')
    enable.add_argument('-o', '--output', type=Path, required=True, metavar='OUT', help='option file to write')
    enable.add_argument(
        '--pretrain', metavar='CKPT', help='checkpoint to retrain; it tells the network where FILE has no network_g'
    )
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
    from mclir_basicsr.commands.enable.enable import enable

    return enable(
        options.source,
        options.output,
        pretrain=options.pretrain,
        negatives=options.negatives,
        loss_weight=options.loss_weight,
        ratio=options.ratio,
        vgg_weights=options.vgg_weights,
        force=options.force,
    )
