"""Progressive learning: patches that grow and batches that shrink as training goes on.

Source: Restormer (Zamir et al., CVPR 2022, arXiv 2111.09881, section 4.1 and its published training settings).
"""

import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from mclir_basicsr.errors import FaultsError

KEYS = ('gt_sizes', 'mini_batch_sizes', 'iters')


@dataclass(frozen=True)
class Stages:
    """What ``datasets.train`` asks for, stage by stage; the last one goes on behind its end.

    Attributes:
        ends: The last iteration of each stage.
        gt_sizes: Side of its patches in gt, pixels.
        batch_sizes: Samples of a GPU.
        scale: Sides of gt over those of lq.
        gt_size: Side of the patches that the data set gives.
        batch_size: Samples that it gives for a GPU.
    """

    ends: tuple[int, ...]
    gt_sizes: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    scale: int
    gt_size: int
    batch_size: int

    def at(self, iteration: int) -> int:
        """The stage of an iteration, counted from 1; the stages from 0."""
        return min(bisect_left(self.ends, iteration), len(self.ends) - 1)

    def takes(self, place: int, iteration: int) -> bool:
        """Whether the sample at this place of its batch, from 0 on, is part of the smaller batch of the stage."""
        return place % self.batch_size < self.batch_sizes[self.at(iteration)]

    def cut(self, sample: Mapping[str, Any], iteration: int) -> dict[str, Any]:
        """A patch of the stage out of a sample, at a place that Python's random numbers choose.

        Args:
            sample: ``lq`` (C, h, w) and ``gt`` (C, h·scale, w·scale).
            iteration: Counted from 1.

        >>> import torch
        >>> stages = Stages((2, 4), (8, 16), (2, 1), 2, 16, 2)
        >>> sample = {'lq': torch.zeros(3, 8, 8), 'gt': torch.zeros(3, 16, 16)}
        >>> [stages.cut(sample, i)['gt'].shape[-1] for i in (1, 2, 3, 9)]
        [8, 8, 16, 16]
        """
        side = self.gt_sizes[self.at(iteration)] // self.scale
        height, width = sample['lq'].shape[-2:]
        if (height, width) == (side, side):
            return dict(sample)
        top, left = random.randint(0, height - side), random.randint(0, width - side)
        lq = sample['lq'][..., top : top + side, left : left + side]
        top, left, side = top * self.scale, left * self.scale, side * self.scale
        return {**sample, 'lq': lq, 'gt': sample['gt'][..., top : top + side, left : left + side]}

    def late(self, total: int) -> list[int]:
        """The patches of stages that begin behind the last iteration."""
        return [size for size, start in zip(self.gt_sizes, (0, *self.ends), strict=False) if start >= total]

    def __str__(self) -> str:
        starts = (1, *(end + 1 for end in self.ends))
        told = zip(starts, self.gt_sizes, self.batch_sizes, strict=False)
        return '; '.join(f'from iteration {start} patches of {size}, batches of {batch}' for start, size, batch in told)


def read_stages(data: Mapping[str, Any], scale: int) -> Stages | None:
    """The stages of a training set; None where it has none of KEYS.

    Args:
        data: ``datasets.train`` with ``gt_size``, ``batch_size_per_gpu`` and all of KEYS.
        scale: Of the option file.

    Raises:
        FaultsError: They do not go together.
    """
    if not any(data.get(key) is not None for key in KEYS):
        return None
    faults = list(_faults(data, scale))
    if faults:
        raise FaultsError([f'datasets.train.{fault}' for fault in faults])
    return Stages(
        tuple(accumulate(data['iters'])),
        tuple(data['gt_sizes']),
        tuple(data['mini_batch_sizes']),
        scale,
        data['gt_size'],
        data['batch_size_per_gpu'],
    )


def _faults(data: Mapping[str, Any], scale: int) -> Iterator[str]:
    lists = {key: data.get(key) for key in KEYS}
    for key, values in lists.items():
        if not isinstance(values, list) or not values or not all(_is_count(value) for value in values):
            yield f'{key}: give a list of whole numbers above 0, one for each stage, but it is {values!r}.'
            return
    lengths = [len(values or ()) for values in lists.values()]
    if len(set(lengths)) > 1:
        yield f'{", ".join(KEYS)}: they need one entry for each stage, but have {", ".join(map(str, lengths))}.'
    yield from _beyond('gt_sizes', lists['gt_sizes'] or (), 'gt_size', data.get('gt_size'))
    batches, most = lists['mini_batch_sizes'] or (), data.get('batch_size_per_gpu')
    yield from _beyond('mini_batch_sizes', batches, 'batch_size_per_gpu', most)
    if odd := [size for size in lists['gt_sizes'] or () if size % scale]:
        yield f'gt_sizes: {odd[0]} is no multiple of scale {scale}.'


def _beyond(key: str, values: Sequence[int], limit: str, most: Any) -> Iterator[str]:
    if not _is_count(most):
        yield f'{key} needs {limit} beside it, the largest of them.'
    elif max(values) > most:
        yield f'{key}: {max(values)} is above {limit} {most}, which must be the largest of them.'


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
