"""The image files of a data set's folders."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ENDINGS = frozenset({'.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff'})
_SHOWN = 3  # folders named in a note


class Name(NamedTuple):
    """An image file.

    Attributes:
        stem: What a rule sees: the file's name without ending.
        path: The file relative to the data set's root.
        folder: The folders that ``*`` stood for and those below, joined by a dash; they go before the key.
    """

    stem: str
    path: str
    folder: str = ''

    @property
    def whole(self) -> str:
        """The name with its folders."""
        return self.put_after_folder(self.stem)

    def put_after_folder(self, text: str) -> str:
        """A text behind the folders, joined by a dash."""
        return f'{self.folder}-{text}' if self.folder else text


class Listing(NamedTuple):
    """What is in a folder.

    Attributes:
        names: The image files; sorted by path within each folder.
        notes: What was taken or left out that one may not expect, a line each.
    """

    names: list[Name]
    notes: list[str]


class _Level(NamedTuple):
    """A folder, as its place below the one that was asked for, its images, and how many other files of which ending."""

    parts: tuple[str, ...]
    images: list[str]
    others: Counter[str]


def list_images(root: Path, pattern: str, literal: bool = False, apart: Path | None = None) -> Listing:
    """The image files in one folder, or in each folder that a pattern with ``*`` matches.

    Where a folder holds no images itself, those of all folders below it are taken. Hidden files and folders are passed
    over. Empty where there is no such folder.

    Args:
        root: Where the pattern begins.
        pattern: The folder or folders.
        literal: It is the name of one folder, even with ``*`` in it.
        apart: A folder that is not entered on the way down: the one that is written to.

    Raises:
        OSError: A folder cannot be read.
    """
    several = '*' in pattern and not literal
    wanted = Path(pattern).parts if several else ()
    found = Listing([], [])
    for folder in filter(Path.is_dir, sorted(root.glob(pattern)) if several else [root / pattern]):
        relative = folder.relative_to(root)
        wild = [part for part, star in zip(relative.parts, wanted, strict=False) if star == '*']
        levels = list(_walk(folder, (), set(), apart and apart.resolve()))
        here = [level for level in levels if not level.parts and level.images]
        for parts, images, _ in here or levels:
            place = relative.joinpath(*parts).as_posix()
            prefix = '' if place == '.' else f'{place}/'
            joined = '-'.join([*wild, *parts])
            found.names.extend(Name(os.path.splitext(name)[0], f'{prefix}{name}', joined) for name in images)  # noqa: PTH122
        found.notes.extend(f'{folder}: {note}' for note in _notes(levels, bool(here)))
    return found


def _notes(levels: Sequence[_Level], only_here: bool) -> Iterator[str]:
    """What to say of a folder and those below it, where ``only_here`` says that it was taken alone."""
    deeper = ['/'.join(level.parts) for level in levels if level.parts and level.images]
    listed = ', '.join(deeper[:_SHOWN]) + (', and more' if len(deeper) > _SHOWN else '')
    if deeper and only_here:
        count = sum(len(level.images) for level in levels if level.parts)
        yield (
            f'{count} images in folders below it ({listed}) are left out, since there are images beside those folders; '
            'move these into a folder of their own to have all taken'
        )
    elif deeper:
        yield f'the images of {len(deeper)} folders below it are taken ({listed}); their keys begin with the folder'
    others = sum((level.others for level in levels if not (level.parts and only_here)), Counter[str]())
    if others:
        yield f'left out: {", ".join(f"{count} files {ending}" for ending, count in sorted(others.items()))}'


def _walk(folder: Path, parts: tuple[str, ...], seen: set[tuple[int, int]], apart: Path | None) -> Iterator[_Level]:
    """A folder and those below it, each once, also behind links."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen or (parts and folder.resolve() == apart):
        return
    seen.add((status.st_dev, status.st_ino))
    level, folders = _Level(parts, [], Counter()), []
    with os.scandir(folder) as entries:
        for entry in entries:
            ending = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122  a Path for each of a million names is slow
            if entry.name.startswith('.'):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif ending in ENDINGS:
                level.images.append(entry.name)
            else:
                level.others[ending or 'without ending'] += 1
    level.images.sort()
    yield level
    for name in sorted(folders):
        yield from _walk(folder / name, (*parts, name), seen, apart)
