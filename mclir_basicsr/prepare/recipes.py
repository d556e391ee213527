"""Recipes: where the images of a published data set lie and how they pair, as declarations."""

import os
from pathlib import Path

from mclir_basicsr.errors import MclirError, did_you_mean
from mclir_basicsr.prepare.pairing import Rule
from mclir_basicsr.prepare.published import Layout, Part, Recipe
from mclir_basicsr.prepare.source import Window

SAME = Rule()
SCALED = Rule(lq='(.+)x[2348]')  # 0001x4 belongs to 0001
BEFORE_UNDERSCORE = Rule(lq='([^_]+)_.+', shared=True)  # 0005_0.8_0.2 belongs to 0005
RAIN = Rule(gt='(?:norain-)?(.+)', lq='(?:rain-)?(.+)')  # rain-1 belongs to norain-1


def _train_and_test(
    *folders: tuple[str, str], rule: Rule = SAME, patch: int, pairs_file: bool = False
) -> tuple[Part, ...]:
    """Parts ``train`` and ``test`` in folders of these names; without them, the images are those of ``train``."""

    def below(prefix: str) -> tuple[Layout, ...]:
        return tuple(Layout(f'{prefix}{gt}', f'{prefix}{lq}', rule) for gt, lq in folders)

    return (
        Part('train', below('train/') + below(''), patch=patch, pairs_file=pairs_file),
        Part('test', below('test/'), pairs_file=pairs_file),
    )


_SCALES = (2, 3, 4)
_MOST_SCALE = 1024
_SUBIMAGES = Window(480, 240)
_DIV2K = Layout('DIV2K_train_HR', 'DIV2K_train_LR_bicubic/X{s}', SCALED)
_CLEAR_AND_HAZY = Layout('clear', 'hazy', BEFORE_UNDERSCORE)
_RAIN_FOLDERS = (('groundtruth', 'input'), ('target', 'input'))


def _subimages(name: str, *layouts: Layout) -> Part:
    """Training subimages under the names that BasicSR's documentation gives them."""
    return Part(
        f'{name}_train', layouts, together=True, scales=_SCALES, patch=48, window=_SUBIMAGES,
        gt_out=f'{name}_train_HR_sub', lq_out=f'{name}_train_LR_bicubic_X{{s}}_sub',
    )  # fmt: skip


def _benchmark(name: str, *folders: str) -> Part:
    """A test set of super-resolution; BasicSR's names, or those of the sets that came with EDSR."""
    return Part(
        name,
        tuple(
            layout
            for folder in folders or (name,)
            for layout in (
                Layout(f'{folder}/GTmod12', f'{folder}/LRbicx{{s}}'),
                Layout(f'{folder}/HR', f'{folder}/LR_bicubic/X{{s}}', SCALED),
            )
        ),
        scales=_SCALES,
        gt_out='{name}/GTmod12',
        lq_out='{name}/LRbicx{s}',
        multiple=12,
    )


