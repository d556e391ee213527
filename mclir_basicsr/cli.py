"""The command line ``mclir``: each subcommand calls one function of the package."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mclir_basicsr import __version__
from mclir_basicsr.errors import MclirError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        The exit status: 0, 1 where ``doctor`` found a fault, 2 for input that cannot be used, 130 when interrupted.
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
    sys.stderr.write(f'mclir: error: {error}\n')
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

    enable = commands.add_parser('enable', help='turn a BasicSR option file into an SPN retraining')
    enable.add_argument('source', type=Path, metavar='FILE', help='option file of BasicSR or of the MCLIR reference')
    enable.add_argument('-o', '--output', type=Path, required=True, metavar='OUT', help='option file to write')
    enable.add_argument('--pretrain', metavar='CKPT', help='checkpoint of the network to retrain')
    enable.add_argument('--negatives', type=int, metavar='K', help='number of negative models (default: 4)')
    enable.add_argument('--loss-weight', type=float, metavar='L', help='weight λ of the SPN term (default: 1e-3)')
    enable.set_defaults(run=_enable)

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


def _pipeline(name: str, flags: list[str]) -> int:
    """Run BasicSR's train or test pipeline with the current folder as root."""
    _check_option_file(flags)
    from mclir_basicsr.plugin import register

    register()
    sys.argv = [f'mclir {name}', *flags]
    root = str(Path.cwd())
    if name == 'train':
        from basicsr.train import train_pipeline

        train_pipeline(root)
    else:
        from basicsr.test import test_pipeline

        test_pipeline(root)
    return 0


def _check_option_file(flags: list[str]) -> None:
    """Name a missing or malformed option file clearly; what is in it is for BasicSR and HistoryModel."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('-opt', type=Path)
    file = parser.parse_known_args(flags)[0].opt
    if file is not None:
        from mclir_basicsr.options import parse_file

        parse_file(file)


def _enable(options: argparse.Namespace) -> int:
    from mclir_basicsr.enable import enable

    notes = enable(
        options.source,
        options.output,
        pretrain=options.pretrain,
        negatives=options.negatives,
        loss_weight=options.loss_weight,
    )
    _say(*notes)
    return 0


def _demo(options: argparse.Namespace) -> int:
    from mclir_basicsr.demo import demo

    _say(demo(options.out, iters=options.iters, seeds=options.seeds, vgg_weights=options.vgg_weights))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from mclir_basicsr.report import compare

    _say(compare(options.folders, options.out))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from mclir_basicsr.doctor import examine, report

    findings = examine()
    _say(report(findings))
    return int(any(finding.fatal for finding in findings))


def _say(*lines: str) -> None:
    sys.stdout.write('\n'.join(lines) + '\n')
