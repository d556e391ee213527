"""Which lq image belongs to which gt image: by their names."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mclir_basicsr.errors import MclirError
from mclir_basicsr.prepare.listing import Name


@dataclass(frozen=True, slots=True)
class Rule:
    """How names pair.

    A gt and an lq image belong together where the first group of both patterns gives the same text. A pattern must
    match the whole name without its ending. In a nested layout the folders must be the same, too: their names go before
    the text, joined by a dash.

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

    >>> re.fullmatch(template('{}x2').lq, '0001x2')[1]
    '0001'
    """
    if text.count('{}') != 1:
        raise MclirError(f"--template {text!r} needs exactly one {{}}, the gt name: '{{}}x2', for instance.")
    before, after = map(re.escape, text.split('{}'))
    return Rule(lq=f'{before}(.+){after}')


def regex(pattern: str) -> Rule:
    """The rule for one pattern that fits gt and lq names: ``(?:no)?rain-(.+)`` pairs ``rain-1`` with ``norain-1``.

    Raises:
        MclirError: It is no regular expression, or has no group.

    >>> rule = regex('(?:no)?rain-(.+)')
    >>> re.fullmatch(rule.gt, 'norain-1')[1] == re.fullmatch(rule.lq, 'rain-1')[1]
    True
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise MclirError(f'--regex {pattern!r} is no regular expression: {error}.') from error
    if groups == 0:
        raise MclirError(f"--regex {pattern!r} needs a group: '([^_]+)_?.*', for instance, pairs 1_a and 1_b with 1.")
    return Rule(gt=pattern, lq=pattern, shared=True)


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


def key_of(stem: str) -> str:
    """The key for a name: BasicSR cuts a key at its first dot, and a pairs file separates keys by a space.

    >>> key_of('1_1_0.90179')
    '1_1_0-90179'
    """
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

    >>> found = pair([Name('0001', 'HR/0001.png')], [Name('0001x2', 'LR/0001x2.png')], template('{}x2'))
    >>> found.lq, found.faults
    ([Item(key='0001', path='LR/0001x2.png')], [])
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
        if not (whole := image.whole).isascii() or not whole.isprintable() or '\\' in whole or len(whole) > 200:
            faults.append(
                f'{image.path!r}: name is not up to 200 printable ASCII characters without backslash, rename it'
            )
        elif match is None or not match[1]:
            faults.append(f'{image.path}: {side} name does not fit the rule {pattern!r}')
        else:
            found.setdefault(image.put_after_folder(match[1]), []).append(image)
    return found


def _item(image: Name, text: str, own_keys: bool) -> Item:
    return Item(key_of(image.whole if own_keys else text), image.path)


def _same_keys(items: Sequence[Item], side: str) -> list[str]:
    """Faults of images that would overwrite one another."""
    clashes = {key for key, count in Counter(item.key for item in items).items() if count > 1}
    return [
        f'{_listing([item for item in items if item.key == key])}: {side} names give the same key {key!r}, rename them'
        for key in sorted(clashes)
    ]


def _listing(images: Sequence[Name | Item]) -> str:
    return ', '.join(image.path for image in images)
