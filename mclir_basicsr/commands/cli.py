"""The command line ``mclir``: each subcommand calls one function of the package."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mclir_basicsr import __version__
from mclir_basicsr.errors import MclirError

if TYPE_CHECKING:
    from mclir_basicsr.prepare.published import Recipe


_LAUNCHERS = {'pytorch': ('torchrun', 'RANK'), 'slurm': ('srun', 'SLURM_PROCID')}  # started by, which sets


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        The exit status: 0, 1 where ``doctor`` or ``verify`` found a fault, 2 for input that cannot be used, 130 when
        interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] in (['train'], ['test']):  # BasicSR parses these flags itself
            return _pipeline(arguments[0], arguments[1:])
        options = _parser().parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except (MclirError, OSError) as error:
        return _fail(error)
    except KeyError as error:
        if type(error) is KeyError:  # a key that BasicSR misses in the option file; its traceback says where
            raise
        return _fail(error)
    except KeyboardInterrupt:
        sys.stderr.write('\nmclir: interrupted\n')
        return 130


def _fail(error: Exception) -> int:
    message = str(error)
    if message.startswith('Caught MclirError in DataLoader worker'):  # PyTorch puts the worker's traceback before it
        message = message.rpartition('MclirError: ')[2].rstrip()
    sys.stderr.write(f'mclir: error: {message}\n')
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='mclir',
        allow_abbrev=False,
        description='Retrain a BasicSR network against its own past (MCLIR, AAAI 2024).',
    )
    parser.add_argument('--version', action='version', version=f'mclir_basicsr {__version__}')
    commands = parser.add_subparsers(title='commands', required=True, metavar='COMMAND')

    commands.add_parser(
        'train', help="train as `python basicsr/train.py` does, with BasicSR's own flags: -opt FILE ..."
    )
    commands.add_parser('test', help="test as `python basicsr/test.py` does, with BasicSR's own flags: -opt FILE")

    check = commands.add_parser(
        'check', help='examine a training option file: keys, network, checkpoint, data, folders'
    )
    check.add_argument('-opt', type=Path, required=True, metavar='FILE', help='option file')
    check.set_defaults(run=_check)

    enable = commands.add_parser('enable', help='turn a BasicSR option file into an SPN retraining')
    enable.add_argument('source', type=Path, metavar='FILE', help='option file of BasicSR or of the MCLIR reference')
    enable.add_argument('-o', '--output', type=Path, required=True, metavar='OUT', help='option file to write')
    enable.add_argument(
        '--pretrain', metavar='CKPT', help='checkpoint to retrain; it tells the network where FILE has no network_g'
    )
    enable.add_argument('--negatives', type=int, metavar='K', help='number of negative models (default: 4)')
    enable.add_argument('--loss-weight', type=float, metavar='L', help='weight λ of the SPN term (default: 1e-3)')
    enable.set_defaults(run=_enable)

    prepare = commands.add_parser(
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
    prepare.set_defaults(run=_prepare)

    verify = commands.add_parser('verify', help='read every image that prepare wrote, and name each that is damaged')
    verify.add_argument('folder', type=Path, metavar='DIR', help='what prepare wrote, or one LMDB or folder of it')
    verify.set_defaults(run=_verify)

    demo = commands.add_parser(
        'demo', help='retrain a small network on photographs that ship with scikit-image, and show what SPN brings'
    )
    demo.add_argument('--iters', type=int, default=None, metavar='N', help='iterations of each continuation')
    demo.add_argument('--seeds', type=int, default=None, metavar='N', help='repetitions of each continuation')
    demo.add_argument(
        '--out', type=Path, default=Path('demo'), metavar='DIR', help='folder to write to (default: demo)'
    )
    demo.add_argument('--vgg-weights', default=None, metavar='FILE', help='torchvision vgg16 state dict')
    demo.set_defaults(run=_demo)

    compare = commands.add_parser('compare', help='table, curves and pictures of finished runs')
    compare.add_argument('folders', type=Path, nargs='+', metavar='DIR', help='experiment folders, the baseline first')
    compare.add_argument('-o', '--out', type=Path, default=Path('comparison'), metavar='DIR', help='folder to write to')
    compare.set_defaults(run=_compare)

    doctor = commands.add_parser('doctor', help='examine the installation, say what to do about each fault')
    doctor.set_defaults(run=_doctor)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no whole number above 0')
    return int(text)


def _pipeline(name: str, flags: list[str]) -> int:
    """Run BasicSR's train or test pipeline with the current folder as root."""
    opt = _option_file(flags)
    from mclir_basicsr.plugin import register

    register()
    if opt is not None and _is_first_rank():
        from mclir_basicsr.check import start
        from mclir_basicsr.check.preflight import check, check_test

        if name == 'train':
            notes = check(opt, Path.cwd(), auto_resume='--auto_resume' in flags, here=True)
            start.note_examined(opt)
        else:
            notes = check_test(opt, Path.cwd())
        _say(*notes)
    sys.argv = [f'mclir {name}', *flags]
    root = str(Path.cwd())
    if name == 'train':
        from basicsr.train import train_pipeline

        train_pipeline(root)
    else:
        from basicsr.test import test_pipeline

        test_pipeline(root)
    return 0


