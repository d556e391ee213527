"""What a data set looks like as it is published, and where its parts are."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.pairing import Rule
from mclir_basicsr.prepare.source import Window


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which the folders of a data set are published.

    Attributes:
        gt: Folder of the gt images below the root; ``*`` stands for any folder.
        lq: The same for lq; ``{s}`` stands for the scale.
        rule: How the names pair.
        literal: ``*`` and ``{s}`` stand for nothing: they belong to the names of the folders.
    """

    gt: str
    lq: str
    rule: Rule = field(default_factory=Rule)
    literal: bool = False

    def lq_at(self, scale: int) -> str:
        """Folder of the lq images of a scale."""
        return self.lq if self.literal else self.lq.replace('{s}', str(scale))


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
                _is_there(root, folder, layout.literal)
                for layout in layouts
                for folder in (layout.gt, *([layout.lq_at(scale)] if make_lr is None else []))
            )
        )
        if scales:
            return Found(part, root, layouts, scales)
    return Found(part, root, part.layouts, ())


def _wanted(part: Part, make_lr: int | None) -> tuple[int, ...]:
    return part.scales if make_lr is None else (make_lr,)


def _is_there(root: Path, pattern: str, literal: bool) -> bool:
    return any(root.glob(pattern)) if '*' in pattern and not literal else (root / pattern).is_dir()


def _folders(part: Part, layouts: tuple[Layout, ...], scale: int | None = None) -> str:
    """A part and the folders it lies in, for a message."""
    pairs = [f'{layout.gt} and {layout.lq if scale is None else layout.lq_at(scale)}' for layout in layouts]
    return f'{part.name}: {("; with " if part.together else "; or ").join(pairs)}'
