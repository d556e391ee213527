"""Pairs of the demo: photographs that ship inside scikit-image, reduced by 2."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SCALE = 2
TILE = 120  # pixels; training reads small files faster than whole photographs

# Those that need no download. The held-out ones come from other cameras and show other things.
TRAIN = ('astronaut', 'coffee', 'stereo_motorcycle')
HELD_OUT = ('chelsea', 'rocket')


def write_pairs(folder: Path) -> None:
    """Write ``train`` (tiles) and ``held-out`` (whole photographs) with ``gt`` and ``lq`` in each, as PNG.

    lq is the bicubic reduction of MATLAB's imresize, which BasicSR implements.
    """
    from basicsr.utils.matlab_functions import imresize

    for part, names, cut in (('train', TRAIN, _tiles), ('held-out', HELD_OUT, _whole)):
        for name in names:
            for suffix, gt in cut(_photograph(name)):
                reduced = imresize(gt.astype(np.float64) / 255, 1 / SCALE)
                lq = (reduced.clip(0, 1) * 255).round().astype(np.uint8)
                for kind, image in (('gt', gt), ('lq', lq)):
                    file = folder / part / kind / f'{name}{suffix}.png'
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(image).save(file)


def _photograph(name: str) -> np.ndarray:
    """(H, W, 3), uint8, RGB, cropped to a multiple of the scale."""
    from skimage import data

    load: Callable[[], np.ndarray | tuple[np.ndarray, ...]] = getattr(data, name)
    loaded = load()
    image = loaded[0] if isinstance(loaded, tuple) else loaded
    height, width = (side // SCALE * SCALE for side in image.shape[:2])
    return image[:height, :width]


def _whole(image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield '', image


def _tiles(image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    rows, columns = (range(0, side - TILE + 1, TILE) for side in image.shape[:2])
    for top in rows:
        for left in columns:
            yield f'_{top}_{left}', image[top : top + TILE, left : left + TILE]
