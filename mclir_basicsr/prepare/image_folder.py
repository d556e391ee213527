"""A folder of image files that is being written."""

import io
import os
import shutil
import sys
from pathlib import Path

from mclir_basicsr.data.meta_info import FOLDER_META_INFO, MetaInfo
from mclir_basicsr.prepare.entries import Entry
from mclir_basicsr.prepare.header import image_shape
from mclir_basicsr.prepare.journal import visible_files


class ImageFolder:
    """The counterpart of Database for plain files.

    A whole image is a hard link to the original, which takes no space, or a copy where the file system has no links.

    Args:
        folder: The folder, there already: empty, or with unfinished work.
        images: Number of its images that count. What was put after them is put again.

    Attributes:
        pending: Bytes in memory since the last flush: none.
    """

    pending = 0

    def __init__(self, folder: Path, images: int) -> None:
        self._folder = folder
        self._meta = MetaInfo(folder / FOLDER_META_INFO, images)

    def put(self, entry: Entry) -> None:
        """Write an image.

        Raises:
            MclirError: Its file cannot be read or is no image.
            OSError: It could not be written.
        """
        file = self._folder / entry.name
        file.unlink(missing_ok=True)  # an interrupted call may have left a link, which must not be written through
        if isinstance(entry.content, bytes):
            self._meta.add(entry.name, image_shape(io.BytesIO(entry.content), entry.name))
            file.write_bytes(entry.content)
            return
        self._meta.add(entry.name, image_shape(entry.content, str(entry.content)))
        original = entry.content.resolve()
        try:
            os.link(original, file)
        except OSError:  # another disk, a file system without links, someone else's file
            shutil.copyfile(original, file)

    def flush(self) -> None:
        """Have everything on disk.

        Raises:
            OSError: It could not be written.
        """
        self._meta.flush()
        if sys.platform != 'win32':
            os.sync()  # at once; an fsync for each file would take longer than writing them

    def count(self) -> int:
        """Number of files."""
        return len(visible_files(self._folder))

    def close(self) -> None:
        """Close the list of images."""
        self._meta.close()
