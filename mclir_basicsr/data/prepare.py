"""``mclir prepare``: pair and check the images of a data set, write them, and say how to train on them."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import lcm
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from tqdm import tqdm

from mclir_basicsr.data import check, writer
from mclir_basicsr.data.database import META_INFO
from mclir_basicsr.data.pairing import Item, Rule, names, pair
from mclir_basicsr.data.recipes import Found, Part, Recipe, locate
from mclir_basicsr.data.source import Source, Window
from mclir_basicsr.data.unfinished import read_journal
from mclir_basicsr.data.verify import verify
from mclir_basicsr.errors import MclirError
from mclir_basicsr.whole_file import whole_file

Form = Literal['lmdb', 'folder']

_FAULTS_SHOWN = 50
_NOTES = {'grey': 'grey; training reads them as colour', 'alpha': 'opaque with an alpha channel; training drops it'}


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

    @cached_property
    def plan(self) -> str:
        """A text that differs where the images written may differ."""
        digest = hashlib.sha256(repr((self.window, self.modcrop, self.reduce)).encode())
        for key, path in self.items:
            try:
                status = (self.root / path).stat()
            except OSError:  # the check will name it
                continue
            digest.update(f'\n{key}\0{path}\0{status.st_size}\0{status.st_mtime_ns}'.encode())
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


def prepare(
    recipe: Recipe,
    src: Path,
    out: Path,
    *,
    form: Form = 'lmdb',
    jobs: int = 1,
    make_lr: int | None = None,
    progress: bool = True,
) -> str:
    """Write the parts of a data set that are there, once every pair has been checked.

    Args:
        recipe: What the data set consists of.
        src: Where it lies.
        out: Folder to write below.
        form: ``lmdb``, or ``folder`` for the same as files.
        jobs: Number of threads that check and processes that write.
        make_lr: Make the lq images of this scale from gt (MATLAB's bicubic) instead of reading them.
        progress: Show progress bars.

    Returns:
        What was done, as comments, and for each scale a ``datasets:`` block of a BasicSR option file: YAML documents.

    Raises:
        MclirError: Nothing of the data set is there, or its images have faults: the message lists them, and nothing is
            written.
    """
    if make_lr is not None and (make_lr < 2 or not recipe.super_resolution):
        raise MclirError(
            f'--make-lr {make_lr}: it makes smaller lq images, for super-resolution; not for {recipe.name}.'
        )
    found, missing = locate(recipe, src, make_lr)
    planned, faults = [], []
    for part in found:
        plan, wrong = _plan(part, out, '.lmdb' if form == 'lmdb' else '', make_lr)
        planned.append(plan)
        faults += wrong
    _refuse_others(planned)
    faults += _check(planned, out, jobs, progress)
    if faults:
        shown, more = faults[:_FAULTS_SHOWN], len(faults) - _FAULTS_SHOWN
        listed = '\n  '.join([*shown, *([f'and {more} more'] if more > 0 else [])])
        raise MclirError(f'{len(faults)} faults in {found[0].root}; nothing was written:\n  {listed}')
    lines = [line for plan in planned for line in _write(plan, form, jobs, progress)]
    lines += [note for plan in planned for note in plan.notes]
    lines += [f'missing, left out: {line}' for line in missing]
    return _report(recipe, planned, lines, form)


def _plan(found: Found, out: Path, ending: str, make_lr: int | None) -> tuple[Planned, list[str]]:
    """Pair the images of a part by name; the faults of the names beside it."""
    part, root, layouts, scales = found
    rule = layouts[0].rule
    modcrop = 1 if make_lr is None else lcm(part.multiple, make_lr)

    def target(name: str, scale: int, items: list[Item], reduce: int = 1) -> Target:
        path = out / (name.replace('{name}', part.name).replace('{s}', str(scale)) + ending)
        return Target(path, root, items, _reduced(part.window, scale), modcrop, reduce)

    faults: list[str] = []
    gt_names = [name for layout in layouts for name in names(root, layout.gt)]
    planned = Planned(part, target(part.gt_out, 1, []))
    for scale in scales:
        if make_lr is None:
            lq_names = [name for layout in layouts for name in names(root, layout.lq_at(scale))]
        else:
            rule, lq_names = Rule(rule.gt, rule.gt), gt_names
        pairing = pair(gt_names, lq_names, rule, part.pairs_file)
        planned.gt.items[:] = pairing.gt
        planned.lq[scale] = target(part.lq_out, scale, pairing.lq, 1 if make_lr is None else make_lr)
        planned.links[scale] = pairing.links
        faults += pairing.faults
        if not (gt_names or lq_names):
            faults.append(f'{layouts[0].gt} and {layouts[0].lq_at(scale)} hold no images')
        if pairing.unused:
            planned.notes.append(f'{part.name}: {pairing.unused} gt images have no lq image and are left out')
    _keep_apart(found, planned)
    return planned, list(dict.fromkeys(faults))  # every scale finds the same faults of gt names


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
    for target in (planned.gt, *planned.lq.values()):
        if target.path.resolve() in read:
            raise MclirError(f'{target.path} is a folder of the data set itself; choose another --out.')


def _refuse_others(planned: Sequence[Planned]) -> None:
    """Say at once, not after the check, what the writer would not overwrite."""
    for target in (target for plan in planned for target in (plan.gt, *plan.lq.values())):
        journal = read_journal(target.path)
        if target.path.exists() and (journal is None or journal.plan != target.plan):
            raise MclirError(
                f'{target.path} exists already, and was made from other images, with other settings or by something '
                'else. Remove it or choose another --out.'
            )


def _check(planned: Sequence[Planned], out: Path, jobs: int, progress: bool) -> list[str]:
    """Examine every image but those that an earlier run found good, and return the faults."""
    pending = []
    for plan in planned:
        record = _record(plan, out)
        recalled = record.recall()
        if recalled is None:
            pending.append((plan, record))
        else:
            plan.sizes, notes = recalled
            plan.notes += notes
    faults = []
    total = sum(len(target.items) for plan, _ in pending for target in _files(plan))
    with tqdm(total=total, desc='check', unit='image', disable=not (progress and pending)) as bar:
        for plan, record in pending:
            wrong, notes = _check_part(plan, jobs, bar)
            plan.notes += notes
            if not wrong:
                record.keep(plan.sizes, notes)
            faults += wrong
    return faults


def _record(plan: Planned, out: Path) -> check.Record:
    """Where the finding about a part is kept."""
    plans = [target.plan for target in (plan.gt, *plan.lq.values())]
    valid_for = hashlib.sha256(repr((plan.part, plans)).encode()).hexdigest()
    return check.Record(out / f'.{plan.part.name}.checked.npz', valid_for)


def _files(plan: Planned) -> list[Target]:
    """The targets that have files: lq images made from gt have none."""
    return [plan.gt, *(target for target in plan.lq.values() if target.reduce == 1)]


def _check_part(plan: Planned, jobs: int, bar: tqdm) -> tuple[list[str], list[str]]:
    """Examine the images of a part and take down the sizes of lq; faults and notes."""
    part = plan.part
    faults: list[str] = []
    counts: Counter[str] = Counter()

    def examine(target: Target) -> np.ndarray:
        result = check.sizes(target.root, [item.path for item in target.items], jobs, bar)
        faults.extend(result.faults)
        counts.update(result.notes)
        return result.pixels

    gt = examine(plan.gt)
    least = max(plan.gt.modcrop, part.window.size if part.window else 1)
    small = np.flatnonzero((gt < least).any(axis=1) & gt.all(axis=1))
    faults += [f'{plan.gt.items[i].path} {_size(gt[i])} is smaller than {least} pixels' for i in small]
    gt -= gt % plan.gt.modcrop
    for scale, target in plan.lq.items():
        links = np.asarray(plan.links[scale], np.intp)
        lq = examine(target) if target.reduce == 1 else gt[links] // target.reduce
        for i in check.mismatches(gt[links], lq, scale, part.border, remainder=part.patch is None):
            gt_path, gt_size = plan.gt.items[links[i]].path, _size(gt[links[i]])
            faults.append(
                f'{target.items[i].path} {_size(lq[i])}: its gt {gt_path} {gt_size} is not {scale} times that'
            )
        plan.sizes[scale] = lq
    return faults, [f'{part.name}: {count} images are {_NOTES[note]}' for note, count in counts.items()]


def _size(pixels: np.ndarray) -> str:
    return f'{pixels[1]}x{pixels[0]}'


def _write(plan: Planned, form: Form, jobs: int, progress: bool) -> list[str]:
    """Write the images of a part and its pairs files; a line for each about what was done."""
    lines = []
    for target in (plan.gt, *plan.lq.values()):
        done = writer.write(
            target.sources(), len(target.items), target.path, form=form, jobs=jobs, plan=target.plan, progress=progress
        )
        lines.append(f'{target.path}: {done.images} written, {done.skipped} there already')
    for scale in plan.lq:
        if _wants_pairs_file(plan, scale, form):
            file = _pairs_file(plan, scale)
            _write_pairs(file, plan, scale)
            lines.append(f'{file}: {len(plan.links[scale])} pairs')
    return lines


def _wants_pairs_file(plan: Planned, scale: int, form: Form) -> bool:
    """Whether PairedImageDataset alone cannot find, fit or pick the pairs."""
    part, gt, lq = plan.part, plan.gt, plan.lq[scale]
    if part.pairs_file or part.border or len(gt.items) != len(lq.items):
        return True
    if form == 'lmdb':
        return False
    return {file.name for file in gt.path.iterdir()} != {file.name for file in lq.path.iterdir()}  # .jpg and .png


def _pairs_file(plan: Planned, scale: int) -> Path:
    path = plan.lq[scale].path
    return path.with_name('pairs.txt' if path.stem == 'lq' else f'{path.stem}_pairs.txt')


def _write_pairs(file: Path, plan: Planned, scale: int) -> None:
    gt, lq = plan.gt.items, plan.lq[scale].items
    with whole_file(file) as stream:
        for item, link, (height, width) in zip(lq, plan.links[scale], plan.sizes[scale], strict=True):
            stream.write(f'{item.key} {gt[link].key} {height}x{width}\n'.encode())


def _report(recipe: Recipe, planned: Sequence[Planned], lines: Sequence[str], form: Form) -> str:
    text = ''.join(f'# {line}\n' for line in lines)
    scales = sorted({scale for plan in planned for scale in plan.lq})
    blocks = []
    for scale in scales:
        datasets = _datasets(recipe, [plan for plan in planned if scale in plan.lq], scale, form)
        blocks.append(f'# scale: {scale}\n' + yaml.safe_dump({'datasets': datasets}, sort_keys=False))
    return (text + '---\n'.join(blocks)).rstrip('\n')


def _datasets(recipe: Recipe, planned: Sequence[Planned], scale: int, form: Form) -> dict[str, dict[str, Any]]:
    """The ``datasets:`` block of an option file, with BasicSR's keys."""
    validation = [plan for plan in planned if plan.part.patch is None]
    datasets = {}
    for plan in planned:
        if plan.part.patch is not None:
            phase = 'train'
        else:
            phase = f'val_{validation.index(plan) + 1}' if len(validation) > 1 else 'val'
        pairs_file = _wants_pairs_file(plan, scale, form)
        entry: dict[str, Any] = {
            'name': '-'.join(filter(None, (recipe.title, plan.part.name))),
            'type': 'PairsFileDataset' if pairs_file else 'PairedImageDataset',
            'dataroot_gt': str(plan.gt.path),
            'dataroot_lq': str(plan.lq[scale].path),
        }
        if pairs_file:
            entry['pairs_file'] = str(_pairs_file(plan, scale))
        entry['io_backend'] = {'type': 'lmdb' if form == 'lmdb' else 'disk'}
        if phase == 'train':
            entry |= {
                'gt_size': _patch(plan, scale, pairs_file) * scale,
                'use_hflip': True,
                'use_rot': True,
                'num_worker_per_gpu': 4,
                'batch_size_per_gpu': 4,
                'dataset_enlarge_ratio': 1,
                'prefetch_mode': None,
            }
        datasets[phase] = entry
    return datasets


def _patch(plan: Planned, scale: int, skips_small: bool) -> int:
    """Side of the recipe's training patches in lq pixels, or a multiple of 8 that the images do allow."""
    patch = plan.part.patch or 0
    sides = plan.sizes[scale].min(axis=1)
    side = int(sides.max() if skips_small else sides.min())
    return patch if plan.part.window or side >= patch else max(side // 8 * 8, 1)


def verify_tree(folder: Path) -> tuple[int, list[str]]:
    """Read every image below a folder that :func:`prepare` wrote to, or of one LMDB or folder of images.

    Returns:
        How many images were to be read, and a line for each fault.

    Raises:
        MclirError: There is nothing of the kind.
    """
    targets = {Path(path): read_journal(Path(path)) for path, _, _ in os.walk(folder)}
    targets = {path: journal for path, journal in targets.items() if journal or (path / META_INFO).is_file()}
    if not targets:
        raise MclirError(f'{folder} holds no LMDB, and no folder of images that mclir prepare wrote.')
    images, faults = 0, []
    for path, journal in sorted(targets.items()):
        if path.suffix == '.partial':
            faults.append(f'{path}: unfinished; run the same mclir prepare again')
            continue
        images += journal.images if journal else len((path / META_INFO).read_bytes().splitlines())
        faults += [f'{path}: {fault}' for fault in verify(path)]
    return images, faults
