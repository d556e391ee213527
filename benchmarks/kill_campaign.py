"""Kill training runs at random moments, resume them, and compare their ends with a run that was left alone.

    python benchmarks/kill_campaign.py --kills 50

Every kill is a SIGKILL to the run and its workers; half of them wait until a checkpoint is being written. A killed run
is started again with --auto_resume, until it is done. Then its last training state (optimizer, schedule, negatives),
its networks (net_g and EMA) and every loss that any of its parts logged must equal the uninterrupted run's, bit for
bit. The runs are forked from this process, which has imported torch once and computes nothing itself.
"""

import argparse
import os
import random
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A process with threads must not be forked.
os.environ.update(OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', MKL_NUM_THREADS='1')

import cv2
import numpy as np
import torch
import yaml
from children import call, ended, fork, same

import mclir_basicsr
from mclir_basicsr.commands.cli import main as mclir

ITERATIONS, SAVE_EVERY = 40, 4

EDSR = {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 8, 'num_block': 1, 'upscale': 2}
SWINIR = {
    'type': 'SwinIR', 'upscale': 2, 'in_chans': 3, 'img_size': 8, 'window_size': 8, 'img_range': 1.0, 'depths': [2],
    'embed_dim': 8, 'num_heads': [2], 'mlp_ratio': 2, 'upsampler': 'pixelshuffledirect', 'resi_connection': '1conv',
    'drop_rate': 0.1,
}  # fmt: skip
PERIODIC = {'interval': [2, 3, 7]}
ADAPTIVE = {'policy': 'adaptive', 'negatives': 3, 'threshold': 0.02, 'decay': 0.1, 'per_step': 2}

# Network, history, keys of datasets.train.
RUNS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    'EDSR, 2 workers': (EDSR, PERIODIC, {'num_worker_per_gpu': 2}),
    'SwinIR with dropout, 2 workers': (SWINIR, PERIODIC, {'num_worker_per_gpu': 2}),
    'SwinIR with dropout, no worker': (SWINIR, PERIODIC, {'num_worker_per_gpu': 0}),
    'EDSR, adaptive, 2 persistent workers': (EDSR, ADAPTIVE, {'num_worker_per_gpu': 2, 'persistent_workers': True}),
}


@dataclass
class Tally:
    """What happened to the repetitions of one run."""

    repetitions: int = 0
    kills: int = 0
    in_a_save: int = 0
    survived: int = 0


def write_pairs(folder: Path) -> int:
    """Five pairs of random images."""
    generator = np.random.default_rng(0)
    for side, part in ((32, 'gt'), (16, 'lq')):
        (folder / part).mkdir()
        for i in range(5):
            cv2.imwrite(str(folder / part / f'{i}.png'), generator.integers(0, 256, (side, side, 3), dtype=np.uint8))
    return 0


def write_options(file: Path, pairs: Path, name: str) -> None:
    """The option file of one of RUNS."""
    network, history, data = deepcopy(RUNS[name])
    opt = {
        'name': 'run', 'model_type': 'HistoryModel', 'scale': 2, 'num_gpu': 0, 'manual_seed': 0,
        'datasets': {'train': {
            'name': 'noise', 'type': 'PairedImageDataset', 'io_backend': {'type': 'disk'},
            'dataroot_gt': str(pairs / 'gt'), 'dataroot_lq': str(pairs / 'lq'),
            'gt_size': 16, 'use_hflip': True, 'use_rot': True, 'batch_size_per_gpu': 2, 'dataset_enlarge_ratio': 3,
        } | data},
        'network_g': network,
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': {
            'ema_decay': 0.9, 'total_iter': ITERATIONS, 'warmup_iter': -1,
            'optim_g': {'type': 'Adam', 'lr': 1e-3},
            'scheduler': {'type': 'MultiStepLR', 'milestones': [20, 30], 'gamma': 0.5},
            'pixel_opt': {'type': 'L1Loss'},
            'spn_opt': {'weights': 'random', 'layer_weights': {'relu1_1': 1.0}, 'loss_weight': 0.1},
            'history': history,
        },
        'logger': {'print_freq': 1, 'save_checkpoint_freq': SAVE_EVERY, 'use_tb_logger': False},
    }  # fmt: skip
    file.write_text(yaml.safe_dump(opt), encoding='utf-8')


def train(folder: Path, options: Path) -> Callable[[], int]:
    """`mclir train -opt OPTIONS --auto_resume` in folder, to be called in a child."""

    def work() -> int:
        torch.set_num_threads(1)
        os.chdir(folder)
        return mclir(['train', '-opt', str(options), '--auto_resume'])

    return work


