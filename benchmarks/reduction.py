"""`--make-lr` against published LR images: `python benchmarks/reduction.py FOLDER [--imresize]`.

FOLDER holds, at any depth, folders `gt` and `lq` side by side with the same file names: HR images, and what MATLAB's
imresize made of them. Prints for each such pair how many images come out bit for bit, and the lowest and the mean PSNR
in dB over all channels of the 8-bit images; with --imresize the same for BasicSR's matlab_functions.imresize.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mclir_basicsr.prepare.resize import reduce

Reduction = Callable[[np.ndarray, int], np.ndarray]


def basicsr_imresize(image: np.ndarray, scale: int) -> np.ndarray:
    """Reduce an 8-bit image with BasicSR's function, which works on floats."""
    from basicsr.utils.matlab_functions import imresize

    return np.floor(imresize(image / 255, 1 / scale).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB of two 8-bit images of one size; infinite where they are the same."""
    error = np.square(a.astype(float) - b).mean()
    return 10 * math.log10(255**2 / error) if error else math.inf


def compare(pair: Path, title: str, name: str, reduction: Reduction) -> None:
    """Print the figures of one reduction for the folders `gt` and `lq` in a folder."""
    found, seconds = [], 0.0
    for file in sorted((pair / 'lq').glob('[!.]*')):
        gt, lq = (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (pair / 'gt' / file.name, file))
        began = time.perf_counter()
        reduced = reduction(gt, round(gt.shape[0] / lq.shape[0]))
        seconds += time.perf_counter() - began
        found.append(psnr(reduced, lq))
    same = found.count(math.inf)
    print(f'{title}, {name}: {same} of {len(found)} bit for bit, lowest {min(found):.2f} dB, mean '
          f'{sum(found) / len(found):.2f} dB, {1e3 * seconds / len(found):.1f} ms an image')  # fmt: skip


def main() -> None:
    """Read the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--imresize', action='store_true', help="BasicSR's function, too")
    options = parser.parse_args()
    reductions: dict[str, Reduction] = {'reduce': reduce}
    if options.imresize:
        import mclir_basicsr

        mclir_basicsr.register()  # repairs basicsr on current versions of torchvision
        reductions['imresize'] = basicsr_imresize
    cv2.setNumThreads(1)
    for lq in sorted(options.folder.rglob('lq')):
        if (lq.parent / 'gt').is_dir():
            for name, reduction in reductions.items():
                compare(lq.parent, str(lq.parent.relative_to(options.folder)), name, reduction)


if __name__ == '__main__':
    main()
