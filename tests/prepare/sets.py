"""Small sets of images, and writing them."""

import cv2
import numpy as np

from mclir_basicsr.prepare.source import Source, Window
from mclir_basicsr.prepare.writer import write

WINDOW = Window(24, 12)


def pixels(i, height=40, width=52):
    return np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)


def planted(folder, count, height=40, width=52):
    """Files of these numbers in a new folder."""
    folder.mkdir()
    for i in range(count):
        cv2.imwrite(str(folder / f'{i:02d}.png'), pixels(i, height, width))
    return sorted(folder.iterdir())


def few(folder):
    """Three images of different sizes."""
    folder.mkdir()
    for i, name in enumerate(('a', 'b', 'c')):
        cv2.imwrite(str(folder / f'{name}.png'), pixels(i, 20 + i, 30))
    return sorted(folder.iterdir())


def sources(files, **kind):
    return [Source(file.stem, str(file), **kind) for file in files]


def write_set(items, target, jobs=1, plan='plan'):
    """Write sources as a database or folder."""
    form = 'lmdb' if target.suffix == '.lmdb' else 'folder'
    return write(items, len(items), target, form=form, jobs=jobs, plan=plan, progress=False)


def made(files, target):
    """Whole files as a database or folder."""
    write_set(sources(files), target)
    return target
