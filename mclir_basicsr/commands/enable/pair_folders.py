"""The pairs of two folders or LMDBs, as PairsFileDataset takes them: for an option file made from nothing else."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mclir_basicsr.data.meta_info import META_INFO, read_meta_info
from mclir_basicsr.data.pairs_file import Pair, read_pairs
from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.header import read_header
from mclir_basicsr.prepare.inventory import read_prepared
from mclir_basicsr.prepare.listing import ENDINGS

_SHOWN = 3  # names in a message
_HELD_OUT = 16  # pairs to validate on, at most, and at most a tenth


class Pairs(NamedTuple):
    """The pairs of two folders or LMDBs.

    Attributes:
        gt: The folder or LMDB of gt.
        lq: Likewise.
        pairs: Names and the size of lq, in order.
        scale: Sides of gt over those of lq.
    """

    gt: Path
    lq: Path
    pairs: list[Pair]
    scale: int

    @property
    def smallest(self) -> int:
        """The shortest side of an lq image, pixels."""
        return min(min(pair.size) for pair in self.pairs if pair.size)

    def block(self, name: str, pairs_file: Path) -> dict[str, Any]:
        """What an option file says of them."""
        return {
            'name': name,
            'type': 'PairsFileDataset',
            'dataroot_gt': str(self.gt),
            'dataroot_lq': str(self.lq),
            'pairs_file': str(pairs_file),
            'io_backend': {'type': 'lmdb' if _is_lmdb(self.gt) else 'disk'},
        }


def read_folders(gt: Path, lq: Path, scale: int | None = None, flags: Sequence[str] = ('--gt', '--lq')) -> Pairs:
    """Pair the images of two folders or LMDBs: as ``mclir prepare`` paired them, else by their names.

    Args:
        gt: Ground truth.
        lq: The inputs; their names are those of gt, or have ``x`` and the scale behind them.
        scale: Sides of gt over those of lq; None to tell by the sizes.
        flags: Where they were given, for messages.

    Raises:
        MclirError: There are no such folders, images are without their counterpart, or sizes do not fit.
    """
    names = {}
    for flag, folder in zip(flags, (gt, lq), strict=True):
        names[flag] = _sizes(flag, folder)
    if _is_lmdb(gt) != _is_lmdb(lq):
        raise MclirError(f'{" and ".join(flags)}: take two folders or two LMDBs, not one of each.')
    of_gt, of_lq = names.values()
    found = _prepared(gt, lq) or _by_name(of_gt, of_lq, flags)
    return Pairs(gt, lq, [pair._replace(size=of_lq[pair.lq]) for pair in found], _scale(found, of_gt, of_lq, scale))


def held_out(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """Pairs to train on and pairs to validate on: evenly spread ones; of a single pair the same for both."""
    count = min(_HELD_OUT, max(1, len(pairs.pairs) // 10))
    step = len(pairs.pairs) / count
    places = {int((i + 0.5) * step) for i in range(count)}
    kept = [pair for i, pair in enumerate(pairs.pairs) if i not in places]
    return pairs._replace(pairs=kept or pairs.pairs), pairs._replace(pairs=[pairs.pairs[i] for i in sorted(places)])


def _is_lmdb(folder: Path) -> bool:
    return folder.suffix == '.lmdb'


def _sizes(flag: str, folder: Path) -> dict[str, tuple[int, int]]:
    """Height and width of each image by its name without ending."""
    if not folder.is_dir():
        raise MclirError(f'{flag}: there is no folder {folder} (seen from {Path.cwd()}).')
    if _is_lmdb(folder):
        found = {
            key: (shape[0], shape[1]) for key, shape in read_meta_info(folder / META_INFO).by_key().items() if shape
        }
    else:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.name[0] != '.')
        headers = {file.stem: read_header(file, str(file)) for file in files}
        found = {name: (header.height, header.width) for name, header in headers.items()}
    if not found:
        raise MclirError(f'{flag}: {folder} holds no images.')
    if spaced := [name for name in found if len(name.split()) != 1]:
        raise MclirError(
            f'{flag}: {spaced[0]!r} has a space in its name: rename it, or let `mclir prepare pairs` write.'
        )
    return found


def _prepared(gt: Path, lq: Path) -> list[Pair]:
    """The pairs that ``mclir prepare`` listed beside what it wrote; none where it did not."""
    for root in list(gt.resolve().parents)[:3]:
        for file, sides in read_prepared(root).pairs.items():
            if [(root / side).resolve() for side in sides] == [lq.resolve(), gt.resolve()]:
                return list(read_pairs(root / file)[0].values())
    return []


def _by_name(of_gt: dict[str, Any], of_lq: dict[str, Any], flags: Sequence[str]) -> list[Pair]:
    endings = {name: ('', *(f'x{scale}' for scale in range(1, 9))) for name in of_gt}
    pairs = [Pair(name + ending, name) for name, tails in endings.items() for ending in tails if name + ending in of_lq]
    lonely = {
        flags[0]: sorted(of_gt.keys() - {pair.gt for pair in pairs}),
        flags[1]: sorted(of_lq.keys() - {pair.lq for pair in pairs}),
    }
    for flag, names in lonely.items():
        if names:
            more = ', ...' if len(names) > _SHOWN else ''
            raise MclirError(
                f'{flag}: {len(names)} images have no counterpart of their name: {", ".join(names[:_SHOWN])}{more}. '
                'mclir prepare pairs takes other rules (--template, --regex); what it writes can be given here.'
            )
    return pairs


def _scale(pairs: list[Pair], of_gt: dict[str, Any], of_lq: dict[str, Any], given: int | None) -> int:
    """The scale of every pair, up to a border that a division leaves."""
    first = pairs[0]
    scale = given or min(big // small for big, small in zip(of_gt[first.gt], of_lq[first.lq], strict=True))
    for pair in pairs:
        big, small = of_gt[pair.gt], of_lq[pair.lq]
        over = [a - b * scale for a, b in zip(big, small, strict=True)]
        if scale < 1 or min(over) < 0 or (given is None and max(over) >= max(scale, 2)):
            told = ['x'.join(map(str, size)) for size in (big, small)]
            raise MclirError(
                f'gt {pair.gt} is {told[0]} and lq {pair.lq} is {told[1]} (height x width), which is not scale {scale}'
                f'{" (--scale)" if given else ", as the first pair has it"}. Give --scale, or correct the images.'
            )
    return scale


def patch_for(pairs: Pairs, multiple: int, preferred: int) -> int:
    """Side of training patches in lq: the preferred one, or the largest multiple that the smallest image has."""
    most = min(preferred, pairs.smallest)
    return math.floor(most / multiple) * multiple or pairs.smallest
