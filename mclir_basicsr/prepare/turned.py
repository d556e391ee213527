"""Pairs of which EXIF turns one image and not the other: training reads both turned, so they may not lie on another."""

from pathlib import Path

import cv2
import numpy as np

from mclir_basicsr.prepare.decoding import decoded

APART = (
    '{lq}: EXIF turns it or its gt {gt} when they are read, but not both alike, and then they do not show the same; '
    'turn the pixels themselves and remove the tag'
)

_AS_STORED = cv2.IMREAD_IGNORE_ORIENTATION
_SIDE = 32
_CLEARLY = 0.1  # of a correlation: what noise and haze do not make up


def files_lie_apart(gt: Path, lq: Path) -> bool:
    """:func:`lie_apart` for two files whose orientations differ; False where one cannot be read any more."""
    try:
        return lie_apart(gt.read_bytes(), lq.read_bytes())
    except OSError:
        return False


def lie_apart(gt: bytes, lq: bytes) -> bool:
    """Whether two images show the same only where the EXIF orientation of one of them is passed over.

    A photograph that lies on its side and a copy of it that a program has turned are a good pair; with a copy that is
    as the camera wrote it, but has lost the tag, they are none, and a square one has even the right size. The pixels
    tell: each is compared as it is read and as it is stored.

    Args:
        gt: The encoded gt image.
        lq: The encoded lq image.

    Returns:
        True where another way of turning fits clearly better than the one in which they are read.
    """
    gt_read, gt_stored, lq_read, lq_stored = (
        _thumbnail(content, flags) for content in (gt, lq) for flags in (0, _AS_STORED)
    )
    others = ((gt_read, lq_stored), (gt_stored, lq_read), (gt_stored, lq_stored))
    return max(_likeness(*pair) for pair in others) > _likeness(gt_read, lq_read) + _CLEARLY


def _thumbnail(content: bytes, flags: int) -> np.ndarray:
    """``(32, 32)`` of mean 0 and norm 1, whatever the proportions were; 0 for a plain image."""
    image = decoded(content, cv2.IMREAD_GRAYSCALE | flags)
    if image is None:  # has its own fault
        return np.zeros((_SIDE, _SIDE))
    small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    small -= small.mean()
    norm = np.linalg.norm(small)
    return small / norm if norm > 1 else 0 * small


def _likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation, in [-1, 1]."""
    return float((a * b).sum())
