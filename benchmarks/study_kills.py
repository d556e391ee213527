"""A study that is killed at random moments and given again ends as one that never stopped.

    python benchmarks/study_kills.py --kills 5

Both are ``mclir study`` as a user starts it, two arms and two seeds of a tiny EDSR, in a process group of its own.
SIGKILL goes to the group of the study. Its runs are in groups of their own, notice that they are alone, save and end,
and the study that is given again waits for them. What is compared is ``results.json``, byte for byte.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import yaml

ARMS = ('--arm', 'plain', 'train:spn_opt=~', 'train:history=~', '--arm', 'spn')


def write_options(folder: Path, iterations: int) -> Path:
    """Six pairs of random images, and the option file of a run on them."""
    generator = np.random.default_rng(0)
    for part, side in (('gt', 32), ('lq', 16)):
        (folder / part).mkdir()
        for i in range(6):
            coarse = generator.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / part / f'{i}.png'), cv2.resize(coarse, (side, side)))
    pairs = {
        'type': 'PairedImageDataset', 'io_backend': {'type': 'disk'},
        'dataroot_gt': str(folder / 'gt'), 'dataroot_lq': str(folder / 'lq'),
    }  # fmt: skip
    opt = {
        'name': 'tiny', 'model_type': 'HistoryModel', 'scale': 2, 'num_gpu': 0, 'manual_seed': 0,
        'datasets': {
            'train': {'name': 'train', 'gt_size': 16, 'use_hflip': True, 'use_rot': True, 'num_worker_per_gpu': 0,
                      'batch_size_per_gpu': 2, 'dataset_enlarge_ratio': 3, **pairs},
            'val': {'name': 'held-out', **pairs},
        },
        'network_g': {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 2},
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': {
            'ema_decay': 0.9, 'total_iter': iterations, 'warmup_iter': -1, 'optim_g': {'type': 'Adam', 'lr': 1e-3},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [iterations // 2], 'gamma': 0.5},
            'pixel_opt': {'type': 'L1Loss'},
            'spn_opt': {'type': 'SPNLoss', 'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'loss_weight': 0.1},
            'history': {'interval': [2, 3]},
        },
        'val': {'val_freq': 20, 'save_img': False, 'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 2}}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 5, 'use_tb_logger': False},
    }  # fmt: skip
    file = folder / 'tiny.yml'
    file.write_text(yaml.safe_dump(opt, sort_keys=False), encoding='utf-8')
    return file


@contextmanager
def started(options: Path, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`mclir study` in a process group of its own, which is killed where it has not ended behind the block."""
    command = [sys.executable, '-m', 'mclir_basicsr', 'study', '-opt', str(options), '-o', str(out), '--seeds', '2']
    with out.with_suffix('.log').open('ab') as log:
        study = subprocess.Popen([*command, *ARMS], stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield study
    finally:
        if study.poll() is None:
            os.killpg(study.pid, signal.SIGKILL)
            study.wait()


def finish(options: Path, out: Path) -> bytes:
    """Start a study, or go on with one, to its end; returns its results."""
    with started(options, out) as study:
        if study.wait():
            raise SystemExit(f'the study failed with status {study.returncode}: see {out.with_suffix(".log")}')
    return (out / 'results.json').read_bytes()


def killed(options: Path, out: Path, moment: float) -> bool:
    """Start a study, or go on with one, and kill it after so many seconds; False where it has ended before."""
    with started(options, out) as study:
        try:
            study.wait(moment)
        except subprocess.TimeoutExpired:
            return True
    return False


def iterations_done(out: Path) -> int:
    """Over all runs, as far as their states are saved."""
    states = (file for run in out.glob('experiments/*') for file in run.glob('training_states/*.state'))
    last: dict[Path, int] = {}
    for file in states:
        last[file.parent] = max(last.get(file.parent, 0), int(file.stem))
    return sum(last.values())


def main() -> None:
    """Run the campaign and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=5)
    parser.add_argument('--iterations', type=int, default=40, help='of each of the four runs')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    arguments = parser.parse_args()

    root, moments = Path(tempfile.mkdtemp(prefix='study-kills-')), random.Random(arguments.seed)
    options, began = write_options(root, arguments.iterations), time.monotonic()
    expected = finish(options, root / 'whole')
    took = time.monotonic() - began
    print(f'never stopped: {took:.0f} s', flush=True)
    kills = same = campaigns = 0
    while kills < arguments.kills:
        campaigns += 1
        out = root / f'killed-{campaigns}'
        while kills < arguments.kills and killed(options, out, moment := moments.uniform(0, took)):
            kills += 1
            print(f'kill {kills} after {moment:.1f} s, {iterations_done(out)} iterations saved', flush=True)
        is_same = finish(options, out) == expected
        same += is_same
        print(f'study {campaigns} ended {"with the same" if is_same else "WITH OTHER"} results.json', flush=True)
    print(f'\n{kills} kills in {campaigns} studies, {same} of them with the same results.json')
    if same != campaigns:
        raise SystemExit(f'they are left in {root}')


if __name__ == '__main__':
    main()
