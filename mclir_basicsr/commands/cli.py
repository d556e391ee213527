"""The command line ``mclir``: each subcommand calls one function of the package."""

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mclir_basicsr import __version__
from mclir_basicsr.commands import (
    enable_arguments,
    evaluate_arguments,
    export_arguments,
    import_flag,
    pipeline,
    prepare_arguments,
    restore_arguments,
    study_arguments,
)
from mclir_basicsr.commands.replacing import refuse_to_replace
from mclir_basicsr.errors import MclirError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        The exit status: 0, 1 where ``doctor``, ``verify`` or ``restore`` found a fault, 2 for input that cannot be
        used, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')  # the encoding of the locale may lack letters of a path
    try:
        if arguments[:1] in (['train'], ['test']):  # BasicSR parses these flags itself
            return pipeline.run(arguments[0], arguments[1:], _say)
        options = _parser().parse_args(arguments)
        run: Callable[[argparse.Namespace], int] = options.run
        _say(*import_flag.follow(getattr(options, 'imports', [])))
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
        'train', help="train as `python basicsr/train.py` does, with BasicSR's own flags (-opt FILE ...) and --fast"
    )
    commands.add_parser('test', help="test as `python basicsr/test.py` does, with BasicSR's own flags: -opt FILE")

    check = commands.add_parser(
        'check', help='examine a training option file: keys, network, checkpoint, data, folders; then try a step of it'
    )
    check.add_argument('-opt', type=Path, required=True, metavar='FILE', help='option file')
    check.add_argument('--fast', action='store_true', help='leave out the trial of one batch and one image')
    import_flag.add_to(check)
    check.set_defaults(run=_check)

    enable_arguments.add_parser(commands).set_defaults(run=_enable)
    prepare_arguments.add_parser(commands).set_defaults(run=_prepare)

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
    demo.add_argument(
        '--vgg-weights',
        default=None,
        metavar='W',
        help='imagenet, oxford, random, or a torchvision vgg16 state dict (default: imagenet where it is in the cache, '
        'else oxford)',
    )
    _add_force(demo, 'replace files in DIR that no demo wrote')
    demo.set_defaults(run=_demo)

    compare = commands.add_parser('compare', help='table, curves and pictures of finished runs')
    compare.add_argument('folders', type=Path, nargs='+', metavar='DIR', help='experiment folders, the baseline first')
    compare.add_argument('-o', '--out', type=Path, default=Path('comparison'), metavar='DIR', help='folder to write to')
    _add_force(compare, 'replace a report.html or report.png in DIR that is not of compare')
    compare.set_defaults(run=_compare)

    evaluate_arguments.add_parser(commands).set_defaults(run=_evaluate)
    study_arguments.add_parser(commands).set_defaults(run=_study)
    restore_arguments.add_parser(commands).set_defaults(run=_restore)
    export_arguments.add_parser(commands).set_defaults(run=_export)

    doctor = 'examine the installation, say what to do about each fault'
    commands.add_parser('doctor', help=doctor).set_defaults(run=_doctor)
    return parser


def _add_force(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument('--force', action='store_true', help=what)


def _check(options: argparse.Namespace) -> int:
    from mclir_basicsr.options import parse_file
    from mclir_basicsr.plugin import register

    opt = parse_file(options.opt)
    register()
    from mclir_basicsr.check.preflight import check

    _say(*check(opt, Path.cwd(), fast=options.fast), f'{options.opt} can be trained with.')
    return 0


def _enable(options: argparse.Namespace) -> int:
    _say(*enable_arguments.run(options))
    return 0


def _prepare(options: argparse.Namespace) -> int:
    _say(prepare_arguments.run(options))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from mclir_basicsr.prepare.verify import verify_tree

    images, faults = verify_tree(options.folder)
    _say(*faults, f'{images} images read, {len(faults)} faults')
    return int(bool(faults))


def _demo(options: argparse.Namespace) -> int:
    from mclir_basicsr.commands.demo import demo

    report = demo(
        options.out, iters=options.iters, seeds=options.seeds, vgg_weights=options.vgg_weights, force=options.force
    )
    _say(report)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from mclir_basicsr.report import compare

    page, picture = options.out / 'report.html', options.out / 'report.png'
    ours = page.is_file() and b'<footer>mclir_basicsr' in page.read_bytes()
    refuse_to_replace([page, picture], '-o', force=options.force, ours=ours)
    _say(compare(options.folders, options.out))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    _say(evaluate_arguments.run(options))
    return 0


def _study(options: argparse.Namespace) -> int:
    _say(study_arguments.run(options))
    return 0


def _restore(options: argparse.Namespace) -> int:
    said, is_whole = restore_arguments.run(options)
    _say(*said)
    return int(not is_whole)


def _export(options: argparse.Namespace) -> int:
    _say(*export_arguments.run(options))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from mclir_basicsr.commands.doctor import examine, report

    findings = examine()
    _say(report(findings))
    return int(any(finding.fatal for finding in findings))


def _say(*lines: str) -> None:
    text = ''.join(f'{line}\n' for line in lines)
    sys.stdout.write(text.encode(errors='backslashreplace').decode())  # the name of a file may be no UTF-8
