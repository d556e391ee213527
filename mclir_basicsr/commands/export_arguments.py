"""The arguments of ``mclir export``."""

import argparse
from pathlib import Path
from typing import Any

from mclir_basicsr.commands import import_flag


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to those of argparse; returns its parser."""
    export: argparse.ArgumentParser = commands.add_parser(
        'export', help='write a trained network for others: safetensors, a model card and, where it can be, ONNX'
    )
    export.add_argument('experiment', type=Path, metavar='EXPERIMENT', help='experiment folder')
    export.add_argument('-o', '--out', type=Path, required=True, metavar='DIR', help='folder to write to')
    export.add_argument(
        '--study', type=Path, metavar='DIR', help='study whose verdict the card tells (default: that of the experiment)'
    )
    export.add_argument('--no-onnx', action='store_true', help='leave ONNX out')
    export.add_argument('--force', action='store_true', help='replace files in DIR')
    import_flag.add_to(export)
    return export


def run(options: argparse.Namespace) -> list[str]:
    """Export what the arguments say; returns what to say."""
    from mclir_basicsr.commands.export.export import export

    return export(options.experiment, options.out, study=options.study, onnx=not options.no_onnx, force=options.force)
