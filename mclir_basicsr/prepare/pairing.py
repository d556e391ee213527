"""Which lq image belongs to which gt image: by their names."""

import os
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mclir_basicsr.errors import MclirError

ENDINGS = frozenset({'.png', '.jpg', '.jpeg', '.bmp', '.webp', '.tif', '.tiff'})


@dataclass(frozen=True, slots=True)
class Rule:
    """How names pair.

    A gt and an lq image belong together where the first group of both patterns gives the same text. A pattern must
    match the whole name without its ending; in a nested layout the names of the folders go before, joined by a dash.

    Attributes:
        gt: Regular expression for gt names.
        lq: Regular expression for lq names.
        shared: Several lq images may have the same gt image, and a gt image may have none.
    """

    gt: str = '(.+)'
    lq: str = '(.+)'
    shared: bool = False


def template(text: str) -> Rule:
    """The rule for lq names that put something around the gt name: ``{}x2`` pairs ``0001x2`` with ``0001``.

    Raises:
        MclirError: There is not exactly one ``{}`` in it.
    """
    if text.count('{}') != 1:
        raise MclirError(f"--template {text!r} needs exactly one {{}}, the gt name: '{{}}x2', for instance.")
    before, after = map(re.escape, text.split('{}'))
    return Rule(lq=f'{before}(.+){after}')


def regex(pattern: str) -> Rule:
    """The rule for one pattern that fits gt and lq names: ``(?:no)?rain-(.+)`` pairs ``rain-1`` with ``norain-1``.

    Raises:
        MclirError: It is no regular expression, or has no group.
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise MclirError(f'--regex {pattern!r} is no regular expression: {error}.') from error
    if groups == 0:
        raise MclirError(f"--regex {pattern!r} needs a group: '([^_]+)_?.*', for instance, pairs 1_a and 1_b with 1.")
    return Rule(gt=pattern, lq=pattern, shared=True)


class Name(NamedTuple):
    """An image file.

    Attributes:
        stem: What a rule sees: the file's name without ending, after the folders that ``*`` stood for.
        path: The file relative to the data set's root.
    """

    stem: str
    path: str


class Item(NamedTuple):
    """An image under the name it gets.

    Attributes:
        key: Name in the database or folder, without ending: printable ASCII without dots and spaces.
        path: The file relative to the data set's root.
    """

    key: str
    path: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs of a data set, as small as tens of thousands and more can be.

    Attributes:
        gt: The gt images; where images are shared, those with no lq image are left out.
        lq: The lq images by key.
        links: For each lq image, the place of its gt image in ``gt``.
        unused: Number of gt images left out.
        faults: What is wrong, a line each, with the files' names. The pairs are complete only where there is none.
    """

    gt: list[Item]
    lq: list[Item]
    links: Sequence[int]
    unused: int
    faults: list[str]


def names(root: Path, pattern: str, literal: bool = False) -> list[Name]:
    """The image files in one folder, or in each folder that a pattern with ``*`` matches; sorted by path.

    Hidden files and other endings are passed over. Empty where there is no such folder.

    Args:
        root: Where the pattern begins.
        pattern: The folder or folders.
        literal: It is the name of one folder, even with ``*`` in it.
    """
    several = '*' in pattern and not literal
    wanted = Path(pattern).parts if several else ()
    found = []
    for folder in filter(Path.is_dir, sorted(root.glob(pattern)) if several else [root / pattern]):
        relative = folder.relative_to(root).as_posix()
        wild = [part for part, star in zip(Path(relative).parts, wanted, strict=False) if star == '*']
        with os.scandir(folder) as entries:
            for name in sorted(entry.name for entry in entries):
                stem, ending = os.path.splitext(name)  # noqa: PTH122  a Path for each of a million names is slow
                if ending.lower() in ENDINGS and not name.startswith('.'):
                    found.append(Name('-'.join([*wild, stem]), name if relative == '.' else f'{relative}/{name}'))
    return found


def key_of(stem: str) -> str:
    """The key for a name: BasicSR cuts a key at its first dot, and a pairs file separates keys by a space."""
    return stem.replace('.', '-').replace(' ', '_')


def pair(gt: Iterable[Name], lq: Iterable[Name], rule: Rule, own_keys: bool = False) -> Pairing:
    """Pair the images of two folders.

    Args:
        gt: The gt images.
        lq: The lq images.
        rule: How their names pair.
        own_keys: Give each image its own name as key. Otherwise both images of a pair get the same key, as
            PairedImageDataset wants it, unless lq images do share a gt image.

    Returns:
        The pairs, or the faults found: names that are not printable ASCII, that the rule does not fit, that have no
        counterpart, or that give the same key.
    """
    faults: list[str] = []
    gt_by_text = _by_text(gt, rule.gt, 'gt', faults)
    lq_by_text = _by_text(lq, rule.lq, 'lq', faults)
    for text, images in gt_by_text.items():
        if len(images) > 1:
            faults.append(f'{_listing(images)}: more than one gt image for {text!r}')
        if text not in lq_by_text and not rule.shared:
            faults.append(f'{_listing(images)}: gt without lq')
    for text, images in lq_by_text.items():
        if text not in gt_by_text:
            faults.append(f'{_listing(images)}: lq without gt')
        elif len(images) > 1 and not rule.shared:
            faults.append(f'{_listing(images)}: more than one lq image for {text!r}')
    own_keys = own_keys or (rule.shared and any(len(images) > 1 for images in lq_by_text.values()))

    unused = gt_by_text.keys() - lq_by_text.keys() if rule.shared else set()
    texts = sorted(gt_by_text.keys() - unused)
    gt_items = [_item(gt_by_text[text][0], text, own_keys) for text in texts]
    linked = sorted(
        (_item(image, text, own_keys), place) for place, text in enumerate(texts) for image in lq_by_text.get(text, ())
    )
    lq_items = [item for item, _ in linked]
    faults += _same_keys(gt_items, 'gt') + _same_keys(lq_items, 'lq')
    return Pairing(gt_items, lq_items, array('l', (place for _, place in linked)), len(unused), faults)


def _by_text(images: Iterable[Name], pattern: str, side: str, faults: list[str]) -> dict[str, list[Name]]:
    """Images by the text that the rule finds in their names."""
    expression = re.compile(pattern)
    found: dict[str, list[Name]] = {}
    for image in images:
        match = expression.fullmatch(image.stem)
        if not (
            image.stem.isascii() and image.stem.isprintable() and '\\' not in image.stem and len(image.stem) <= 200
        ):
            faults.append(
                f'{image.path!r}: name is not up to 200 printable ASCII characters without backslash, rename it'
            )
        elif match is None or not match[1]:
            faults.append(f'{image.path}: {side} name does not fit the rule {pattern!r}')
        else:
            found.setdefault(match[1], []).append(image)
    return found


def _item(image: Name, text: str, own_keys: bool) -> Item:
    return Item(key_of(image.stem if own_keys else text), image.path)


def _same_keys(items: Sequence[Item], side: str) -> list[str]:
    """Faults of images that would overwrite one another."""
    clashes = {key for key, count in Counter(item.key for item in items).items() if count > 1}
    return [
        f'{_listing([item for item in items if item.key == key])}: {side} names give the same key {key!r}, rename them'
        for key in sorted(clashes)
    ]


def _listing(images: Sequence[Name | Item]) -> str:
    return ', '.join(image.path for image in images)
