"""Pairs for the studies of docs/evidence.md: three tasks made from photographs.

    python benchmarks/evidence/make_pairs.py --train BSD100/gt --test Set5=Set5/gt Set14=Set14/gt

- ``sr``: x2 super-resolution; lq by MATLAB's bicubic reduction (mclir_basicsr.prepare.resize).
- ``haze``: I = J·t + A·(1 − t), t = exp(−β·d), d a smooth random depth in [0, 1], β in [0.8, 2.0], A in [0.7, 1.0]
  (the atmospheric scattering model, Narasimhan and Nayar, IJCV 2002).
- ``rain``: streaks of one direction, length and density an image, drawn and added (after Garg and Nayar, IJCV 2007).

Training photographs are cut into tiles of 96 pixels; of test photographs the central 192x192 are taken, so that many
validations fit into minutes on two cores. Everything follows from the seed of each photograph's name.
"""

import argparse
import zlib
from pathlib import Path

import cv2
import numpy as np

from mclir_basicsr.prepare.resize import reduce

TILE = 96
TEST = 192


def haze(gt: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Hazy image of gt (H, W, 3), both in [0, 1]."""
    height, width = gt.shape[:2]
    coarse = random.random((4, 4)).astype(np.float32)
    depth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    depth = (depth - depth.min()) / (depth.max() - depth.min())
    t = np.exp(-random.uniform(0.8, 2.0) * depth)[..., None]
    return gt * t + random.uniform(0.7, 1.0) * (1 - t)


def rain(gt: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rainy image of gt (H, W, 3), both in [0, 1]."""
    drops = (random.random(gt.shape[:2]) < random.uniform(0.004, 0.012)).astype(np.float32)
    length, angle = int(random.integers(9, 21)), random.uniform(-25, 25)
    line = np.zeros((length, length), np.float32)
    line[:, length // 2] = 1
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), angle, 1)
    line = cv2.warpAffine(line, turn, (length, length))
    streaks = cv2.GaussianBlur(cv2.filter2D(drops, -1, line), (3, 3), 0.7)
    return np.clip(gt + random.uniform(0.5, 0.9) * streaks[..., None], 0, 1)


def make(file: Path, name: str, side: int | None, out: Path) -> None:
    """Write the pairs of one photograph: tiles, or with ``side`` None the centre."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f'{file} cannot be read as an image.')
    height, width = image.shape[:2]
    if side is None:
        top, left = max(height - TEST, 0) // 2, max(width - TEST, 0) // 2
        side_h, side_w = min(TEST, height) // 8 * 8, min(TEST, width) // 8 * 8
        parts = {'': image[top : top + side_h, left : left + side_w]}
    else:
        tops, lefts = range(0, height - side + 1, side), range(0, width - side + 1, side)
        parts = {f'_{i}_{j}': image[i : i + side, j : j + side] for i in tops for j in lefts}
    whole = {'haze': haze, 'rain': rain}
    for suffix, gt in parts.items():
        made = {'sr': reduce(gt, 2)}
        for task, degrade in whole.items():
            made[task] = (degrade(gt.astype(np.float32) / 255, random) * 255).round().astype(np.uint8)
        for task, lq in made.items():
            for kind, content in (('gt', gt), ('lq', lq)):
                (out / task / kind).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(out / task / kind / f'{name}{suffix}.png'), content)


def main() -> None:
    """Make all pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--train', type=Path, required=True, metavar='DIR', help='photographs to train on')
    parser.add_argument('--test', required=True, nargs='+', metavar='NAME=DIR', help='photographs to test on')
    parser.add_argument('--out', type=Path, default=Path('evidence'), metavar='DIR', help='default: evidence')
    arguments = parser.parse_args()
    for file in sorted(arguments.train.glob('*.png')):
        make(file, file.stem, TILE, arguments.out / 'train')
    for name, _, folder in (entry.partition('=') for entry in arguments.test):
        for file in sorted(Path(folder).glob('*.png')):
            make(file, f'{name}_{file.stem}', None, arguments.out / 'test')


if __name__ == '__main__':
    main()
