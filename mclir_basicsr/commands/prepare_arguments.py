"""The arguments of ``mclir prepare``."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mclir_basicsr.errors import MclirError

if TYPE_CHECKING:
    from mclir_basicsr.prepare.published import Recipe


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Add the command to those of argparse; returns its parser."""
    prepare: argparse.ArgumentParser = commands.add_parser(
        'prepare', help='check the pairs of a downloaded data set and write them as LMDB or folders for training'
    )
    prepare.add_argument(
        'recipe', metavar='RECIPE', help='data set (a wrong name lists them all), or pairs for any two folders'
    )
    prepare.add_argument('--src', type=Path, metavar='DIR', help='where the data set lies (not for pairs)')
    prepare.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder to write to')
    prepare.add_argument('--jobs', type=_positive, metavar='N', help='processes (default: one per CPU)')
    prepare.add_argument('--format', choices=('lmdb', 'folder'), default='lmdb', help='default: lmdb')
    prepare.add_argument(
        '--make-lr', type=_positive, metavar='S', help="make lq from gt, S times smaller, as MATLAB's bicubic imresize"
    )
    pairs = prepare.add_argument_group('for pairs')
    pairs.add_argument('--gt', type=Path, metavar='DIR', help='folder of the gt images')
    pairs.add_argument('--lq', type=Path, metavar='DIR', help='folder of the lq images')
    pairs.add_argument('--scale', type=_positive, metavar='S', help='how many times as large gt is (default: 1)')
    names = pairs.add_mutually_exclusive_group()
    names.add_argument('--template', metavar='T', help="lq name from the gt name, '{}x2' (default: the same name)")
    names.add_argument('--regex', metavar='R', help='pattern for gt and lq names; a pair has the same first group')
    return prepare


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no whole number above 0')
    return int(text)


def run(options: argparse.Namespace) -> str:
    """Prepare what the arguments say; returns the report."""
    from mclir_basicsr.prepare.command import prepare

    recipe, src = _recipe(options)
    return prepare(
        recipe,
        src,
        options.out,
        form=options.format,
        jobs=options.jobs or os.cpu_count() or 1,
        make_lr=options.make_lr,
    )


def _recipe(options: argparse.Namespace) -> 'tuple[Recipe, Path]':
    """The recipe asked for and the folder it begins in."""
    from mclir_basicsr.prepare import pairing, recipes

    of_pairs = {flag: getattr(options, flag) for flag in ('gt', 'lq', 'scale', 'template', 'regex')}
    if options.recipe != 'pairs':
        known = recipes.recipe(options.recipe)
        if options.src is None or not options.src.is_dir():
            raise MclirError(f'--src must name the folder in which {known.name} lies; it is {options.src}.')
        if needless := [f'--{flag}' for flag, value in of_pairs.items() if value is not None]:
            raise MclirError(f'{", ".join(needless)}: only for pairs; {known.name} knows its own.')
        return known, options.src
    if options.src is not None or options.gt is None:
        raise MclirError('pairs takes --gt DIR and --lq DIR, and no --src.')
    if (options.lq is None) == (options.make_lr is None):
        raise MclirError('pairs takes either --lq DIR or --make-lr S.')
    if options.scale is not None and options.make_lr is not None:
        raise MclirError('--make-lr gives the scale already; leave out --scale.')
    rule = recipes.SAME
    if options.template is not None:
        rule = pairing.template(options.template)
    elif options.regex is not None:
        rule = pairing.regex(options.regex)
    return recipes.own_pairs(options.gt, options.lq, options.make_lr or options.scale or 1, rule)
