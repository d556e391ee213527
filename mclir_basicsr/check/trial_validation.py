"""One image of a val set through restoration and every metric."""

import math
from pathlib import Path
from typing import Any

from torch.utils.data import default_collate

from mclir_basicsr.check.metrics import metrics_of, small
from mclir_basicsr.errors import FaultsError, MclirError

_SIDE = 64  # of lq, to which a larger image is cut unless a metric needs more
_FRAMES = 10  # of a video that is restored whole


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
    image = f'{Path(str(data["lq_path"][0])).name if "lq_path" in data else data["folder"][0]} of {where}'
    try:
        if isinstance(model, ValidationModel):
            ((_, values), *_), *_ = model._validate_images([data], model.opt['datasets'][phase], 0, save_img=False)  # type: ignore[arg-type]
        else:
            values = _measured(model, data)
    except MclirError as error:
        raise FaultsError([str(error)]) from error
    except Exception as error:  # whatever a network raises
        size = 'x'.join(map(str, data['lq'].shape))
        raise FaultsError([f'{image} ({size}) cannot be restored and measured: {sentence(error)}']) from error
    if bad := {name: value for name, value in values.items() if not _is_number(value)}:
        raise FaultsError(
            [f'val.metrics.{name} is {value} on {image}. Correct it or take it out.' for name, value in bad.items()]
        )
    return image


def _is_number(value: Any) -> bool:
    try:
        return not math.isnan(float(value))
    except (TypeError, ValueError):
        return False


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
    if 'gt' in data and data['gt'].dim() == 5:  # a whole video
        data |= {key: data[key][:, :_FRAMES] for key in ('lq', 'gt')}
    data['lq'] = data['lq'][..., :side, :side]
    if 'gt' in data:
        data['gt'] = data['gt'][..., : side * scale, : side * scale]
    return data


def _measured(model: Any, data: dict[str, Any]) -> dict[str, Any]:
    """Restore and measure as SRModel does: metrics by name."""
    from basicsr.metrics import calculate_metric
    from basicsr.utils import tensor2img

    model.__dict__.pop('gt', None)  # of the training batch
    model.feed_data(data)
    model.test()
    visuals = model.get_current_visuals()
    images = {'img': tensor2img([visuals['result']])}
    if 'gt' in visuals:
        images['img2'] = tensor2img([visuals['gt']])
    values = {}
    for name, block in metrics_of(model.opt).items():
        try:
            values[name] = calculate_metric(images, dict(block))
        except Exception as error:  # whatever a metric raises
            raise MclirError(
                f'val.metrics.{name} ({block.get("type")}) fails on {data["lq_path"][0]}, restored to '
                f'{images["img"].shape[1]}x{images["img"].shape[0]}: {sentence(error)} Correct it or take it out.'
            ) from error
    return values


def sentence(error: Exception) -> str:
    """An error as a sentence; its type says more where it is neither ours nor torch's."""
    text = ' '.join(str(error).split()).rstrip('.')
    return f'{text}.' if text and isinstance(error, (MclirError, RuntimeError)) else f'{type(error).__name__}: {text}.'
