"""A BasicSR data set made of several: one network for haze, rain and noise, each in its share."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from math import ceil
from typing import Any

from torch.utils.data import Dataset

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.paths import expand

LISTS = ('dataroots_gt', 'dataroots_lq')  # BasicSR's parser takes dataroot_gt for text
KEYS = {'parts', 'shares', *LISTS}
_FOR_ALL = ('mean', 'std', 'color')  # a batch is normalised as one


class MixedDataset(Dataset[dict[str, Any]]):
    """Several data sets as one, each with its share of an epoch.

    An epoch is so long that the part with the most images for its share shows each of them once; the others repeat
    theirs as evenly as can be. Nothing is drawn at random, so that BasicSR's sampler, which shuffles, tells all, and a
    run resumes exactly.

    Args:
        opt: ``parts``, a block of options by name for each data set, with its ``type`` and, optionally, ``share``; or
            ``dataroots_gt`` and ``dataroots_lq``, lists of folders or LMDBs that become parts ``1``, ``2``, ... of type
            PairedImageDataset, with ``shares``, a list, optionally. Keys beside them (``gt_size``, ``io_backend``,
            ``use_hflip``, ...) are those of each part that does not have its own. A share is a number above 0; where
            none is given, each part has a share in proportion to its images.

    Raises:
        MclirError: There are no parts, shares are missing or below 0, or a part has ``mean``, ``std`` or ``color`` of
            its own.

    Attributes:
        parts: The data sets by name.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        from basicsr.data import build_dataset

        self.opt = opt
        blocks = part_options(opt)
        self.parts: dict[str, Any] = {name: build_dataset(deepcopy(block)) for name, block in blocks.items()}
        sizes = [len(part) for part in self.parts.values()]
        if empty := [name for name, size in zip(self.parts, sizes, strict=True) if not size]:
            raise MclirError(f'parts.{empty[0]} holds no images.')
        shares = [block.get('share') for block in blocks.values()]
        self._counts = epoch_counts(sizes, [share or size for share, size in zip(shares, sizes, strict=True)])

    def __len__(self) -> int:
        """Samples of an epoch."""
        return sum(self._counts)

    def __getitem__(self, index: int) -> Any:
        """The sample of a part, as that gives it."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        for part, count in zip(self.parts.values(), self._counts, strict=True):
            if index < count:
                return part[index % len(part)]
            index -= count
        raise AssertionError  # the counts make up the length

    def told(self) -> str:
        """What it is made of, for a message."""
        each = zip(self.parts.items(), self._counts, strict=True)
        return ', '.join(f'{name} {count / len(self):.0%} ({len(part)} images)' for (name, part), count in each)


def epoch_counts(sizes: list[int], shares: list[float]) -> list[int]:
    """How many samples of an epoch come from each part.

    Args:
        sizes: Images of each part, >= 1.
        shares: Of each, > 0, in any unit.

    >>> epoch_counts([10, 4], [1, 1]), epoch_counts([10, 4], [10, 4]), epoch_counts([10, 4], [1, 3])
    ([10, 10], [10, 4], [10, 30])
    """
    longest = max(size / share for size, share in zip(sizes, shares, strict=True))
    return [ceil(round(share * longest, 6)) for share in shares]


def part_options(opt: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The options of each part of a mixed data set by name, with those that all share.

    Raises:
        MclirError: As :class:`MixedDataset` does.
    """
    blocks = _blocks(opt)
    faults = list(_faults(blocks))
    if faults:
        raise MclirError(' '.join(faults))
    for_all = {key: value for key, value in opt.items() if key not in KEYS | {'type'}}
    return {
        name: for_all | {'name': name} | {key: _expanded(key, value) for key, value in block.items()}
        for name, block in blocks.items()
    }


def _expanded(key: str, value: Any) -> Any:
    is_root = key.startswith('dataroot') and isinstance(value, str)
    return str(expand(key, value)) if is_root else value


def _blocks(opt: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    parts, roots = opt.get('parts'), [opt.get(key) for key in LISTS]
    if (parts is None) == (roots == [None, None]):
        raise MclirError(f'MixedDataset takes either parts or {" and ".join(LISTS)}.')
    if isinstance(parts, Mapping) and parts and all(isinstance(part, Mapping) for part in parts.values()):
        return {str(name): dict(part) for name, part in parts.items()}
    if parts is not None:
        raise MclirError(f'parts must be a block with a block for each data set, but it is {parts!r}.')
    gt, lq = roots
    if not (isinstance(gt, list) and isinstance(lq, list) and gt and len(gt) == len(lq)):
        raise MclirError(f'{" and ".join(LISTS)} must be lists of one length, but they are {gt!r} and {lq!r}.')
    shares = opt.get('shares') or [None] * len(gt)
    if not (isinstance(shares, list) and len(shares) == len(gt)):
        raise MclirError(f'shares must be a list of {len(gt)} numbers, but it is {shares!r}.')
    pairs = zip(gt, lq, shares, strict=True)
    return {
        str(number): {'type': 'PairedImageDataset', 'dataroot_gt': a, 'dataroot_lq': b}
        | ({} if share is None else {'share': share})
        for number, (a, b, share) in enumerate(pairs, 1)
    }


def _faults(blocks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    given = [name for name, block in blocks.items() if 'share' in block]
    for name, block in blocks.items():
        share = block.get('share', 1)
        if isinstance(share, bool) or not isinstance(share, int | float) or not share > 0:
            yield f'parts.{name}.share must be a number above 0, but it is {share!r}.'
        if given and name not in given:
            yield f'parts.{name} has no share, but parts.{given[0]} has: give each part one, or none.'
        if not block.get('type'):
            yield f'parts.{name} has no type, such as PairedImageDataset.'
        if own := [key for key in _FOR_ALL if key in block]:
            yield f'parts.{name}.{own[0]}: a batch is normalised as one: put {own[0]} beside parts.'
