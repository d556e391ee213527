"""``mclir demo``: what SPN brings to a small network, on photographs that ship with scikit-image.

The runs are BasicSR's own training, started as a user would (``mclir train -opt FILE``), from option files that stay
beside the results.
"""

import math
import re
import subprocess
import sys
import time
from collections import deque
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from string import Template

import yaml
from tqdm import tqdm

from mclir_basicsr.check.spn_ratio import ratio_per_weight
from mclir_basicsr.commands.replacing import refuse_to_replace
from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.features import imagenet_file
from mclir_basicsr.losses.spn_loss import SPNLoss
from mclir_basicsr.losses.spn_weight import PUBLISHED_WEIGHT, RATIO, weight_for
from mclir_basicsr.options import parse_file

ITERS = 150
BASELINE_ITERS = 400
SEEDS = 3
SECONDS = 200  # no repetition is begun that would end later, unless their number was asked for
_MEANINGS = {
    'imagenet': 'Real features: VGG16 with the ImageNet weights of torchvision, as in the paper.',
    'oxford': "Real features: VGG16 with the ImageNet weights of Oxford's Visual Geometry Group, which ship with this "
    "package. The paper takes torchvision's.",
    'random': 'VGG16 features with random weights: the figures show that all works, not what the paper gains.',
}


def demo(
    out: Path,
    *,
    iters: int | None = None,
    seeds: int | None = None,
    vgg_weights: str | None = None,
    force: bool = False,
) -> str:
    """Train a small EDSR x2, then continue it plainly and with SPN, on the same batches.

    Args:
        out: Folder for photographs, option files, experiments, ``report.png`` and ``report.html``.
        iters: Iterations of each continuation; None for 150.
        seeds: Repetitions of each with other seeds; None for 3, or fewer on a slow machine.
        vgg_weights: ``imagenet``, ``oxford``, ``random`` or the path of a torchvision vgg16 state dict; None for
            ImageNet's where they are in torchvision's cache, else those of Oxford, which ship with the package.
        force: Replace files of other origin in ``out`` that have the names of the demo's.

    Returns:
        The table and what to know about it, for the terminal.

    Raises:
        MclirError: An argument out of range, ``out`` holds files of other origin, or a training failed.
    """
    from mclir_basicsr.plugin import register

    if (iters is not None and iters < 5) or (seeds is not None and seeds < 1):
        raise MclirError(f'--iters must be at least 5 and --seeds at least 1, but they are {iters} and {seeds}.')
    register()
    from mclir_basicsr.commands.demo.photographs import HELD_OUT, TRAIN, write_pairs
    from mclir_basicsr.report import load_pictures, read_run, table, write_report

    began = time.monotonic()
    out = out.resolve()
    _refuse_foreign(out, force)
    iters = iters or ITERS
    weights, meaning = _choose_weights(vgg_weights)
    write_pairs(out / 'photographs')
    first = _write_options(out, 'baseline', BASELINE_ITERS, lr=1e-3, model_type='SRModel')
    baseline = _train(first, BASELINE_ITERS)
    pretrain = baseline / 'models' / 'net_g_latest.pth'
    start = pretrain.relative_to(out)
    spn: dict[str, object] = {'loss_weight': PUBLISHED_WEIGHT, 'weights': _quoted(weights)}
    per_weight = _ratio_per_weight(_write_options(out, 'spn_seed0', iters, lr=5e-4, pretrain=start, spn=spn))
    loss_weight = weight_for(RATIO, per_weight)
    settings: dict[str, dict[str, object] | None] = {'plain': None, 'SPN': spn | {'loss_weight': loss_weight}}

    runs, loop_began = [], time.monotonic()
    for seed in range(seeds or SEEDS):
        now = time.monotonic()
        if seed and seeds is None and now - began + (now - loop_began) / seed > SECONDS:
            break
        for label, added in settings.items():
            options = _write_options(
                out, f'{label.lower()}_seed{seed}', iters, lr=5e-4, seed=seed, pretrain=start, spn=added
            )
            runs.append(read_run(_train(options, iters), label))
    ratios = [value for run in runs for _, value in run.training.get('spn_ratio', [])]
    notes = [
        f'EDSR x2 (32 features, 4 blocks) after {BASELINE_ITERS} iterations on {", ".join(TRAIN)}, then {iters} more, '
        'plainly (HistoryModel without spn_opt and history) or with SPN, on the same batches in the same order; '
        f'figures on Y, border 2, of {" and ".join(HELD_OUT)}, which it has not seen.',
        f'λ = {loss_weight:g}, chosen for a spn_ratio near {RATIO}; measured {fmean(ratios):.3f} (mean). The published '
        f'{PUBLISHED_WEIGHT:g} would give {PUBLISHED_WEIGHT * per_weight:.2g}.',
        meaning,
    ]
    if len(runs) > len(settings):
        notes.append('Short runs differ by a few hundredths of a dB by chance: compare a gain with its interval.')
    pictures = load_pictures(runs, out / 'photographs/held-out/lq', out / 'photographs/held-out/gt')
    page = write_report(runs, out, pictures, notes)
    return '\n'.join(['', table(runs), '', *notes, '', f'{page} ({time.monotonic() - began:.0f} s)'])


