"""Pairs of the demo: photographs that ship inside scikit-image, reduced by 2."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.prepare.command import prepare
from mclir_basicsr.prepare.published import Layout, Part, Recipe
from mclir_basicsr.prepare.source import Window

SCALE = 2
TILE = 120  # pixels; training reads small files faster than whole photographs

# Those that need no download. The held-out ones come from other cameras and show other things.
TRAIN = ('astronaut', 'coffee', 'stereo_motorcycle')
HELD_OUT = ('chelsea', 'rocket')

_RECIPE = Recipe(
    'photographs',
    (
        Part('train', (Layout('train', 'train'),), scales=(SCALE,), patch=24, window=Window(TILE, TILE, TILE)),
        Part('held-out', (Layout('held-out', 'held-out'),), scales=(SCALE,)),
    ),
)


def write_pairs(folder: Path) -> None:
    """Write ``train`` (tiles) and ``held-out`` (whole photographs), ``gt`` and ``lq`` in each, by ``mclir prepare``.

    The photographs themselves stay in ``originals``; lq is their bicubic reduction as MATLAB's imresize makes it. What
    is there already is left alone.
    """
    originals = folder / 'originals'
    for part, names in (('train', TRAIN), ('held-out', HELD_OUT)):
        (originals / part).mkdir(parents=True, exist_ok=True)
        for name in names:
            file = originals / part / f'{name}.png'
            if not file.exists():
                with whole_file(file) as stream:
                    Image.fromarray(_photograph(name)).save(stream, 'png')
    prepare(_RECIPE, originals, folder, form='folder', make_lr=SCALE, progress=False)


def _photograph(name: str) -> np.ndarray:
    """(H, W, 3), uint8, RGB."""
    from skimage import data

    load: Callable[[], np.ndarray | tuple[np.ndarray, ...]] = getattr(data, name)
    loaded = load()
    return loaded[0] if isinstance(loaded, tuple) else loaded