RECIPES: tuple[Recipe, ...] = (
    Recipe(
        'div2k',
        (
            _subimages('DIV2K', _DIV2K),
            Part(
                'DIV2K_valid', (Layout('DIV2K_valid_HR', 'DIV2K_valid_LR_bicubic/X{s}', SCALED),), scales=_SCALES,
                gt_out='DIV2K_valid_HR', lq_out='DIV2K_valid_LR_bicubic_X{s}',
            ),
        ),
        roots=('.', 'DIV2K'),
    ),
    Recipe(
        'df2k',
        (
            _subimages(
                'DF2K',
                Layout(f'DIV2K/{_DIV2K.gt}', f'DIV2K/{_DIV2K.lq}', SCALED),
                Layout('Flickr2K/Flickr2K_HR', 'Flickr2K/Flickr2K_LR_bicubic/X{s}', SCALED),
            ),
        ),
    ),
    Recipe(
        'sr-benchmarks',
        (
            _benchmark('Set5'),
            _benchmark('Set14'),
            _benchmark('BSDS100', 'BSDS100', 'B100'),
            _benchmark('Urban100'),
            _benchmark('Manga109'),
        ),
        roots=('.', 'benchmark'),
    ),
    Recipe(
        'reside-its',
        (Part('train', (_CLEAR_AND_HAZY, Layout('train/GT', 'train/hazy')), patch=128, border=True, pairs_file=True),),
        roots=('.', 'ITS', 'RESIDE/ITS', 'RESIDE-IN'),
        title='RESIDE-ITS',
    ),
    Recipe(
        'reside-ots',
        (Part('train', (_CLEAR_AND_HAZY, Layout('train/GT', 'train/hazy')), patch=128, border=True, pairs_file=True),),
        roots=('.', 'OTS', 'RESIDE/OTS', 'RESIDE-OUT'),
        title='RESIDE-OTS',
    ),
    Recipe(
        'sots',
        tuple(
            Part(
                name,
                (
                    Layout(f'{name}/clear', f'{name}/hazy', BEFORE_UNDERSCORE),
                    Layout(f'{name}/gt', f'{name}/hazy', BEFORE_UNDERSCORE),
                    Layout(f'{rearranged}/test/GT', f'{rearranged}/test/hazy'),
                ),
                border=True,
                pairs_file=True,
            )
            for name, rearranged in (('indoor', 'RESIDE-IN'), ('outdoor', 'RESIDE-OUT'))
        ),
        roots=('.', 'SOTS', 'RESIDE/SOTS'),
        title='SOTS',
    ),
    Recipe(
        'reside6k',
        _train_and_test(('GT', 'hazy'), patch=256, pairs_file=True),
        roots=('.', 'RESIDE-6K'),
        title='RESIDE-6K',
    ),
    *(
        Recipe(name, _train_and_test(*_RAIN_FOLDERS, rule=RAIN, patch=128), roots=('.', title), title=title)
        for name, title in (('rain200l', 'Rain200L'), ('rain200h', 'Rain200H'))
    ),
    Recipe(
        'rain100',
        tuple(
            Part(name, tuple(Layout(f'{name}/{gt}', f'{name}/{lq}', RAIN) for gt, lq in _RAIN_FOLDERS))
            for name in ('Rain100L', 'Rain100H')
        ),
    ),
    Recipe(
        'ddn',
        _train_and_test(*_RAIN_FOLDERS, rule=BEFORE_UNDERSCORE, patch=128, pairs_file=True),
        roots=('.', 'Rain12600', 'DDN'),
        title='DDN',
    ),
    Recipe('did', _train_and_test(*_RAIN_FOLDERS, patch=128), roots=('.', 'DID-MDN', 'DID'), title='DID'),
    Recipe('spa', _train_and_test(*_RAIN_FOLDERS, patch=128), roots=('.', 'SPA-Data', 'SPA'), title='SPA'),
    Recipe(
        'gopro',
        (
            Part(
                'train', (Layout('train/target', 'train/input'), Layout('train/*/sharp', 'train/*/blur')),
                patch=256, window=Window(512, 256),
            ),
            Part('test', (Layout('test/target', 'test/input'), Layout('test/*/sharp', 'test/*/blur'))),
        ),
        roots=('.', 'GoPro', 'GOPRO_Large'),
        title='GoPro',
    ),
)  # fmt: skip


def own_pairs(gt: Path, lq: Path | None, scale: int = 1, rule: Rule = SAME) -> tuple[Recipe, Path]:
    """The recipe ``pairs`` for any two folders, and the folder it begins in.

    Args:
        gt: Folder of the gt images.
        lq: Folder of the lq images; None where they will be made.
        scale: How many times as large gt is.
        rule: How the names pair.

    Raises:
        MclirError: A folder is not there, or no image can be so many times as large.
    """
    if not 1 <= scale <= _MOST_SCALE:
        raise MclirError(f'--scale must lie in 1 to {_MOST_SCALE}, but is {scale}.')
    lq = lq or gt
    for folder in (gt, lq):
        if not folder.is_dir():
            raise MclirError(f'There is no folder {folder}.')
    root = Path(os.path.commonpath([gt.absolute(), lq.absolute()]))
    below = [folder.absolute().relative_to(root).as_posix() for folder in (gt, lq)]
    layout = Layout(below[0], below[1], rule, literal=True)
    part = Part('pairs', (layout,), scales=(scale,), patch=128 if scale == 1 else 48, gt_out='gt', lq_out='lq')
    return Recipe('pairs', (part,)), root


def recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        MclirError: There is none; the message gives the nearest name and all of them.
    """
    known = {entry.name: entry for entry in RECIPES}
    if name in known:
        return known[name]
    question = did_you_mean(name, [*known, 'pairs'], most=1, cutoff=0.6)
    raise MclirError(
        f'There is no recipe {name!r}{f"; {question}" if question else "."} '
        f'Recipes: {", ".join(known)}, and pairs for any two folders.'
    )
