"""How many option files of BasicSR or of a fork become SPN retrainings that run: converted, examined, trained.

    python benchmarks/option_files.py FOLDER [--import FILE] [--iters 3]

Each ``.yml`` of the folder goes through ``mclir enable``, ``mclir check`` and ``mclir train`` in a folder of its own.
The pairs are six synthetic ones, and the networks have a few features in place of those that the file names: its model,
losses, schedule, augmentation and data set classes are what is tried. Nothing is downloaded: SPN has the features that
ship, and perceptual losses are taken out.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import yaml

from mclir_basicsr.commands.cli import main as mclir
from mclir_basicsr.options import parse_file

_SIDE = 40  # of lq images; patches are of 32
# What makes networks small, by argument, where they have it.
_SMALL: dict[str, Any] = {
    'embed_dim': 48, 'depths': [2], 'depth': [2], 'num_heads': [2], 'width': 8, 'enc_blk_nums': [1],
    'middle_blk_num': 1, 'dec_blk_nums': [1], 'num_feat': 8, 'num_block': 1, 'num_grow_ch': 4,
    'num_blocks': [1, 1, 1, 1], 'num_refinement_blocks': 1, 'dim': 8, 'heads': [1, 1, 1, 1], 'num_group': 1,
}  # fmt: skip


def pairs(folder: Path, scale: int) -> tuple[Path, Path, Path]:
    """Write six smooth pairs; their folders, and a list of the gt images."""
    random, (gt, lq) = np.random.default_rng(0), (folder / 'gt', folder / 'lq')
    for place in (gt, lq):
        place.mkdir()
    for i in range(6):
        coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (_SIDE * scale, _SIDE * scale), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(gt / f'{i}.png'), image)
        cv2.imwrite(str(lq / f'{i}.png'), cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
    (folder / 'list.txt').write_text(''.join(f'{i}.png ({_SIDE * scale},{_SIDE * scale},3)\n' for i in range(6)))
    return gt, lq, folder / 'list.txt'


def made_small(opt: dict[str, Any], folder: Path, iterations: int) -> dict[str, Any]:
    """The options with synthetic data, small networks and a few iterations."""
    scale = int(opt.get('scale', 1))
    gt, lq, listed = pairs(folder, scale)
    for block in opt['datasets'].values():
        block |= {'dataroot_gt': str(gt), 'io_backend': {'type': 'disk'}}
        block |= {'dataroot_lq': str(lq)} if 'dataroot_lq' in block else {}
        block |= {key: str(listed) for key in ('meta_info', 'meta_info_file') if key in block}
        block |= {'filename_tmpl': '{}'} if 'filename_tmpl' in block else {}
    train = opt['datasets']['train']
    train |= {'gt_size': 32 * scale, 'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}
    if 'gt_sizes' in train:
        train |= {'gt_sizes': [16 * scale, 32 * scale], 'mini_batch_sizes': [2, 1], 'iters': [iterations - 1, 1]}
    opt |= {key: value for key, value in (('gt_size', 32 * scale), ('queue_size', 4)) if key in opt}
    for network in (key for key in opt if key.startswith('network_')):
        opt[network] |= {key: value for key, value in _SMALL.items() if key in opt[network]}
    opt |= {'num_gpu': 0}
    opt['path'] |= {key: None for key in opt['path'] if key.startswith('pretrain')}
    opt['train'] |= {'total_iter': iterations}
    opt['train'].pop('perceptual_opt', None)  # its VGG is a download
    opt['logger'] |= {'print_freq': 1, 'save_checkpoint_freq': iterations, 'use_tb_logger': False}
    if 'val' in opt:
        opt['val'] |= {'val_freq': iterations}
    return opt


def run(*arguments: str) -> str:
    """Run a command of ``mclir`` in this process; what it says where it fails."""
    said = io.StringIO()
    sys.argv = ['mclir']
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            failed = mclir(arguments)
        except Exception as error:
            return f'{type(error).__name__}: {error}'
    errors = [line for line in said.getvalue().splitlines() if 'Warning' not in line and 'INFO' not in line]
    return ' '.join(errors)[-400:] or 'failed' if failed else ''


def tried(file: Path, imports: list[str], iterations: int) -> Mapping[str, str]:
    """What each step said where it failed, up to the first that did; empty for one that worked."""
    flags = [flag for name in imports for flag in ('--import', name)]
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            steps = {'enable': run('enable', str(file), '-o', 'spn.yml', '--vgg-weights', 'oxford', *flags)}
            if not steps['enable']:
                opt = made_small(parse_file(Path('spn.yml')), Path(folder), iterations)
                Path('small.yml').write_text(yaml.safe_dump(opt, sort_keys=False))
                steps['check'] = run('check', '-opt', 'small.yml', *flags)
            if not steps.get('check', 'none'):
                steps['train'] = run('train', '-opt', 'small.yml', '--fast', *flags)
        finally:
            os.chdir(before)
    return steps


def main() -> None:
    """Try every file, and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--import', dest='imports', action='append', default=[], metavar='FILE')
    parser.add_argument('--iters', type=int, default=3)
    options = parser.parse_args()
    imports = [str(Path(name).resolve()) for name in options.imports]
    found = {file: tried(file.resolve(), imports, options.iters) for file in sorted(options.folder.glob('*.yml'))}
    for file, steps in found.items():
        failed = next((f'{step}: {said}' for step, said in steps.items() if said), '')
        print(f'{file.name}: {failed or "trained"}')
    for step in ('enable', 'check', 'train'):
        count = sum(steps.get(step, 'none') == '' for steps in found.values())
        print(f'{step}: {count} of {len(found)}')


if __name__ == '__main__':
    main()
