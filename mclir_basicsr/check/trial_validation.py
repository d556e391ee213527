"""One image of a val set through restoration and every metric."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import default_collate

from mclir_basicsr.check.metrics import metrics_of, small
from mclir_basicsr.errors import FaultsError, MclirError

_SIDE = 128  # of lq, to which a larger image is cut unless a metric needs more


def validate(model: Any, phase: str) -> str:
    """Restore and measure the first image of a data set, cut so that it takes seconds.

    Args:
        model: Of the run.
        phase: Which of ``datasets``.

    Returns:
        What was done.

    Raises:
        FaultsError: The image cannot be read or restored, or metrics fail on it.
    """
    from basicsr.models.sr_model import SRModel

    from mclir_basicsr.models.validation import ValidationModel

    where = f'datasets.{phase}'
    if type(model).nondist_validation not in (SRModel.nondist_validation, ValidationModel.nondist_validation):
        return f'not {where}, which {type(model).__name__} validates on in a way of its own'
    try:
        data = _first(model, phase)
    except Exception as error:  # whatever a data set raises
        raise FaultsError([f'{where}: its first image cannot be had: {sentence(error)}']) from error
    image = Path(str(data['lq_path'][0])).name if 'lq_path' in data else 'its first image'
    try:
        images = _restored(model, data)
    except Exception as error:  # whatever a network raises
        size = 'x'.join(map(str, data['lq'].shape)) if 'lq' in data else 'without lq'
        raise FaultsError([f'{where}: {image} ({size}) cannot be restored: {sentence(error)}']) from error
    faults = [
        f'val.metrics.{name}: {block.get("type")} fails on {image} of {where}, restored to '
        f'{images["img"].shape[0]}x{images["img"].shape[1]}{why} Correct it or take it out.'
        for name, block in metrics_of(model.opt).items()
        if (why := _measure(images, block))
    ]
    if faults:
        raise FaultsError(faults)
    return f'{image} of {where}'


def _first(model: Any, phase: str) -> dict[str, Any]:
    """The first sample as a batch, its images cut to what is enough to restore and to measure."""
    from basicsr.data import build_dataset

    data = default_collate([build_dataset(model.opt['datasets'][phase])[0]])
    scale, side = model.opt.get('scale', 1), _SIDE
    height, width = data['lq'].shape[-2:]
    metrics = metrics_of(model.opt).values()
    while side < max(height, width) and any(
        small(block, min(side, height) * scale, min(side, width) * scale) for block in metrics
    ):
        side *= 2
    data['lq'] = data['lq'][..., :side, :side]
    if 'gt' in data:
        data['gt'] = data['gt'][..., : side * scale, : side * scale]
    return data


def _restored(model: Any, data: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the metrics are given, (H, W, C) each."""
    from basicsr.utils import tensor2img

    model.__dict__.pop('gt', None)  # of the training batch
    model.feed_data(data)
    model.test()
    visuals = model.get_current_visuals()
    images = {'img': tensor2img([visuals['result']])}
    if 'gt' in visuals:
        images['img2'] = tensor2img([visuals['gt']])
    return images


def _measure(images: dict[str, np.ndarray], block: Mapping[str, Any]) -> str:
    """Why a metric cannot be computed; empty where it can."""
    from basicsr.metrics import calculate_metric

    try:
        value = float(calculate_metric(images, dict(block)))
    except Exception as error:  # whatever a metric raises
        return f': {sentence(error)}'
    return ': it is nan.' if math.isnan(value) else ''


def sentence(error: Exception) -> str:
    """An error as a sentence; its type says more where it is neither ours nor torch's."""
    text = ' '.join(str(error).split()).rstrip('.')
    return f'{text}.' if text and isinstance(error, (MclirError, RuntimeError)) else f'{type(error).__name__}: {text}.'
