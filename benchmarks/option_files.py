"""How many option files of BasicSR or of a fork become SPN retrainings that run, and that go on after a kill.

    python benchmarks/option_files.py FOLDER [--import FILE]

Each ``.yml`` of the folder and of those in it goes through ``mclir enable``, ``check`` and ``train``, on synthetic data
of its kind and with a few features in its networks (small_runs.py), in a folder of its own. The training makes 3
iterations with SPN and validates. Then a second one is killed (SIGKILL) before its last iteration and resumed: its
networks, optimizers, negatives and figures must be those of the first, bit for bit. The exit status is 1 where a file
fails; one that restores nothing (StyleGAN2) passes if that is what ``enable`` says.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

# A process with threads must not be forked.
os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', MKL_NUM_THREADS='1')

import basicsr.train  # noqa: F401  with the next two, once here and not in each child
import torch
import yaml
from children import call, same
from small_runs import made_small

import mclir_basicsr
from mclir_basicsr.check import preflight  # noqa: F401
from mclir_basicsr.commands.cli import main as mclir
from mclir_basicsr.commands.enable import enable  # noqa: F401
from mclir_basicsr.models.history_model import HistoryModel
from mclir_basicsr.options import parse_file
from mclir_basicsr.run import figures

STEPS = ('enable', 'check', 'train', 'validate', 'resume')
GENERATING = {'StyleGAN2Model'}  # model types with nothing to restore


class Found(NamedTuple):
    """What became of an option file.

    Attributes:
        steps: How many of STEPS it passed.
        said: Why it passed no more; empty where it passed all.
        is_left_out: Whether it restores nothing, and was refused for that.
    """

    steps: int
    said: str = ''
    is_left_out: bool = False

    @property
    def failed(self) -> bool:
        """Whether it should have passed more."""
        return self.steps < len(STEPS) and not self.is_left_out


class Step(NamedTuple):
    """A part of what a file goes through.

    Attributes:
        name: Of STEPS.
        work: What a child does.
        status: With which that should end.
    """

    name: str
    work: Callable[[], int]
    status: int = 0


def command(folder: Path, *arguments: str) -> int:
    """A command of ``mclir`` in a folder."""
    torch.set_num_threads(1)
    os.chdir(folder)
    sys.argv = ['mclir']
    return mclir(arguments)


def killed(folder: Path, iteration: int, *arguments: str) -> int:
    """The same, killed when an iteration begins."""
    begin = HistoryModel.update_learning_rate

    def update_learning_rate(model: HistoryModel, current_iter: int, warmup_iter: int = -1) -> None:
        if current_iter == iteration:
            os.kill(os.getpid(), signal.SIGKILL)
        begin(model, current_iter, warmup_iter)

    HistoryModel.update_learning_rate = update_learning_rate
    return command(folder, *arguments)


def shrink(folder: Path, iterations: int) -> int:
    """Write small.yml, which is spn.yml made small."""
    opt = made_small(parse_file(folder / 'spn.yml'), folder, iterations)
    (folder / 'small.yml').write_text(yaml.safe_dump(opt | {'name': 'small'}, sort_keys=False))
    return 0


def ends(run: Path, iteration: int) -> Mapping[str, Any]:
    """What a run has at its end: networks, state, figures."""
    files = [*run.glob(f'models/*_{iteration}.pth'), run / 'training_states' / f'{iteration}.state']
    found = {file.name: torch.load(file, weights_only=True) for file in files}
    return found | {'figures': [figure._asdict() for figure in figures.read(run)]}


def compare(one: Path, other: Path, iteration: int) -> int:
    """Compare the ends of two runs; 1, and what differs, where they do."""
    first, second = ends(one, iteration), ends(other, iteration)
    differing = [name for name in first | second if not same(first.get(name), second.get(name))]
    print(f'after a kill these are others: {", ".join(differing)}.' if differing else 'equal', file=sys.stderr)
    return int(bool(differing))


def validated(run: Path, iteration: int) -> int:
    """Whether there are figures of the last iteration, or pictures of a data set that has no gt."""
    measured = any(figure.iteration == iteration for figure in figures.read(run))
    pictures = run.glob(f'visualization/**/*_{iteration}.png')
    if measured or any(pictures):
        return 0
    print('no figure and no picture of the last iteration.', file=sys.stderr)
    return 1


def steps(file: Path, folder: Path, imports: list[str], iterations: int) -> Iterator[Step]:
    """What a file goes through."""
    flags = [flag for name in imports for flag in ('--import', name)]
    again, run = folder / 'again', Path('experiments', 'small')
    train = 'train', '-opt', str(folder / 'small.yml'), '--fast', *flags
    convert = 'enable', str(file), '-o', 'spn.yml', '--vgg-weights', 'oxford', *flags
    yield Step('enable', partial(command, folder, *convert))
    yield Step('check', partial(shrink, folder, iterations))
    yield Step('check', partial(command, folder, 'check', '-opt', 'small.yml', *flags))
    yield Step('train', partial(command, folder, *train))
    yield Step('validate', partial(validated, folder / run, iterations))
    again.mkdir()
    yield Step('resume', partial(killed, again, iterations, *train), -signal.SIGKILL)
    yield Step('resume', partial(command, again, *train, '--auto_resume'))
    yield Step('resume', partial(compare, folder / run, again / run, iterations))


def tried(file: Path, imports: list[str], iterations: int) -> Found:
    """Let a file go through all steps, or up to the first that fails."""
    with TemporaryDirectory() as home:
        folder = Path(home)
        for number, step in enumerate(steps(file, folder, imports, iterations)):
            log = folder / f'{number}.log'
            ended = call(step.work, log)
            if ended != step.status:
                said = said_last(log, ended)
                is_left_out = step.name == 'enable' and 'generates images' in said and is_generating(file)
                return Found(STEPS.index(step.name), f'{step.name}: {said}', is_left_out)
    return Found(len(STEPS))


def is_generating(file: Path) -> bool:
    """Whether an option file trains a model with nothing to restore."""
    return parse_file(file).get('model_type') in GENERATING


def said_last(log: Path, status: int) -> str:
    """The end of what a step said, in a line."""
    lines = [line for line in log.read_text(encoding='utf-8', errors='replace').splitlines() if line.strip()]
    told = [line for line in lines if 'Warning' not in line and ' INFO: ' not in line]
    text = ' '.join(' '.join(told[-8:]).split())
    _, error, message = text.rpartition('mclir: error: ')
    return message[:500] if error else text[-500:] or f'ended with status {status}'


def main() -> None:
    """Try every file, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('places', nargs='+', type=Path, metavar='FOLDER', help='or an option file')
    parser.add_argument('--import', dest='imports', action='append', default=[], metavar='FILE')
    parser.add_argument('--iterations', type=int, default=3)
    options = parser.parse_args()
    imports = [str(Path(name).resolve()) if Path(name).exists() else name for name in options.imports]
    names: dict[Path, str] = {}
    for place in options.places:
        found_here = sorted(place.rglob('*.yml')) if place.is_dir() else [place]
        names |= {file: str(file.relative_to(place if place.is_dir() else place.parent)) for file in found_here}
    if not names:
        raise SystemExit('There is no .yml in ' + ', '.join(map(str, options.places)))
    mclir_basicsr.register()
    found = []
    for file, name in names.items():
        found.append(tried(file.resolve(), imports, options.iterations))
        print(f'{name}: {found[-1].said or "passed"}', flush=True)
    print()
    for number, step in enumerate(STEPS, 1):
        print(f'{step}: {sum(each.steps >= number for each in found)} of {len(names)}')
    left_out = sum(each.is_left_out for each in found)
    failed = sum(each.failed for each in found)
    print(f'{len(names) - left_out - failed} passed, {left_out} left out, {failed} failed')
    raise SystemExit(int(failed > 0))


if __name__ == '__main__':
    main()
