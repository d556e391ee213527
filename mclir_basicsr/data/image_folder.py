"""A folder of image files that is being written."""

import os
import shutil
import sys
from pathlib import Path

from mclir_basicsr.data.entries import Entry
from mclir_basicsr.data.header import image_shape
from mclir_basicsr.data.unfinished import visible_files


class ImageFolder:
    """The counterpart of Database for plain files.

    A whole image is a hard link to the original, which takes no space, or a copy where the file system has no links.

    Args:
        folder: The folder, there already.

    Attributes:
        pending: Bytes in memory since the last flush: none.
    """

    pending = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, entry: Entry) -> None:
        """Write an image.

        Raises:
            MclirError: Its file cannot be read or is no image.
            OSError: It could not be written.
        """
        file = self._folder / entry.name
        file.unlink(missing_ok=True)  # an interrupted call may have left a link, which must not be written through
        if isinstance(entry.content, bytes):
            file.write_bytes(entry.content)
            return
        image_shape(entry.content, str(entry.content))
        original = entry.content.resolve()
        try:
            os.link(original, file)
        except OSError:  # another disk, a file system without links, someone else's file
            shutil.copyfile(original, file)

    def flush(self) -> None:
        """Have everything on disk."""
        if sys.platform != 'win32':
            os.sync()  # at once; an fsync for each file would take longer than writing them

    def count(self) -> int:
        """Number of files."""
        return len(visible_files(self._folder))

    def close(self) -> None:
        """Nothing is open."""