def _refuse_foreign(out: Path, force: bool) -> None:
    """Refuse to write over what no demo wrote; over an earlier demo one may."""
    first = out / 'baseline.yml'
    ours = first.is_file() and first.read_bytes().startswith(b'# Written by `mclir demo`')
    names = ('photographs', 'baseline.yml', 'report.html', 'report.png')
    refuse_to_replace((out / name for name in names), '--out', force=force, ours=ours)


def _choose_weights(given: str | None) -> tuple[str, str]:
    """Value of ``spn_opt.weights``, and what it means for the figures."""
    if given is None:
        given = 'imagenet' if imagenet_file('vgg16').is_file() else 'oxford'
    if given not in _MEANINGS:
        file = Path(given).expanduser().resolve()
        if not file.is_file():
            raise MclirError(f'--vgg-weights: there is no file {file}; it may also be {", ".join(_MEANINGS)}.')
        given = str(file)
    SPNLoss(weights=given)  # what cannot be had or does not fit fails here, not after the first training
    return given, _MEANINGS.get(given, f'VGG16 features from {given}.')


def _write_options(
    out: Path,
    name: str,
    iters: int,
    lr: float,
    seed: int = 0,
    pretrain: Path | str = '~',
    spn: dict[str, object] | None = None,
    model_type: str = 'HistoryModel',
) -> Path:
    """Write ``<name>.yml`` from the templates beside this file.

    The plain continuation, too, is a HistoryModel: without ``spn_opt`` and ``history`` it trains as SRModel does, but
    on the batches of the SPN run. SRModel keeps BasicSR's own data stream, in which other patches come.
    """
    templates = files(__package__)
    text = templates.joinpath('options.yml').read_text(encoding='utf-8')
    if spn is not None:
        text += templates.joinpath('spn.yml').read_text(encoding='utf-8')
    values = {
        'name': name,
        'model_type': model_type,
        'seed': seed,
        'pretrain': pretrain,
        'lr': lr,
        'milestone': iters * 2 // 3,
        'total_iter': iters,
        'val_freq': max(1, iters // 5),
        'print_freq': max(1, iters // 25),
        'ratio': RATIO,
    }
    file = out / f'{name}.yml'
    file.write_text(Template(text).substitute(values | (spn or {})), encoding='utf-8')
    return file


def _quoted(text: str) -> str:
    """Any text as a YAML value on one line."""
    return yaml.safe_dump(text, default_style='"', width=math.inf).rstrip()


def _train(options: Path, iters: int) -> Path:
    """Run ``mclir train`` in its own process with a progress bar; returns the experiment folder."""
    command = [sys.executable, '-m', 'mclir_basicsr', 'train', '-opt', options.name]
    last: deque[str] = deque(maxlen=15)
    with (
        subprocess.Popen(
            command,
            cwd=options.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        ) as process,
        tqdm(total=iters, desc=options.stem, unit='iteration', dynamic_ncols=True) as bar,
    ):
        for line in process.stdout or ():
            last.append(line)
            if found := re.search(r'iter: *([\d,]+), lr', line):
                bar.update(int(found[1].replace(',', '')) - bar.n)
    if process.returncode:
        raise MclirError(f'The run {options.stem} failed ({" ".join(command)}):\n{"".join(last)}')
    return options.parent / 'experiments' / options.stem


def _ratio_per_weight(options: Path) -> float:
    """The ``spn_ratio`` that λ = 1 would give at the start; the paths of the option file are seen from its folder."""
    opt = parse_file(options)
    places = [(opt['datasets']['train'], key) for key in ('dataroot_gt', 'dataroot_lq')]
    for block, key in [*places, (opt['path'], 'pretrain_network_g')]:
        block[key] = str(options.parent / block[key])
    return ratio_per_weight(opt)
