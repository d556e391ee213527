"""Finding the values in an LMDB file whatever is in its pages: LMDB itself ends the process at some damaged ones."""

import struct
from itertools import pairwise
from mmap import mmap
from typing import NamedTuple

# as in LMDB's mdb.c, in the machine's own byte order and word size
_META = struct.Struct('@NHHI II NN IHHNNNNN IHHNNNNN NN')  # page, version, map, tree of free pages, main tree, last two
_PAGE = struct.Struct('@NHHHH')  # number, -, kind, end of the list of nodes, begin of the nodes
_OVERFLOW_PAGE = struct.Struct('@NHHI')  # number, -, kind, how many pages
_PLACE = struct.Struct('@H')  # of a node in its page
_NODE = struct.Struct('@HHHH')  # low and high half of the value's size; flags; size of the key; key and value follow
_NUMBER = struct.Struct('@N')
_BRANCH, _LEAF, _OVERFLOW, _KINDS = 1, 2, 4, 0x2F
_ELSEWHERE = 1  # flag: in place of the value stands the number of the overflow page that it begins on
_NO_ROOT = 2 ** (8 * _NUMBER.size) - 1


def find_values(data: mmap, page_bytes: int) -> tuple[dict[bytes, slice], list[str]]:
    """Walk the tree of keys.

    Args:
        data: The whole file, no shorter than its meta pages say.
        page_bytes: Size of a page.

    Returns:
        Where in ``data`` the value of each key is, and a line for each damaged page. Keys that only a damaged page
        leads to are missing; a value that lies on one is empty.
    """
    metas = [_META.unpack_from(data, at) for at in (0, page_bytes)]
    depth, *_, root, last, _ = max(metas, key=lambda meta: meta[-1])[-8:]  # by the number of the transaction
    tree = _Tree(data, page_bytes, last)
    if root != _NO_ROOT:
        tree.walk(root, depth, b'', None)
    return tree.values, tree.faults


class _Node(NamedTuple):
    """Key and where the value is, or in a branch page, the number of a page in ``size`` and ``flags``."""

    key: bytes
    size: int
    flags: int
    begin: int


class _Tree:
    """What a walk has found."""

    def __init__(self, data: mmap, page_bytes: int, last: int) -> None:
        self.values: dict[bytes, slice] = {}
        self.faults: list[str] = []
        self._data = data
        self._page_bytes = page_bytes
        self._last = last

    def walk(self, number: int, levels: int, low: bytes, high: bytes | None) -> None:
        """Take in what a page and those below it hold; their keys must lie in ``[low, high)``."""
        branch = levels > 1
        nodes = self._nodes(number, _BRANCH if branch else _LEAF)
        keys = [node.key for node in nodes]
        if branch:
            keys[:1] = [low]  # LMDB gives no meaning to the first
        if len(nodes) < (2 if branch else 1) or not _ascending(low, keys, high):
            self.faults.append(f'page {number} is damaged')
        elif branch:
            for node, lower, upper in zip(nodes, keys, [*keys[1:], high], strict=True):
                self.walk(node.size | node.flags << 32, levels - 1, lower, upper)
        else:
            self.values |= {node.key: self._value(node) for node in nodes}

    def _nodes(self, number: int, kind: int) -> list[_Node]:
        """The nodes of a page; none where it is damaged."""
        if not 1 < number <= self._last:
            return []
        page = number * self._page_bytes
        own_number, _, flags, end, begin = _PAGE.unpack_from(self._data, page)
        if own_number != number or flags & _KINDS != kind or not _PAGE.size <= end <= begin <= self._page_bytes:
            return []
        nodes = []
        for (place,) in _PLACE.iter_unpack(self._data[page + _PAGE.size : page + end - end % _PLACE.size]):
            key = place + _NODE.size
            if not begin <= place <= self._page_bytes - _NODE.size:
                return []
            low, high, flags, key_size = _NODE.unpack_from(self._data, page + place)
            size = low | high << 16
            here = 0 if kind == _BRANCH else _NUMBER.size if flags & _ELSEWHERE else size
            value = key + key_size
            if value + here > self._page_bytes:
                return []
            nodes.append(_Node(self._data[page + key : page + value], size, flags, page + value))
        return nodes

    def _value(self, node: _Node) -> slice:
        """Where a value is; empty where its overflow pages are damaged."""
        begin = node.begin
        if node.flags & _ELSEWHERE:
            (number,) = _NUMBER.unpack_from(self._data, node.begin)
            if not 1 < number <= self._last:
                return slice(0, 0)
            begin = number * self._page_bytes
            own_number, _, flags, count = _OVERFLOW_PAGE.unpack_from(self._data, begin)
            room = min(count, self._last + 1 - number) * self._page_bytes - _OVERFLOW_PAGE.size
            if own_number != number or flags & _KINDS != _OVERFLOW or node.size > room:
                return slice(0, 0)
            begin += _OVERFLOW_PAGE.size
        return slice(begin, begin + node.size)


def _ascending(low: bytes, keys: list[bytes], high: bytes | None) -> bool:
    return low <= keys[0] and all(a < b for a, b in pairwise(keys)) and (high is None or keys[-1] < high)
