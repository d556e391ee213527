"""The file that lists the pairs of a data set: ``LQ GT`` or ``LQ GT HEIGHTxWIDTH`` in each line.

Written by ``mclir prepare``, read by PairsFileDataset and ``mclir verify``; it needs neither torch nor BasicSR.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mclir_basicsr.files.whole_file import whole_file

_SIZE = r'([1-9]\d{0,8})'  # no image is larger, and int() refuses thousands of digits
_LINE = re.compile(rf'(\S+) (\S+)(?: {_SIZE}x{_SIZE})?', re.ASCII)
_SHOWN = 80


class Pair(NamedTuple):
    """One line.

    Attributes:
        lq: Key of the lq image: its name without ending.
        gt: Key of the gt image.
        size: Height and width of the lq image in pixels, or None where the file does not say.
    """

    lq: str
    gt: str
    size: tuple[int, int] | None = None


class BadLine(NamedTuple):
    """A line that is no pair.

    Attributes:
        number: From 1 on.
        text: What is wrong with it.
    """

    number: int
    text: str


def write_pairs(file: Path, pairs: Iterable[Pair]) -> None:
    """Write a pairs file: it is whole, or not there.

    Raises:
        OSError: It could not be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_pairs(Path(folder) / 'pairs.txt', [Pair('1_1', '1', (460, 620)), Pair('1_2', '1')])
    ...     read_pairs(Path(folder) / 'pairs.txt')
    ({1: Pair(lq='1_1', gt='1', size=(460, 620)), 2: Pair(lq='1_2', gt='1', size=None)}, [])
    """
    with whole_file(file) as stream:
        for lq, gt, size in pairs:
            stream.write(f'{lq} {gt}{" {}x{}".format(*size) if size else ""}\n'.encode())


def read_pairs(file: Path) -> tuple[dict[int, Pair], list[BadLine]]:
    """Read a pairs file, whatever is in it.

    Returns:
        The pairs by the number of their line, and the lines that are none.

    Raises:
        OSError: It cannot be read.
    """
    pairs: dict[int, Pair] = {}
    bad = []
    with file.open(encoding='utf-8-sig', errors='replace') as lines:  # some editors put a mark at its begin
        for number, line in enumerate((line.rstrip('\n') for line in lines), 1):
            match = _LINE.fullmatch(line)
            if match is None:
                seen = repr(line if len(line) <= _SHOWN else f'{line[:_SHOWN]}...')
                bad.append(BadLine(number, f'{seen} is neither LQ GT nor LQ GT HEIGHTxWIDTH'))
            else:
                lq, gt, height, width = match.groups()
                pairs[number] = Pair(lq, gt, (int(height), int(width)) if height else None)
    return pairs, bad
