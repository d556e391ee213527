"""Paths as option files write them."""

import os
from pathlib import Path
from typing import Any

from mclir_basicsr.errors import MclirError


def expand(key: str, path: Any) -> Path:
    """A path of an option file, as BasicSR expands it.

    Args:
        key: Where it stands, for the message.
        path: The value there.

    Raises:
        MclirError: It is no text.
    """
    if not isinstance(path, str):
        raise MclirError(f'{key} must be a path, but it is {path!r}.')
    return Path(os.path.expanduser(path))  # noqa: PTH111  as BasicSR does: ~x may be a name
