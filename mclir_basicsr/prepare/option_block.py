"""What ``mclir prepare`` says at the end: the ``datasets:`` block of a BasicSR option file."""

from collections.abc import Sequence
from typing import Any

import yaml

from mclir_basicsr.prepare.plan import Planned
from mclir_basicsr.prepare.published import Recipe
from mclir_basicsr.prepare.writer import Form


def report(recipe: Recipe, planned: Sequence[Planned], lines: Sequence[str], form: Form) -> str:
    """YAML documents: a ``datasets:`` block for each scale.

    Args:
        recipe: The data set.
        planned: Its parts as they were written.
        lines: What to say first, as comments.
        form: What was written.
    """
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
        pairs_file = plan.wants_pairs_file(scale, form)
        entry: dict[str, Any] = {
            'name': '-'.join(filter(None, (recipe.title, plan.part.name))),
            'type': 'PairsFileDataset' if pairs_file else 'PairedImageDataset',
            'dataroot_gt': str(plan.gt.path),
            'dataroot_lq': str(plan.lq[scale].path),
        }
        if pairs_file:
            entry['pairs_file'] = str(plan.pairs_file(scale))
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