def half_written(folder: Path) -> set[Path]:
    """Checkpoints under a temporary name."""
    return {file for part in ('models', 'training_states') for file in folder.glob(f'experiments/run*/{part}/*.tmp')}


def kill_somewhere(child: int, folder: Path, within: float, moments: random.Random) -> bool:
    """Kill the run at a random moment; False where it had ended by then.

    Raises:
        SystemExit: The run failed by itself.
    """
    in_a_save, moment = moments.random() < 0.5, time.monotonic() + moments.uniform(0, within)
    left, status = half_written(folder), None
    while status is None and (time.monotonic() < moment or (in_a_save and half_written(folder) <= left)):
        status = ended(child)
        time.sleep(2e-4)
    if status:
        raise SystemExit(f'a run failed with status {status}: see {folder}/output.log')
    if status == 0:
        return False
    time.sleep(moments.uniform(0, 2e-3) if in_a_save else 0)
    with suppress(ProcessLookupError):  # it ended just now
        os.killpg(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] != 0


def logged(folder: Path) -> set[tuple[str, str]]:
    """Iteration and losses of every line in the logs of a run and its parts."""
    text = '\n'.join(file.read_text(encoding='utf-8') for file in folder.glob('experiments/run*/train_*.log'))
    return set(re.findall(r'iter: +(\d+), .*?(l_pix.*)', text))


def equal(folder: Path, straight: Path) -> Callable[[], int]:
    """Compare the ends of two runs, to be called in a child: status 0 where nothing differs."""

    def work() -> int:
        for name in (
            f'training_states/{ITERATIONS}.state',
            f'models/net_g_{ITERATIONS}.pth',
            'models/net_g_latest.pth',
        ):
            ends = [torch.load(root / 'experiments' / 'run' / name, weights_only=True) for root in (folder, straight)]
            if not same(*ends):
                print(f'{name} differs')
                return 1
        differing = logged(folder) - logged(straight)
        print(f'logged otherwise: {sorted(differing)}')
        return len(differing) > 0

    return work


def repeat(folder: Path, options: Path, straight: Path, within: float, moments: random.Random, tally: Tally) -> None:
    """One run from its start to its end, killed on the way, and the comparison."""
    folder.mkdir()
    kills = 0
    left: set[Path] = set()
    while kill_somewhere(fork(train(folder, options), folder / 'output.log'), folder, within, moments):
        kills += 1
        half = half_written(folder)  # at once: the resumed run removes them
        tally.in_a_save += bool(half - left)
        left = half
        if not list(folder.glob('experiments/run/training_states/*.state')):
            time.sleep(1)  # it starts anew, and BasicSR puts the old folder aside under a name that ends in the second
    tally.repetitions += 1
    tally.kills += kills
    if call(equal(folder, straight), folder / 'output.log') == 0:
        tally.survived += kills
    else:
        print(f'{folder} ended otherwise: see its output.log')


def main() -> None:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=50, help='in all, at least')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    arguments = parser.parse_args()

    mclir_basicsr.register()
    root, moments, began = Path(tempfile.mkdtemp(prefix='kills-')), random.Random(arguments.seed), time.monotonic()
    call(lambda: write_pairs(root), root / 'output.log')
    took, tallies = {}, {name: Tally() for name in RUNS}
    for number, name in enumerate(RUNS):
        options, straight = root / f'{number}.yml', root / f'{number}-straight'
        write_options(options, root, name)
        straight.mkdir()
        start = time.monotonic()
        if call(train(straight, options), straight / 'output.log'):
            raise SystemExit(f'a run failed: see {straight}/output.log')
        took[name] = time.monotonic() - start
        print(f'{name}: {took[name]:.1f} s', flush=True)
    while sum(tally.kills for tally in tallies.values()) < arguments.kills:
        number, name = min(enumerate(RUNS), key=lambda item: tallies[item[1]].kills)
        folder = root / f'{number}-{tallies[name].repetitions}'
        repeat(folder, root / f'{number}.yml', root / f'{number}-straight', took[name], moments, tallies[name])
        print(f'{name}: {tallies[name]}', flush=True)

    print('\n| run | repetitions | kills | of them during a save | ended as if never killed |\n|---|---|---|---|---|')
    for name, tally in tallies.items():
        print(f'| {name} | {tally.repetitions} | {tally.kills} | {tally.in_a_save} | {tally.survived} |')
    kills, in_a_save, survived = (
        sum(getattr(t, part) for t in tallies.values()) for part in ('kills', 'in_a_save', 'survived')
    )
    print(f'\n{survived} of {kills} kills, {in_a_save} of them during a save, in {time.monotonic() - began:.0f} s')
    if survived != kills:
        raise SystemExit(f'the runs are left in {root}')
    shutil.rmtree(root)


if __name__ == '__main__':
    main()
