"""How often plain training is called different from plain training: it should be once in twenty.

    python benchmarks/plain_against_plain.py

A study pairs runs that share a seed, so that two arms with the same options would be the same run twice, and every
difference zero. So here the second arm has the options of the first, but seeds that no other run has: another order of
the data and other crops and flips. The true gain is zero, since both arms are draws from the same distribution, yet no
two runs are alike, and the differences are those of real training on real images: neither normal nor of one variance.

Each of 20 comparisons has its own runs, 3 seeds an arm, of a tiny EDSR (x2) that is trained on from one network. They
are ordinary runs of ``mclir train``, forked so that torch is imported once, and compared by the code of a study. Of
20 intervals of 95 % one is expected without zero, and more than two in 7.5 % of such campaigns.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from skimage import data

import mclir_basicsr
from mclir_basicsr.commands.cli import main as mclir
from mclir_basicsr.prepare.resize import reduce
from mclir_basicsr.study.definition import run_name
from mclir_basicsr.study.results import collect
from mclir_basicsr.study.verdict import sentence

BASE_ITERATIONS, ITERATIONS = 300, 100
ARMS = ('first', 'second')
MOST = 2  # of 20
PHOTOGRAPHS = {'train': (('astronaut', 'coffee'), 96, 12), 'held-out': (('chelsea', 'rocket'), 64, 5)}


def write_pairs(root: Path) -> None:
    """Random tiles of photographs that ship with scikit-image, gt and lq."""
    random = np.random.default_rng(0)
    for part, (names, side, count) in PHOTOGRAPHS.items():
        for kind in ('gt', 'lq'):
            (root / part / kind).mkdir(parents=True)
        for name in names:
            image = getattr(data, name)()[..., 2::-1]
            for i in range(count):
                top, left = (int(random.integers(0, length - side)) for length in image.shape[:2])
                gt = np.ascontiguousarray(image[top : top + side, left : left + side])
                cv2.imwrite(str(root / part / 'gt' / f'{name}_{i}.png'), gt)
                cv2.imwrite(str(root / part / 'lq' / f'{name}_{i}.png'), reduce(gt, 2))


def options(root: Path, name: str, seed: int, iterations: int, start: Path | None) -> dict[str, Any]:
    """Of a plain run."""

    def pairs(part: str) -> dict[str, Any]:
        folders = {f'dataroot_{kind}': str(root / part / kind) for kind in ('gt', 'lq')}
        return {'name': part, 'type': 'PairedImageDataset', 'io_backend': {'type': 'disk'}, **folders}

    return {
        'name': name, 'model_type': 'HistoryModel', 'scale': 2, 'num_gpu': 0, 'manual_seed': seed,
        'datasets': {
            'train': pairs('train') | {
                'gt_size': 48, 'use_hflip': True, 'use_rot': True, 'num_worker_per_gpu': 0, 'batch_size_per_gpu': 4,
                'dataset_enlarge_ratio': 20,
            },
            'val': pairs('held-out'),
        },
        'network_g': {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 2},
        'path': {'pretrain_network_g': str(start) if start else None, 'strict_load_g': True, 'resume_state': None},
        'train': {
            'ema_decay': 0, 'total_iter': iterations, 'warmup_iter': -1,
            'optim_g': {'type': 'Adam', 'lr': 5e-4},
            'scheduler': {'type': 'CosineAnnealingRestartLR', 'periods': [iterations], 'eta_min': 1e-6},
            'pixel_opt': {'type': 'L1Loss'},
        },
        'val': {
            'val_freq': 10**6, 'save_img': False, 'at_start': False,
            'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 2, 'test_y_channel': True}},
        },
        'logger': {'print_freq': 100, 'save_checkpoint_freq': 10**6, 'use_tb_logger': False},
    }  # fmt: skip


def train(opt: dict[str, Any], root: Path) -> None:
    """A run in a forked child; what it says goes to a file beside its option file."""
    root.mkdir(exist_ok=True)
    file = root / f'{opt["name"]}.yml'
    file.write_text(yaml.safe_dump(opt), encoding='utf-8')

    def work() -> None:
        with file.with_suffix('.log').open('w') as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        torch.set_num_threads(1)
        raise SystemExit(mclir(['train', '--root', str(root), '-opt', str(file), '--fast']))

    child = multiprocessing.get_context('fork').Process(target=work)
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f'a run failed with status {child.exitcode}: see {file.with_suffix(".log")}')


def main() -> None:
    """Train, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pairs', type=int, default=20, help='comparisons')
    parser.add_argument('--seeds', type=int, default=3, help='of each arm in each comparison')
    parser.add_argument('--iterations', type=int, default=ITERATIONS, help='of each run')
    parser.add_argument('--out', type=Path, help='folder that keeps the runs (default: a temporary one)')
    arguments = parser.parse_args()

    mclir_basicsr.register()
    began, temporary = time.monotonic(), tempfile.TemporaryDirectory()
    root = (arguments.out or Path(temporary.name) / 'pairs').absolute()
    root.mkdir(parents=True)
    write_pairs(root)
    train(options(root, 'base', 0, BASE_ITERATIONS, None), root)
    start = root / 'experiments' / 'base' / 'models' / 'net_g_latest.pth'
    found = []
    for pair in range(arguments.pairs):
        folder = root / f'{pair:02}'
        for side, arm in enumerate(ARMS):
            for seed in range(arguments.seeds):
                own = 1 + (pair * len(ARMS) + side) * arguments.seeds + seed  # that no other run has
                train(options(root, run_name(arm, seed), own, arguments.iterations, start), folder)
        ends = dict.fromkeys(ARMS, arguments.iterations)
        (gain,) = collect(folder, ends, range(arguments.seeds), 0.05, None).gains
        found.append(gain)
        print(f'{pair + 1:2}: {sentence(gain).partition(";")[0]}{"  different" * gain.interval.decided}', flush=True)
    different = sum(gain.interval.decided for gain in found)
    apart, half = (
        np.array([getattr(gain.interval, name) for gain in found], dtype=float) for name in ('gain', 'half_width')
    )
    print(
        f'\n{different} of {len(found)} called different. The gains: mean {apart.mean():+.4f} dB, standard deviation '
        f'{apart.std(ddof=1) if len(apart) > 1 else 0:.4f}; half of an interval: {half.mean():.4f} in the mean. '
        f'{time.monotonic() - began:.0f} s.'
    )
    if different > MOST:
        raise SystemExit(1)


if __name__ == '__main__':
    main()
