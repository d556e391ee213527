"""The metrics of validation: whether they tell what they are asked for, and can be computed on the images."""

from collections.abc import Mapping
from typing import Any

from mclir_basicsr.check.option_file import at
from mclir_basicsr.errors import FaultsError
from mclir_basicsr.metrics.directions import direction_fault
from mclir_basicsr.metrics.perceptual import smallest_side

_SSIM = 11  # side of its window
_NIQE = 96  # side of its blocks, of which it needs two for a covariance


def metrics_of(opt: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The metrics of an option file by their names there."""
    return {name: block for name, block in (at(opt, 'val.metrics') or {}).items() if isinstance(block, Mapping)}


def without_gt(opt: Mapping[str, Any], phase: str) -> str:
    """What to say of a data set without gt; empty where no metric needs any."""
    from basicsr.utils.registry import METRIC_REGISTRY

    from mclir_basicsr.models.measuring import needs_gt

    names = [
        name for name, block in metrics_of(opt).items() if block.get('type') in METRIC_REGISTRY and needs_gt(block)
    ]
    if not names:
        return ''
    kind = at(opt, f'datasets.{phase}.type')
    return (
        f'datasets.{phase}: {kind} gives no gt, with which {", ".join(f"val.metrics.{name}" for name in names)} must '
        'compare. Use a data set with dataroot_gt, such as PairedImageDataset, or take out the metric.'
    )


def small(block: Mapping[str, Any], height: int, width: int) -> str:
    """Why a metric of BasicSR or of ours cannot be computed on an image; empty where it can, or is another's.

    Args:
        block: Of the metric in ``val.metrics``.
        height: Of the restored image, in pixels.
        width: Likewise.

    >>> small({'type': 'calculate_ssim', 'crop_border': 4}, 18, 40)
    'calculate_ssim needs 11x11 pixels, and crop_border 4 leaves 10x32'
    >>> small({'type': 'calculate_niqe', 'crop_border': 0}, 96, 191)
    'calculate_niqe needs 96x192 or 192x96 pixels, and the image has 96x191'
    """
    kind, border = str(block.get('type')), block.get('crop_border') or 0
    if not isinstance(border, int):  # names tells
        return ''
    sides = max(height - 2 * border, 0), max(width - 2 * border, 0)
    if kind.startswith('calculate_psnr'):
        fits, needed = min(sides) > 0, 'a pixel'
    elif kind.startswith('calculate_ssim'):
        fits, needed = min(sides) >= _SSIM, f'{_SSIM}x{_SSIM} pixels'
    elif kind == 'calculate_niqe':
        blocks = (sides[0] // _NIQE) * (sides[1] // _NIQE)
        fits, needed = blocks >= 2, f'{_NIQE}x{2 * _NIQE} or {2 * _NIQE}x{_NIQE} pixels'
    elif side := smallest_side(block):
        fits, needed = min(sides) >= side, f'{side}x{side} pixels'
    else:
        return ''
    left = f'crop_border {border} leaves' if border else 'the image has'
    return '' if fits else f'{kind} needs {needed}, and {left} {sides[0]}x{sides[1]}'


def validation(opt: Mapping[str, Any]) -> list[str]:
    """Compare what is kept as best with the metrics, and the names of the data sets with one another."""
    faults = []
    metrics, best = metrics_of(opt), at(opt, 'train.keep.best')
    if best in metrics:  # keys tells of another
        fault = direction_fault(best, metrics[best])
        faults += [f'train.keep.best: {fault}'] if fault else []
    by_name: dict[str, list[str]] = {}
    for phase, block in opt['datasets'].items():
        if phase != 'train' and block.get('name') is not None:
            by_name.setdefault(str(block['name']), []).append(f'datasets.{phase}')
    faults += [
        f'{" and ".join(sets)} have the same name, {name!r}, under which their figures and images go. Rename one.'
        for name, sets in by_name.items()
        if len(sets) > 1
    ]
    if faults:
        raise FaultsError(faults)
    return []
