"""Whether a file still holds what was written: single bytes turn on disks and in copies, and readers do not look.

``torch.save`` writes a zip archive, which holds a CRC of each of its parts; ``torch.load`` skips them. safetensors has
no checksum, but a digest of the tensors may stand in its metadata. Torch's format before 1.6 has none.
"""

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import BinaryIO

_ZIP = b'PK\x03\x04'  # as torch.load tells it
_DIGEST = 'modelspec.hash_sha256'  # SHA-256 of what follows the header (github.com/Stability-AI/ModelSpec)
_BLOCK = 2**20  # bytes read at a time


class DamageError(Exception):
    """The file holds other bytes than were written; the message says which part."""


def check(path: Path) -> None:
    """Compare a checkpoint with the checksums that it holds; it is read once.

    Args:
        path: Of ``torch.save`` or, where its name ends so, safetensors. Formats without a checksum pass.

    Raises:
        DamageError: Its content does not fit a checksum.
        zipfile.BadZipFile: It begins as a zip archive and is none.
        OSError: It cannot be read.
    """
    with path.open('rb') as file:
        if path.suffix.lower() == '.safetensors':
            _check_safetensors(file)
        elif file.read(len(_ZIP)) == _ZIP:
            _check_zip(file)


def _check_zip(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise DamageError(f'the checksum of {damaged} does not fit its content')


def _check_safetensors(file: BinaryIO) -> None:
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), 'little')
    try:
        digest = json.loads(file.read(min(length, size)))['__metadata__'][_DIGEST]
    except (ValueError, KeyError, TypeError):  # there is none; of a damaged header safetensors tells
        return
    written, found = digest.lower().removeprefix('0x'), hashlib.sha256()
    while block := file.read(_BLOCK):
        found.update(block)
    if written and found.hexdigest() != written:
        raise DamageError(f'the digest {_DIGEST} of its metadata does not fit its tensors')