def _option_file(flags: list[str]) -> dict[str, Any] | None:
    """Parse the option file as BasicSR's flags change it; None where they name none, which BasicSR reports."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('-opt', type=Path)
    parser.add_argument('--force_yml', nargs='+', default=[])
    parser.add_argument('--launcher')
    known = parser.parse_known_args(flags)[0]
    if known.opt is None:
        return None
    if known.launcher in _LAUNCHERS:
        starter, variable = _LAUNCHERS[known.launcher]
        if variable not in os.environ:
            raise MclirError(f'--launcher {known.launcher}: start it by {starter}, which sets {variable}.')
    from mclir_basicsr.options import force, parse_file

    return force(parse_file(known.opt), known.force_yml)


def _is_first_rank() -> bool:
    """Of the processes that torchrun or SLURM start, one is enough to examine the option file."""
    return os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0'


def _check(options: argparse.Namespace) -> int:
    from mclir_basicsr.options import parse_file
    from mclir_basicsr.plugin import register

    opt = parse_file(options.opt)
    register()
    from mclir_basicsr.check.preflight import check

    _say(*check(opt, Path.cwd()), f'{options.opt} can be trained with.')
    return 0


def _enable(options: argparse.Namespace) -> int:
    from mclir_basicsr.commands.enable.enable import enable

    notes = enable(
        options.source,
        options.output,
        pretrain=options.pretrain,
        negatives=options.negatives,
        loss_weight=options.loss_weight,
    )
    _say(*notes)
    return 0


def _prepare(options: argparse.Namespace) -> int:
    from mclir_basicsr.prepare.command import prepare

    recipe, src = _recipe(options)
    report = prepare(
        recipe,
        src,
        options.out,
        form=options.format,
        jobs=options.jobs or os.cpu_count() or 1,
        make_lr=options.make_lr,
    )
    _say(report)
    return 0


def _recipe(options: argparse.Namespace) -> 'tuple[Recipe, Path]':
    """The recipe asked for and the folder it begins in."""
    from mclir_basicsr.prepare import pairing, recipes

    of_pairs = {flag: getattr(options, flag) for flag in ('gt', 'lq', 'scale', 'template', 'regex')}
    if options.recipe != 'pairs':
        recipe = recipes.recipe(options.recipe)
        if options.src is None or not options.src.is_dir():
            raise MclirError(f'--src must name the folder in which {recipe.name} lies; it is {options.src}.')
        if needless := [f'--{flag}' for flag, value in of_pairs.items() if value is not None]:
            raise MclirError(f'{", ".join(needless)}: only for pairs; {recipe.name} knows its own.')
        return recipe, options.src
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


def _verify(options: argparse.Namespace) -> int:
    from mclir_basicsr.prepare.verify import verify_tree

    images, faults = verify_tree(options.folder)
    _say(*faults, f'{images} images read, {len(faults)} faults')
    return int(bool(faults))


def _demo(options: argparse.Namespace) -> int:
    from mclir_basicsr.commands.demo import demo

    _say(demo(options.out, iters=options.iters, seeds=options.seeds, vgg_weights=options.vgg_weights))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from mclir_basicsr.report import compare

    _say(compare(options.folders, options.out))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from mclir_basicsr.commands.doctor import examine, report

    findings = examine()
    _say(report(findings))
    return int(any(finding.fatal for finding in findings))


def _say(*lines: str) -> None:
    sys.stdout.write('\n'.join(lines) + '\n')
