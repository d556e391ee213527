"""From the names of images to what is to be written."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import lcm
from pathlib import Path

import numpy as np

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.entries import ending_of
from mclir_basicsr.prepare.listing import ENDINGS, Listing, list_images
from mclir_basicsr.prepare.pairing import Item, Rule, pair
from mclir_basicsr.prepare.published import Found, Part
from mclir_basicsr.prepare.source import Source, Window
from mclir_basicsr.prepare.writer import Form


@dataclass(frozen=True)
class Target:
    """Images to be written together.

    Attributes:
        path: The LMDB or folder to write.
        root: Folder that the items' paths are relative to.
        items: The images.
        window: As in Source, like modcrop and reduce.
        modcrop: As in Source.
        reduce: As in Source.
    """

    path: Path
    root: Path
    items: list[Item]
    window: Window | None
    modcrop: int
    reduce: int = 1

    def sources(self) -> Iterator[Source]:
        """What the writer takes."""
        for key, path in self.items:
            yield Source(key, str(self.root / path), self.window, self.modcrop, self.reduce)

    def file_names(self) -> set[str]:
        """Names of the items as files, before they are cut."""
        return {source.key + ending_of(source) for source in self.sources()}

    @cached_property
    def plan(self) -> str:
        """A text that differs where the images written may differ."""
        digest = hashlib.sha256(repr((self.window, self.modcrop, self.reduce)).encode())
        for key, path in self.items:
            try:
                status = (self.root / path).stat()
            except OSError:  # the check will name it
                continue
            digest.update(f'\n{key}\0{path}\0{status.st_size}\0{status.st_mtime_ns}'.encode(errors='surrogateescape'))
        return digest.hexdigest()


@dataclass
class Planned:
    """A part of a data set on its way.

    Attributes:
        part: The declaration.
        gt: What becomes of the gt images.
        lq: The same for lq, by scale.
        links: For each lq image of a scale, the place of its gt image in ``gt.items``.
        notes: What the user should know and need not change.
        sizes: Height and width of each lq image of a scale, (n, 2), once checked.
    """

    part: Part
    gt: Target
    lq: dict[int, Target] = field(default_factory=dict)
    links: dict[int, Sequence[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sizes: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[Target, ...]:
        """All of them, gt first."""
        return self.gt, *self.lq.values()

    def wants_pairs_file(self, scale: int, form: Form) -> bool:
        """Whether PairedImageDataset alone cannot find, fit or pick the pairs."""
        gt, lq = self.gt, self.lq[scale]
        if self.part.pairs_file or self.part.border or len(gt.items) != len(lq.items):
            return True
        return form == 'folder' and gt.file_names() != lq.file_names()  # .jpg and .png

    def pairs_file(self, scale: int) -> Path:
        """Where the pairs of a scale are listed."""
        path = self.lq[scale].path
        return path.with_name('pairs.txt' if path.stem == 'lq' else f'{path.stem}_pairs.txt')


def plan_part(found: Found, out: Path, form: Form, make_lr: int | None) -> tuple[Planned, list[str]]:
    """Pair the images of a part by name.

    Args:
        found: The part.
        out: Folder to write below.
        form: What is to be written.
        make_lr: Scale of lq images to be made from gt; None where they are read.

    Returns:
        What is to be written, and the faults of the names.

    Raises:
        MclirError: The scale does not divide the subimages, or the data set itself would be written to.
    """
    part, root, layouts, scales = found
    rule = layouts[0].rule
    modcrop = 1 if make_lr is None else lcm(part.multiple, make_lr)
    ending = '.lmdb' if form == 'lmdb' else ''

    def target(name: str, scale: int, items: list[Item], reduce: int = 1) -> Target:
        path = out / (name.replace('{name}', part.name).replace('{s}', str(scale)) + ending)
        return Target(path, root, items, _reduced(part.window, scale), modcrop, reduce)

    faults: list[str] = []
    gt_names, notes = _listed(found, [layout.gt for layout in layouts], out)
    planned = Planned(part, target(part.gt_out, 1, []), notes=notes)
    for scale in scales:
        if make_lr is None:
            lq_names, notes = _listed(found, [layout.lq_at(scale) for layout in layouts], out)
            planned.notes += notes
        else:
            rule, lq_names = Rule(rule.gt, rule.gt), gt_names
        pairing = pair(gt_names, lq_names, rule, part.pairs_file)
        planned.gt.items[:] = pairing.gt
        planned.lq[scale] = target(part.lq_out, scale, pairing.lq, 1 if make_lr is None else make_lr)
        planned.links[scale] = pairing.links
        sides = {root / layouts[0].gt: gt_names, root / layouts[0].lq_at(scale): lq_names}
        empty = [folder for folder, names in sides.items() if not names]
        faults += _empty(empty, planned.notes) if empty else pairing.faults
        if pairing.unused:
            planned.notes.append(f'{part.name}: {pairing.unused} gt images have no lq image and are left out')
    _keep_apart(found, planned)
    return planned, list(dict.fromkeys(faults))  # every scale finds the same faults of gt names


def _listed(found: Found, folders: Sequence[str], out: Path) -> Listing:
    """The images of some folders of a data set, and what to say of them."""
    listings = [list_images(found.root, folder, found.layouts[0].literal, out) for folder in folders]
    names = [name for listing in listings for name in listing.names]
    return Listing(names, [note for listing in listings for note in listing.notes])


def _empty(folders: Iterable[Path], notes: Sequence[str]) -> list[str]:
    """Faults of folders without images, in place of one for each image on the other side."""
    endings = ', '.join(sorted(ENDINGS))
    return [
        '; '.join(
            [
                f'{folder} holds no images ({endings}), nor does a folder below it',
                *(note.removeprefix(f'{folder}: ') for note in notes if note.startswith(f'{folder}: ')),
            ]
        )
        for folder in folders
    ]


def _reduced(window: Window | None, scale: int) -> Window | None:
    """The subimages of lq that correspond to those of gt."""
    if window is None:
        return None
    if window.size % scale or window.step % scale:
        raise MclirError(f'Scale {scale} does not divide the subimages: {window.size} pixels, step {window.step}.')
    return Window(window.size // scale, window.step // scale, window.threshold // scale)


def _keep_apart(found: Found, planned: Planned) -> None:
    """Refuse to write into the data set's own folders."""
    folders = {layout.gt for layout in found.layouts}
    folders |= {layout.lq_at(scale) for layout in found.layouts for scale in found.scales}
    read = {(found.root / folder).resolve() for folder in folders}
    for target in planned.targets:
        if target.path.resolve() in read:
            raise MclirError(f'{target.path} is a folder of the data set itself; choose another --out.')
