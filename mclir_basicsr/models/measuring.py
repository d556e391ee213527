"""The metrics of a validation: image by image, and their means over a data set."""

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from basicsr.metrics import calculate_metric
from basicsr.utils import get_root_logger
from basicsr.utils.registry import METRIC_REGISTRY

from mclir_basicsr.errors import MclirError

Metrics = Mapping[str, Mapping[str, Any]]
"""``val.metrics``: options by name."""

Measured = tuple[str, dict[str, float]]
"""Name of an image, and its metrics by name."""

_SIZES = 'Smallest sizes behind crop_border: calculate_ssim 11x11 pixels, calculate_niqe 96x192.'


def needs_gt(options: Mapping[str, Any]) -> bool:
    """Whether a metric compares with gt: its function has to be given ``img2``."""
    parameters = inspect.signature(METRIC_REGISTRY.get(options['type'])).parameters
    return 'img2' in parameters and parameters['img2'].default is inspect.Parameter.empty


def measure(images: Mapping[str, Any], metrics: Metrics, where: str) -> dict[str, float]:
    """Metrics of one image by name.

    Args:
        images: ``img``, and ``img2`` (gt) where there is one: (H, W, C), uint8, BGR.
        metrics: Which.
        where: The image and its data set, for messages.

    Raises:
        MclirError: A metric needs gt, and the image has none; or it fails.
    """
    if 'img2' not in images and (alone := [name for name, options in metrics.items() if needs_gt(options)]):
        raise MclirError(
            f'val.metrics: {", ".join(alone)} compares with gt, but {where} has none. Give the data set gt '
            '(PairedImageDataset with dataroot_gt), or take the metric or the data set out.'
        )
    values = {}
    for name, options in metrics.items():
        try:
            values[name] = calculate_metric(images, _arguments(options))
        except Exception as error:  # whatever a metric raises
            raise MclirError(
                f'val.metrics.{name} ({options["type"]}) fails on {where}, {images["img"].shape[1]}x'
                f'{images["img"].shape[0]} pixels (width x height): {error} {_SIZES} Correct it or take it out.'
            ) from error
    return values


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """What calculate_metric takes: ``better`` is for those who compare, and not every metric puts up with it."""
    parameters = inspect.signature(METRIC_REGISTRY.get(options['type'])).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return {key: value for key, value in options.items() if key != 'better' or takes_all or key in parameters}


def flat(items: Iterable[list[Measured]]) -> list[Measured]:
    """The images of all that was restored, one by one or in sequences, in their order."""
    return [measured for images in items for measured in images]


def means(values: Sequence[Measured], metrics: Metrics, dataset: str) -> dict[str, float]:
    """Mean of each metric over the images of a data set, which must have some; of video the mean over its sequences.

    A metric that is nan for an image, and so for the data set, is named in the log.
    """
    for name, options in metrics.items():
        bad = sum(math.isnan(found[name]) for _, found in values)
        if bad:
            get_root_logger().warning(
                f'val.metrics.{name} ({options["type"]}) is nan for {bad} of {len(values)} images of {dataset}, '
                f'so it is for the data set: images are too small, or crop_border leaves nothing of them. {_SIZES}'
            )
    by_folder: dict[str, list[dict[str, float]]] = {}
    for image, found in values:
        by_folder.setdefault(image.rpartition('/')[0], []).append(found)
    return {
        name: sum(sum(found[name] for found in group) / len(group) for group in by_folder.values()) / len(by_folder)
        for name in metrics
    }
