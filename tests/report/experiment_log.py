"""Experiment folders with logs as BasicSR 1.4.2 writes them."""

from pathlib import Path

import cv2
import numpy as np

STAMP = '2026-01-02 03:04:05,678 INFO: '


def head(val_freq=5000, total_iter=20000, start=0):
    """What comes before the first training line: the options in force, what is built of them, the start."""
    val = f'  val:[\n    val_freq: {val_freq}\n    save_img: True\n  ]\n' if val_freq else ''
    return (
        f'{STAMP}\n  name: some\n  train:[\n    optim_g:[\n      type: Adam\n    ]\n    total_iter: {total_iter}\n  ]\n'
        f'{val}  rank: 0\n\n{STAMP}Dataset [PairedImageDataset] - Set5 is built.\n'
        f'{STAMP}Start training from epoch: 0, iter: {start}\n'
    )


def real_head(opt, start=0):
    """The same as BasicSR itself writes it, for an option dict."""
    from basicsr.utils import get_env_info
    from basicsr.utils.options import dict2str

    began = f'{STAMP}Start training from epoch: 0, iter: {start}\n'
    return f'{STAMP}{get_env_info()}\n{STAMP}{dict2str(opt)}\n{began}'


def training(iteration, **values):
    """A line of MessageLogger."""
    text = ''.join(f'{name}: {value:.4e} ' for name, value in values.items())
    return (
        f'{STAMP}[some_..][epoch:  3, iter:{iteration:8,d}, lr:(1.000e-04,1.000e-04,)] '
        f'[eta: 1 day, 2:03:04, time (data): 0.518 (0.009)] {text}\n'
    )


def validation(dataset, **values):
    """What SRModel logs of a validation."""
    rows = ''.join(f'\t # {name}: {value:.4f}\tBest: 99.0000 @ 5 iter\n' for name, value in values.items())
    return f'{STAMP}Validation {dataset}\n{rows}\n'


END = f'{STAMP}End of training. Time consumed: 0:01:03\n{STAMP}Save the latest model.\n'


def write_log(folder, *parts, time='20260102_030405'):
    """Write ``<folder>/train_some_<time>.log``; returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f'train_some_{time}.log').write_text(''.join(parts), encoding='utf-8')
    return folder


def write_image(folder, name, iteration, image):
    """Write an image (H, W, 3), uint8, RGB, as a validation of a training does."""
    file = Path(folder) / 'visualization' / name / f'{name}_{iteration}.png'
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.ascontiguousarray(image[..., ::-1]))
    return file


def noise(seed, height=40, width=48):
    """A random RGB image."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
