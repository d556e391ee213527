"""The arguments of ``mclir restore``."""

import argparse
from pathlib import Path
from typing import Any

from mclir_basicsr.commands import import_flag


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to those of argparse; returns its parser."""
    restore: argparse.ArgumentParser = commands.add_parser(
        'restore', help='restore an image or a folder of images with a trained network'
    )
    restore.add_argument('place', type=Path, metavar='CKPT|EXPERIMENT', help='checkpoint or experiment folder')
    restore.add_argument(
        '-i', '--input', type=Path, required=True, metavar='FILE|DIR', help='image or folder of images'
    )
    restore.add_argument(
        '-o', '--out', type=Path, default=Path('restored'), metavar='DIR', help='folder to write to (default: restored)'
    )
    restore.add_argument(
        '--tile', type=int, metavar='N', help='side of a tile in input pixels (default: by free memory; on a CPU 512)'
    )
    restore.add_argument('--self-ensemble', action='store_true', help='mean over the eight flips and transposes')
    restore.add_argument('--suffix', default='', metavar='S', help='put S behind the name of each result')
    restore.add_argument(
        '--uncertainty',
        action='store_true',
        help='write a map beside each image: the spread of the negatives in the newest training state of EXPERIMENT',
    )
    restore.add_argument(
        '--gt', type=Path, metavar='DIR', help='with --uncertainty: ground truth by name, for figures of the maps'
    )
    restore.add_argument('--force', action='store_true', help='replace results of other settings or other origin')
    import_flag.add_to(restore)
    return restore


def run(options: argparse.Namespace) -> tuple[list[str], bool]:
    """Restore what the arguments say; returns what to say and whether all images could be restored."""
    from mclir_basicsr.commands.restore.restore import restore_all

    return restore_all(
        options.place,
        options.input,
        options.out,
        tile=options.tile,
        self_ensemble=options.self_ensemble,
        suffix=options.suffix,
        force=options.force,
        uncertainty=options.uncertainty,
        gt=options.gt,
    )
