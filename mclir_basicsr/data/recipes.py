"""Recipes: where the images of a published data set lie and how they pair, as declarations."""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from mclir_basicsr.data.pairing import Rule
from mclir_basicsr.data.source import Window
from mclir_basicsr.errors import MclirError

SAME = Rule()
SCALED = Rule(lq='(.+)x[2348]')  # 0001x4 belongs to 0001
BEFORE_UNDERSCORE = Rule(lq='([^_]+)_.+', shared=True)  # 0005_0.8_0.2 belongs to 0005
RAIN = Rule(gt='(?:norain-)?(.+)', lq='(?:rain-)?(.+)')  # rain-1 belongs to norain-1


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which the folders of a data set are published.

    Attributes:
        gt: Folder of the gt images below the root; ``*`` stands for any folder.
        lq: The same for lq; ``{s}`` stands for the scale.
        rule: How the names pair.
    """

    gt: str
    lq: str
    rule: Rule = SAME

    def lq_at(self, scale: int) -> str:
        """Folder of the lq images of a scale."""
        return self.lq.replace('{s}', str(scale))


@dataclass(frozen=True, slots=True)
class Part:
    """One pair of image sets that a recipe writes, or one per scale with a common gt.

    Attributes:
        name: Its name and folder: ``train``, ``Set5``.
        layouts: Where it may lie; the first that is there counts.
        together: All layouts belong to it instead, and all must be there.
        scales: Scales that are published.
        patch: Side of training patches in lq pixels; None for a part to validate on.
        window: Cut gt into subimages, lq into those that correspond; None leaves images whole.
        border: gt may be larger than lq all around; the data set class cuts it.
        pairs_file: Always write a pairs file: gt images are shared or carry a border, or some are smaller than a patch.
        gt_out: Name of the gt images below --out, without ending.
        lq_out: The same for lq; ``{s}`` stands for the scale.
        multiple: ``--make-lr`` cuts gt to a multiple of this and of the scale.
    """

    name: str
    layouts: tuple[Layout, ...]
    together: bool = False
    scales: tuple[int, ...] = (1,)
    patch: int | None = None
    window: Window | None = None
    border: bool = False
    pairs_file: bool = False
    gt_out: str = '{name}/gt'
    lq_out: str = '{name}/lq'
    multiple: int = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """A data set.

    Attributes:
        name: What the user types.
        parts: What it consists of.
        roots: Folders below --src in which the layouts may begin; the first that holds any counts.
        title: Name of the data set in the option file, before the part's.
    """

    name: str
    parts: tuple[Part, ...]
    roots: tuple[str, ...] = ('.',)
    title: str = ''

    @property
    def super_resolution(self) -> bool:
        """Whether lq may be made from gt."""
        return any(part.scales != (1,) for part in self.parts)


class Found(NamedTuple):
    """A part that is there.

    Attributes:
        part: The declaration.
        root: Folder in which its layouts begin.
        layouts: The layouts that are there: one, or all where they belong together.
        scales: The scales that are there.
    """

    part: Part
    root: Path
    layouts: tuple[Layout, ...]
    scales: tuple[int, ...]


def locate(recipe: Recipe, src: Path, make_lr: int | None = None) -> tuple[list[Found], list[str]]:
    """Look for the parts of a data set.

    Args:
        recipe: What to look for.
        src: Folder to look in.
        make_lr: Scale of lq images that will be made, so that only gt must be there.

    Returns:
        The parts that are there, and a line for each part or scale that is missing.

    Raises:
        MclirError: There is none; the message shows the folders expected.
    """
    for root in (src / name for name in recipe.roots):
        found, missing = [], []
        for part in recipe.parts:
            here = _find(part, root, make_lr)
            if here.scales:
                found.append(here)
                missing += [_folders(part, here.layouts, s) for s in _wanted(part, make_lr) if s not in here.scales]
            else:
                missing.append(_folders(part, part.layouts))
        if found:
            return found, missing
    expected = '\n'.join(f'  {_folders(part, part.layouts)}' for part in recipe.parts)
    raise MclirError(
        f'{src} holds no part of {recipe.name}. Expected below it ({{s}} stands for the scale):\n{expected}'
    )


def _find(part: Part, root: Path, make_lr: int | None) -> Found:
    """The part in the first layout that is there; with no scales if none is."""
    choices = [part.layouts] if part.together else [(layout,) for layout in part.layouts]
    for layouts in choices:
        scales = tuple(
            scale
            for scale in _wanted(part, make_lr)
            if all(
                _is_there(root, layout.gt) and (make_lr is not None or _is_there(root, layout.lq_at(scale)))
                for layout in layouts
            )
        )
        if scales:
            return Found(part, root, layouts, scales)
    return Found(part, root, part.layouts, ())


def _wanted(part: Part, make_lr: int | None) -> tuple[int, ...]:
    return part.scales if make_lr is None else (make_lr,)


def _is_there(root: Path, pattern: str) -> bool:
    return any(root.glob(pattern)) if '*' in pattern else (root / pattern).is_dir()


def _folders(part: Part, layouts: tuple[Layout, ...], scale: int | None = None) -> str:
    """A part and the folders it lies in, for a message."""
    pairs = [f'{layout.gt} and {layout.lq if scale is None else layout.lq_at(scale)}' for layout in layouts]
    return f'{part.name}: {("; with " if part.together else "; or ").join(pairs)}'


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
        MclirError: A folder is not there.
    """
    lq = lq or gt
    for folder in (gt, lq):
        if not folder.is_dir():
            raise MclirError(f'There is no folder {folder}.')
    root = Path(os.path.commonpath([gt.absolute(), lq.absolute()]))
    below = [folder.absolute().relative_to(root).as_posix() for folder in (gt, lq)]
    layout = Layout(below[0], below[1], rule)
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
    near = get_close_matches(name.lower(), [*known, 'pairs'], n=1)
    raise MclirError(
        f'There is no recipe {name!r}{f"; did you mean {near[0]}?" if near else "."} '
        f'Recipes: {", ".join(known)}, and pairs for any two folders.'
    )
