"""The arguments of ``mclir evaluate``."""

import argparse
from pathlib import Path
from typing import Any

from mclir_basicsr.commands import import_flag
from mclir_basicsr.commands.replacing import refuse_to_replace


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to those of argparse; returns its parser."""
    evaluate: argparse.ArgumentParser = commands.add_parser(
        'evaluate', help='figures of trained networks, image by image, on the data sets of a file or of two folders'
    )
    evaluate.add_argument(
        'places', type=Path, nargs='+', metavar='CKPT|EXPERIMENT', help='checkpoints and experiment folders'
    )
    evaluate.add_argument('-opt', type=Path, metavar='FILE', help='option file with data sets val or test, and val')
    evaluate.add_argument('--gt', type=Path, metavar='DIR', help='folder of ground truth, with --lq')
    evaluate.add_argument('--lq', type=Path, metavar='DIR', help='folder of the inputs')
    evaluate.add_argument('-o', '--output', type=Path, metavar='JSON', help='file for the figures of each image')
    evaluate.add_argument('--force', action='store_true', help='replace JSON where it exists')
    import_flag.add_to(evaluate)
    return evaluate


def run(options: argparse.Namespace) -> str:
    """Evaluate what the arguments say; returns the report."""
    from mclir_basicsr.commands.evaluate.evaluate import evaluate

    if options.output is not None:
        refuse_to_replace([options.output], '-o', force=options.force)
    return evaluate(options.places, option_file=options.opt, gt=options.gt, lq=options.lq, output=options.output)
