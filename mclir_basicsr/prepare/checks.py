"""The check of all images and pairs before anything is written, but of those that an earlier run found good."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mclir_basicsr.prepare import images
from mclir_basicsr.prepare.plan import Planned, Target
from mclir_basicsr.prepare.record import Record
from mclir_basicsr.prepare.turned import APART, files_lie_apart

_NOTES = {'grey': 'grey; training reads them as colour', 'alpha': 'opaque with an alpha channel; training drops it'}
_KINDS = 2  # of checks: counted up when one is added, so that what passed without it is examined again


def check(planned: Sequence[Planned], out: Path, jobs: int, progress: bool) -> list[str]:
    """Examine the images of all parts, and take down the sizes of lq and what is worth a note.

    Args:
        planned: The parts.
        out: Where the findings are kept.
        jobs: Number of threads.
        progress: Show a progress bar.

    Returns:
        The faults, a line each.
    """
    pending = []
    for plan in planned:
        record = _record(plan, out)
        recalled = record.recall(plan.lq)
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


def _record(plan: Planned, out: Path) -> Record:
    """Where the finding about a part is kept."""
    plans = [target.plan for target in plan.targets]
    valid_for = hashlib.sha256(repr((_KINDS, plan.part, plans)).encode()).hexdigest()
    return Record(out / f'.{plan.part.name}.checked.npz', valid_for)


def _files(plan: Planned) -> list[Target]:
    """The targets that have files: lq images made from gt have none."""
    return [plan.gt, *(target for target in plan.lq.values() if target.reduce == 1)]


def _check_part(plan: Planned, jobs: int, bar: tqdm) -> tuple[list[str], list[str]]:
    """Examine the images of a part and take down the sizes of lq; faults and notes."""
    part = plan.part
    faults: list[str] = []
    counts: Counter[str] = Counter()

    def examine(target: Target) -> images.Sizes:
        result = images.sizes(target.root, [item.path for item in target.items], jobs, bar)
        faults.extend(result.faults)
        counts.update(result.notes)
        return result

    gt, gt_orientations, *_ = examine(plan.gt)
    least = max(plan.gt.modcrop, part.window.size if part.window else 1)
    small = np.flatnonzero((gt < least).any(axis=1) & gt.all(axis=1))
    faults += [f'{plan.gt.items[i].path} {_size(gt[i])} is smaller than {least} pixels' for i in small]
    gt -= gt % plan.gt.modcrop
    for scale, target in plan.lq.items():
        links = np.asarray(plan.links[scale], np.intp)
        if target.reduce == 1:
            lq, orientations, *_ = examine(target)
            faults += _turned_apart(plan, scale, np.flatnonzero(orientations != gt_orientations[links]), jobs)
        else:
            lq = gt[links] // target.reduce
        for i in images.mismatches(gt[links], lq, scale, part.border, remainder=part.patch is None):
            gt_path, gt_size = plan.gt.items[links[i]].path, _size(gt[links[i]])
            faults.append(
                f'{target.items[i].path} {_size(lq[i])}: its gt {gt_path} {gt_size} is not {scale} times that'
            )
        plan.sizes[scale] = lq
    return faults, [f'{part.name}: {count} images are {_NOTES[note]}' for note, count in counts.items()]


def _size(pixels: np.ndarray) -> str:
    return f'{pixels[1]}x{pixels[0]}'


def _turned_apart(plan: Planned, scale: int, places: np.ndarray, jobs: int) -> Iterator[str]:
    """Faults of pairs, at these places of lq, of which EXIF turns one image and that do not lie on another."""
    gt, lq = plan.gt, plan.lq[scale]

    def fault(i: int) -> str | None:
        gt_path, lq_path = gt.items[plan.links[scale][i]].path, lq.items[i].path
        apart = files_lie_apart(gt.root / gt_path, lq.root / lq_path)
        return APART.format(gt=gt_path, lq=lq_path) if apart else None

    with ThreadPoolExecutor(jobs) as pool:
        yield from filter(None, pool.map(fault, places))
