"""The LMDB database as BasicSR reads it: data.mdb, lock.mdb and meta_info.txt."""

import io
from pathlib import Path

import lmdb

from mclir_basicsr.data.meta_info import META_INFO, MetaInfo
from mclir_basicsr.prepare.entries import Entry, read_file
from mclir_basicsr.prepare.header import image_shape

_FIRST_MAP_BYTES = 256 * 2**20
_SPARE_PAGES = 16  # more than a put can take beside its data: the way down the tree, copied, and split on every level


class Database:
    """A database that is being written.

    Args:
        folder: Its folder, there already: empty, or with an unfinished database.
        images: Number of its images that count. What was put after them is put again.

    Attributes:
        pending: Bytes in memory since the last flush.
    """

    def __init__(self, folder: Path, images: int) -> None:
        self.pending = 0
        self._meta = MetaInfo(folder / META_INFO, images)
        self._env = lmdb.open(str(folder), map_size=_FIRST_MAP_BYTES, meminit=False)
        self._begin()

    def put(self, entry: Entry) -> None:
        """Take an image, which is on disk after the next :meth:`flush`.

        Raises:
            MclirError: Its file cannot be read or is no image.
            OSError, lmdb.Error: It could not be written.
        """
        if isinstance(entry.content, bytes):
            data, origin = entry.content, entry.name
        else:
            data, origin = read_file(entry.content), str(entry.content)
        self._meta.add(entry.name, image_shape(io.BytesIO(data), origin))
        self._make_room(len(data) // self._page_bytes + _SPARE_PAGES)
        self._transaction.put(entry.key.encode('ascii'), data)
        self.pending += len(data)

    def _begin(self) -> None:
        info = self._env.info()
        self._transaction = self._env.begin(write=True)
        self._page_bytes = self._transaction.stat()['psize']
        # at most; the spare ones are for LMDB's list of free pages
        self._pages_used = info['last_pgno'] + _SPARE_PAGES
        self._map_bytes = info['map_size']

    def _make_room(self, pages: int) -> None:
        """Grow the map before it is full: LMDB does it between transactions only, and a full map undoes one."""
        if (self._pages_used + pages) * self._page_bytes > self._map_bytes:
            self._transaction.commit()
            self._env.set_mapsize(2 * self._map_bytes + pages * self._page_bytes)
            self._begin()
        self._pages_used += pages

    def flush(self) -> None:
        """Write what is pending; it is on disk when this returns.

        Raises:
            OSError, lmdb.Error: It could not be written.
        """
        self._transaction.commit()
        self._meta.flush()
        self.pending = 0
        self._begin()

    def count(self) -> int:
        """Number of different keys."""
        return self._transaction.stat()['entries']

    def close(self) -> None:
        """Close the files; what is pending is lost."""
        self._env.close()
        self._meta.close()
