"""``mclir prepare``: pair and check the images of a data set, write them, and say how to train on them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mclir_basicsr.data.pairs_file import Pair, write_pairs
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.whole_file import whole_file
from mclir_basicsr.prepare import writer
from mclir_basicsr.prepare.checks import check
from mclir_basicsr.prepare.inventory import note_prepared
from mclir_basicsr.prepare.journal import finished
from mclir_basicsr.prepare.option_block import report
from mclir_basicsr.prepare.plan import Planned, plan_part
from mclir_basicsr.prepare.published import Recipe, locate
from mclir_basicsr.prepare.resize import reduce
from mclir_basicsr.prepare.writer import Form

_FAULTS = 'prepare_faults.txt'
_FAULTS_SHOWN = 50


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
        MclirError: ``make_lr`` is out of range, nothing of the data set is there, ``out`` cannot be written to or holds
            something else already, or its images have faults: the message or a file that it names lists them, and no
            image is written.
    """
    if make_lr is not None:
        if make_lr < 2 or not recipe.super_resolution:
            raise MclirError(
                f'--make-lr {make_lr}: it makes smaller lq images, for super-resolution; not for {recipe.name}.'
            )
        reduce(np.zeros((1, 1), np.uint8), make_lr)  # refuses a scale beyond its limit, before anything is read
    _check_out(out)
    found, missing = locate(recipe, src, make_lr)
    planned, faults = [], []
    for part in found:
        plan, wrong = plan_part(part, out, form, make_lr)
        planned.append(plan)
        faults += wrong
    for target in (target for plan in planned for target in plan.targets):
        finished(target.path, target.plan)  # refuses at once, not after the check, what the writer would not overwrite
    faults += check(planned, out, jobs, progress)
    _refuse(faults, found[0].root, out / _FAULTS)
    pairs_files = {
        plan.pairs_file(scale): (target.path, plan.gt.path)
        for plan in planned
        for scale, target in plan.lq.items()
        if plan.wants_pairs_file(scale, form)
    }
    note_prepared(out, [target.path for plan in planned for target in plan.targets], pairs_files)
    lines = [line for plan in planned for line in _write(plan, form, jobs, progress)]
    lines += [note for plan in planned for note in plan.notes]
    lines += [f'missing, left out: {line}' for line in missing]
    return report(recipe, planned, lines, form)


def _check_out(out: Path) -> None:
    """Refuse at once what cannot be written to, not after the check of all images."""
    if not str(out).isprintable():
        raise MclirError(f'--out {str(out)!r}: no option file can name it; choose a folder with a printable name.')
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise MclirError(f'--out {out}: {there} is no folder. Remove it or choose another --out.')
    if not os.access(there, os.W_OK | os.X_OK):
        raise MclirError(f'--out {out}: {there} cannot be written to. Choose another --out.')


def _refuse(faults: Sequence[str], root: Path, file: Path) -> None:
    """Raise the faults, if any; those that are too many for a message stand in a file, which is gone otherwise."""
    if len(faults) <= _FAULTS_SHOWN:
        file.unlink(missing_ok=True)
        listed = faults
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as stream:
            stream.writelines(f'{fault}\n'.encode(errors='backslashreplace') for fault in faults)
        listed = [*faults[:_FAULTS_SHOWN], f'and {len(faults) - _FAULTS_SHOWN} more; {file} lists all']
    if faults:
        lines = '\n  '.join(listed)
        raise MclirError(f'{len(faults)} faults in {root}; nothing was written:\n  {lines}')


def _write(plan: Planned, form: Form, jobs: int, progress: bool) -> list[str]:
    """Write the images of a part and its pairs files; a line for each about what was done."""
    lines = []
    for target in plan.targets:
        done = writer.write(
            target.sources(), len(target.items), target.path, form=form, jobs=jobs, plan=target.plan, progress=progress
        )
        lines.append(f'{target.path}: {done.images} written, {done.skipped} there already')
    for scale in plan.lq:
        if plan.wants_pairs_file(scale, form):
            file = plan.pairs_file(scale)
            write_pairs(file, _pairs(plan, scale))
            lines.append(f'{file}: {len(plan.links[scale])} pairs')
    return lines


def _pairs(plan: Planned, scale: int) -> Iterator[Pair]:
    gt, lq = plan.gt.items, plan.lq[scale].items
    for item, link, (height, width) in zip(lq, plan.links[scale], plan.sizes[scale].tolist(), strict=True):
        yield Pair(item.key, gt[link].key, (height, width))
