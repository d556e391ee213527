"""The list of the images that a database or folder holds: BasicSR's meta_info.txt."""

import os
import re
from itertools import islice
from pathlib import Path

META_INFO = 'meta_info.txt'
FOLDER_META_INFO = '.meta_info.txt'  # hidden: BasicSR takes each visible file of a folder for an image
_LINE = re.compile(r'(([^.]+)\.\S+) \((\d+),(\d+),(\d+)\) \d+')

Shape = tuple[int, int, int]


class MetaInfo:
    """The list of images that are being written.

    Args:
        file: The list, new or as an interrupted call left it.
        images: Number of its lines that count; what follows is cut off.

    Raises:
        OSError: It could not be opened or written.
    """

    def __init__(self, file: Path, images: int) -> None:
        self._file = file.open('ab+')
        self._file.seek(0)
        self._file.truncate(sum(len(line) for line in islice(self._file, images)))

    def add(self, name: str, shape: Shape) -> None:
        """Append an image: its name with ending, its height, width and channels."""
        # the last number, the level of compression, is part of the format; nobody reads it
        self._file.write('{} ({},{},{}) 1\n'.format(name, *shape).encode('ascii'))

    def flush(self) -> None:
        """Have all lines on disk.

        Raises:
            OSError: They could not be written.
        """
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_meta_info(file: Path) -> tuple[dict[str, Shape], list[str]]:
    """Shapes by name with ending, and a line for each fault: a line that is none, or a key for the second time.

    Raises:
        OSError: The file cannot be read.
    """
    shapes: dict[str, Shape] = {}
    keys: set[str] = set()
    faults = []
    for number, line in enumerate(file.read_text('ascii', errors='replace').splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            faults.append(f'{file.name} line {number}: {line!r} is not "name.png (height,width,channels) 1"')
        elif match[2] in keys:
            faults.append(f'{match[2]}: twice in {file.name}')
        else:
            keys.add(match[2])
            shapes[match[1]] = int(match[3]), int(match[4]), int(match[5])
    return shapes, faults
