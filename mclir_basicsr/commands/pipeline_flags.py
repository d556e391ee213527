"""The flags of ``mclir train`` and ``mclir test``: ours, and what must be known of BasicSR's before it reads them."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mclir_basicsr.commands import import_flag
from mclir_basicsr.errors import MclirError

_LAUNCHERS = {'pytorch': ('torchrun', 'RANK'), 'slurm': ('srun', 'SLURM_PROCID')}  # started by, which sets


def own_flags(flags: list[str]) -> tuple[list[str], Path, bool, list[str]]:
    """BasicSR's flags, the folder for ``experiments`` and ``results``, whether not to try, and what to import."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--root', type=Path, default=Path())
    parser.add_argument('--fast', action='store_true')
    import_flag.add_to(parser)
    own, theirs = parser.parse_known_args(flags)
    if not own.root.is_dir():
        raise MclirError(f'--root {own.root} is no folder.')
    return theirs, own.root.absolute(), own.fast, own.imports


def refuse_training_file(opt: Mapping[str, Any]) -> None:
    """Stop a test of the option file of a training, whose network is the one that the training begins with.

    Raises:
        MclirError: It is one; its figures would be taken for those of the trained network.
    """
    if 'train' in opt:
        name = opt.get('name')
        raise MclirError(
            f'This is a training option file: test would score the network from before the training under the name '
            f'{name}. For the trained one: mclir evaluate experiments/{name}'
        )


def option_file(flags: list[str]) -> dict[str, Any] | None:
    """Parse the option file as BasicSR's flags change it; None where they name none, which BasicSR reports."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('-opt', type=Path)
    parser.add_argument('--force_yml', nargs='+', default=[])
    parser.add_argument('--launcher')
    parser.add_argument('--debug', action='store_true')
    known = parser.parse_known_args(flags)[0]
    if known.opt is None:
        return None
    if known.launcher in _LAUNCHERS:
        starter, variable = _LAUNCHERS[known.launcher]
        if variable not in os.environ:
            raise MclirError(f'--launcher {known.launcher}: start it by {starter}, which sets {variable}.')
    from mclir_basicsr.options import force, parse_file

    opt = force(parse_file(known.opt), known.force_yml)
    name = opt.get('name')
    if known.debug and isinstance(name, str) and not name.startswith('debug'):
        opt['name'] = f'debug_{name}'  # a folder of its own, and no TensorBoard
    return opt


def is_first_rank() -> bool:
    """Of the processes that torchrun or SLURM start, one is enough to examine the option file."""
    return os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0'
