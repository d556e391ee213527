"""The list of the images that a database or folder holds: BasicSR's meta_info.txt."""

import os
import re
from itertools import islice
from pathlib import Path
from typing import NamedTuple

META_INFO = 'meta_info.txt'
FOLDER_META_INFO = '.meta_info.txt'  # hidden: BasicSR takes each visible file of a folder for an image
_SIZE = r'([1-9]\d{0,8})'  # no image is larger, and int() refuses thousands of digits
_LINE = re.compile(rf'[ -\-/-~]{{1,511}}\.[!-~]+ \({_SIZE},{_SIZE},{_SIZE}\) \d+', re.ASCII)
_NAME = re.compile(r'(([ -\-/-~]{1,511})\.[!-~]+)(?: |$)')  # with ending, and before the first dot
_SHOWN = 80

Shape = tuple[int, int, int]


class MetaInfo:
    """The list of images that are being written.

    Args:
        file: The list, new or as an interrupted call left it.
        images: Number of its lines that count; what follows is cut off.

    Raises:
        OSError: It could not be opened or written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / META_INFO
    ...     images = MetaInfo(file, 0)
    ...     images.add('0001.png', (480, 640, 3))
    ...     images.close()
    ...     read_meta_info(file).shapes
    {'0001.png': (480, 640, 3)}
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


class MetaInfoRead(NamedTuple):
    """A list that was read.

    Attributes:
        shapes: Height, width and channels by name with ending; None where a line has a name and nothing else of use.
        faults: A line for each fault: a line that is none, or a key for the second time.
    """

    shapes: dict[str, Shape | None]
    faults: list[str]

    def by_key(self) -> dict[str, Shape | None]:
        """The shapes by key, which is what a database knows an image by."""
        return {key_of_name(name): shape for name, shape in self.shapes.items()}


def key_of_name(name: str) -> str:
    """The key in a name, as BasicSR reads it: what stands before the first dot.

    >>> key_of_name('0001_s001.png')
    '0001_s001'
    """
    return name.split('.')[0]


def read_meta_info(file: Path) -> MetaInfoRead:
    """Read the list of the images of a database or folder, whoever wrote it and whatever is in it.

    Raises:
        OSError: The file cannot be read.
    """
    shapes: dict[str, Shape | None] = {}
    keys: set[str] = set()
    faults = []
    with file.open(encoding='ascii', errors='replace') as lines:  # BasicSR asks a database for ASCII keys only
        for number, line in enumerate(map(str.rstrip, lines), 1):
            match = _LINE.fullmatch(line)
            name = _NAME.match(line)
            if match is None:
                faults.append(f'{file.name} line {number}: {shown(line)} is not "name.png (height,width,channels) 1"')
            if name is None:
                continue
            if name[2] in keys:
                faults.append(f'{name[2]}: twice in {file.name}')
            else:
                keys.add(name[2])
                shapes[name[1]] = (int(match[1]), int(match[2]), int(match[3])) if match else None
    return MetaInfoRead(shapes, faults)


def shown(line: str) -> str:
    """A line of a text file for a message, cut where it is long: it may be anything."""
    return repr(line if len(line) <= _SHOWN else f'{line[:_SHOWN]}...')
