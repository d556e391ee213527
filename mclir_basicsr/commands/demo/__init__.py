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

import torch
import yaml
from tqdm import tqdm

from mclir_basicsr.commands.replacing import refuse_to_replace
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint
from mclir_basicsr.losses.features import imagenet_file
from mclir_basicsr.losses.spn_loss import SPNLoss, gradient_ratio

ITERS = 150
BASELINE_ITERS = 400
SEEDS = 3
SECONDS = 200  # no repetition is begun that would end later, unless their number was asked for
SPN_RATIO = 0.05  # norm of the SPN gradient over the reconstruction's that λ is chosen for


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
        vgg_weights: Path of a torchvision vgg16 state dict; None for ImageNet's where they are in torchvision's
            cache, else random ones.
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
    loss_weight = _balanced_weight(out / 'baseline.yml', pretrain, weights)
    settings: dict[str, dict[str, object] | None] = {
        'plain': None,
        'SPN': {'loss_weight': loss_weight, 'weights': _quoted(weights)},
    }

    runs, loop_began = [], time.monotonic()
    for seed in range(seeds or SEEDS):
        now = time.monotonic()
        if seed and seeds is None and now - began + (now - loop_began) / seed > SECONDS:
            break
        for label, spn in settings.items():
            options = _write_options(
                out,
                f'{label.lower()}_seed{seed}',
                iters,
                lr=5e-4,
                seed=seed,
                pretrain=pretrain.relative_to(out),
                spn=spn,
            )
            runs.append(read_run(_train(options, iters), label))
    ratios = [value for run in runs for _, value in run.training.get('spn_ratio', [])]
    notes = [
        f'EDSR x2 (32 features, 4 blocks) after {BASELINE_ITERS} iterations on {", ".join(TRAIN)}, then {iters} more, '
        'plainly (HistoryModel without spn_opt and history) or with SPN, on the same batches in the same order; '
        f'figures on Y, border 2, of {" and ".join(HELD_OUT)}, which it has not seen.',
        f'λ = {loss_weight:g}, chosen for a spn_ratio near {SPN_RATIO}; measured {fmean(ratios):.3f} (mean).',
        meaning,
    ]
    if len(runs) > len(settings):
        notes.append('Short runs differ by a few hundredths of a dB by chance: compare a gain with its spread.')
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
    if given is not None:
        file = Path(given).expanduser().resolve()
        if not file.is_file():
            raise MclirError(f'--vgg-weights: there is no file {file}.')
        SPNLoss(weights=str(file))  # one that does not fit fails here, not after the first training
        return str(file), f'VGG16 features from {file}.'
    if imagenet_file('vgg16').is_file():
        return 'imagenet', 'VGG16 features with ImageNet weights, as in the paper.'
    return 'random', (
        'VGG16 features with random weights, as ImageNet weights are not in the cache (see `mclir doctor`): '
        'the figures show that all works, not what the paper gains.'
    )


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
        'ratio': SPN_RATIO,
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


def _balanced_weight(options: Path, pretrain: Path, weights: str) -> float:
    """The λ at which the SPN gradient at the output has SPN_RATIO times the norm of the pixel loss's, at the start."""
    from basicsr.archs import build_network
    from basicsr.data import build_dataset
    from torch.nn import functional as F

    from mclir_basicsr.history import ModelHistory
    from mclir_basicsr.options import parse_file

    opt = parse_file(options)
    torch.manual_seed(0)
    net = build_network(opt['network_g'])
    net.load_state_dict(checkpoint.load(pretrain, 'the baseline of the demo')['params'])
    history = ModelHistory(net, (1, 1, 1, 1), fresh=lambda: build_network(opt['network_g']))
    folders = {key: str(options.parent / opt['datasets']['train'][key]) for key in ('dataroot_gt', 'dataroot_lq')}
    dataset = build_dataset(opt['datasets']['train'] | folders | {'phase': 'train', 'scale': opt['scale']})
    batch = torch.utils.data.default_collate([dataset[i] for i in range(0, len(dataset), 4)])
    output = net(batch['lq'])
    spn = SPNLoss(loss_weight=1.0, weights=weights)(output, history(batch['lq']))
    ratio = gradient_ratio(spn, F.l1_loss(output, batch['gt']), output).item()
    return float(f'{SPN_RATIO / ratio:.1e}')
