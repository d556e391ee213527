"""Images under any name that the file system has."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def is_plain(path: str) -> bool:
    r"""Whether OpenCV can be given this path: it crashes on one that is no UTF-8, which Python holds as surrogates.

    >>> is_plain('café.png'), is_plain('caf\udce9.png')
    (True, False)
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def write(image: np.ndarray, path: str, params: Sequence[int] | None = None, auto_mkdir: bool = True) -> None:
    """Write an image as BasicSR's ``imwrite`` does, without giving its path to OpenCV.

    Args:
        image: (H, W) or (H, W, C), BGR.
        path: Its suffix tells the format.
        params: Of ``cv2.imwrite``.
        auto_mkdir: Make the folder.

    Raises:
        OSError: OpenCV does not write this format, or the file cannot be written.
    """
    file = Path(path)
    if auto_mkdir:
        file.parent.mkdir(parents=True, exist_ok=True)
    is_encoded, data = cv2.imencode(file.suffix, image, list(params or ()))
    if not is_encoded:
        raise OSError('Failed in writing images.')
    file.write_bytes(data.tobytes())
