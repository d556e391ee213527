"""Does the spread of a run's negatives tell where its network errs? docs/uncertainty.md has what it printed.

    python benchmarks/uncertainty.py EXPERIMENT --lq DIR --gt DIR [--state FILE] [--only K ...]

Beside the spread it measures two maps that need no history: the gradient of the restored image (edges are hard), and
how far the network moves from bicubic interpolation. A map of the negatives is worth its cost where it beats these.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from mclir_basicsr.commands.restore import picture
from mclir_basicsr.commands.restore.subject import Restorer, subject_of
from mclir_basicsr.commands.restore.uncertainty import negatives_of, newest_state
from mclir_basicsr.inference.spread import spread
from mclir_basicsr.metrics.calibration import calibration
from mclir_basicsr.plugin import register


def edges(image: np.ndarray) -> np.ndarray:
    """Norm of the gradient (Sobel) of the grey image, (H, W, C) to (H, W)."""
    grey = image.mean(2)
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def main() -> None:
    """Print means over the images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('experiment', type=Path)
    parser.add_argument('--lq', type=Path, required=True)
    parser.add_argument('--gt', type=Path, required=True)
    parser.add_argument('--state', type=Path)
    parser.add_argument('--only', type=int, nargs='+', help='negatives to take, counted from 0 (default: all)')
    options = parser.parse_args()
    register()
    subject = subject_of(options.experiment)
    state = options.state or newest_state(options.experiment)
    restorer = Restorer(subject)
    negatives = negatives_of(subject, state)
    others = [restorer.with_network(negatives[k]) for k in options.only or range(len(negatives))]
    found: dict[str, list[tuple[float, float, float]]] = {}
    for file in sorted(options.lq.iterdir()):
        lq, gt = picture.read(file), picture.read(options.gt / file.name).pixels
        members = np.stack([each(lq).pixels for each in (restorer, *others)])  # (K + 1, H, W, C)
        output = members[0].clip(0, 1)
        error = np.abs(output - gt).mean(2)
        bicubic = cv2.resize(lq.pixels, gt.shape[1::-1], interpolation=cv2.INTER_CUBIC).reshape(gt.shape)
        apart = spread(torch.from_numpy(members).permute(0, 3, 1, 2)[:, None])[0].numpy()
        maps = {'spread of the negatives': apart, 'gradient of the output': edges(output)}
        maps['distance from bicubic'] = np.abs(output - bicubic).mean(2)
        for name, values in maps.items():
            found.setdefault(name, []).append(calibration(values, error))
    print(f'{state.name}, {len(others)} negatives, {len(found["spread of the negatives"])} images')
    for name, values in found.items():
        rank, ause, by_chance = np.mean(values, axis=0)
        print(f'{name}: rank correlation {rank:.3f}, AUSE {ause:.3f} (by chance {by_chance:.3f})')


if __name__ == '__main__':
    main()
