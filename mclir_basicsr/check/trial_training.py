"""One training iteration on a batch of the run, and what it shows where it fails."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from mclir_basicsr.check.trial_validation import sentence
from mclir_basicsr.errors import MclirError

BATCH = 2  # samples; batch norm needs more than one
_OF_BASICSR = {'pixel': 'cri_pix', 'perceptual': 'cri_perceptual'}
_PATCH = 64  # side of lq of the one sample that a CPU is given first


def first_batch(model: Any) -> dict[str, Any]:
    """The first samples of the training set, as its loader puts them together.

    Args:
        model: Of the run.

    Raises:
        MclirError: They make no batch, or not one that the model trains on.
    """
    from basicsr.data import build_dataset

    block = model.opt['datasets']['train']
    data = build_dataset(block)
    try:
        count = min(BATCH, block['batch_size_per_gpu'])
        batch: dict[str, Any] = default_collate([data[i % len(data)] for i in range(count)])
    except MclirError:
        raise
    except Exception as error:  # samples of different sizes, say, and whatever a data set raises
        raise MclirError(f'datasets.train: no batch can be made of its samples: {sentence(error)}') from error
    lacking = [key for key in ('lq', 'gt') if key not in batch]
    if lacking and _takes_pairs(model):
        raise MclirError(
            f'datasets.train: {block["type"]} gives {", ".join(batch)}, but no {" and no ".join(lacking)}, which '
            f'{model.opt["model_type"]} trains on. Use a data set of pairs, such as PairedImageDataset, or the model '
            'that this data set is made for.'
        )
    return batch


def _takes_pairs(model: Any) -> bool:
    """Whether the model compares what net_g makes of lq with gt, as SRModel and HistoryModel do."""
    from basicsr.models.sr_model import SRModel

    from mclir_basicsr.models.history_model import HistoryModel
    from mclir_basicsr.options.bases import base_class

    kind = base_class(model.base_name) if isinstance(model, HistoryModel) else type(model)
    return kind.feed_data is SRModel.feed_data  # type: ignore[union-attr]


def train(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """One iteration on the batch; where there is no GPU, on a part of it, if the network takes that.

    Args:
        model: Of the run.
        batch: Of :func:`first_batch`.

    Returns:
        What the iteration was made on.

    Raises:
        MclirError: It fails; the message names network, loss or data set where that can be told.
    """
    part = _cut(model, batch)
    if part is not batch:
        with suppress(Exception):  # some networks take the whole only: of fixed size, or with batch norm
            _step(model, part)
            return part
    step(model, batch)
    return batch


def step(model: Any, batch: dict[str, Any]) -> None:
    """One iteration on a batch.

    Args:
        model: Of the run.
        batch: Of its training set.

    Raises:
        MclirError: It fails; the message names network, loss or data set where that can be told.
    """
    try:
        _step(model, batch)
    except MclirError:
        raise
    except torch.OutOfMemoryError as error:
        raise MclirError(
            f'A training step on {shapes(batch)} does not fit into the memory of the GPU: {sentence(error)} Lower '
            'gt_size or history.per_step, set train.amp, or see what else uses the GPU.'
        ) from error
    except Exception as error:  # whatever a network, a loss or a model raises
        if _takes_pairs(model):
            _network(model, batch)
        raise MclirError(
            f'A training step of {model.opt["model_type"]} on {shapes(batch)} fails'
            f'{_culprit(model) or f": {sentence(error)}"} Correct network_g, datasets.train or the losses of train.'
        ) from error


def _cut(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """A corner of the first sample where there is no GPU; else the batch itself."""
    if model.device.type == 'cuda' or not _takes_pairs(model):
        return batch
    side, scale = _PATCH, model.opt.get('scale', 1)
    lq, gt = batch['lq'][:1, ..., :side, :side], batch['gt'][:1, ..., : side * scale, : side * scale]
    return batch | {'lq': lq, 'gt': gt}


def _step(model: Any, batch: dict[str, Any]) -> None:
    """As BasicSR's loop makes it; what the network made is compared with gt, which a loss might broadcast."""
    model.feed_data(batch)
    model.update_learning_rate(1, warmup_iter=model.opt['train'].get('warmup_iter', -1))
    model.optimize_parameters(1)
    model.get_current_log()
    if _takes_pairs(model):
        _compare(model, model.output, batch)


@torch.no_grad()
def _network(model: Any, batch: dict[str, Any]) -> None:
    """Name the network where it alone fails on the batch."""
    lq = batch['lq'].to(model.device)
    try:
        output = model.get_bare_model(model.net_g)(lq)
    except Exception as error:  # whatever a network raises
        raise MclirError(
            f'network_g: {model.opt["network_g"]["type"]} cannot take {_given(model, lq)}: {sentence(error)} '
            'Correct network_g or datasets.train.'
        ) from error
    _compare(model, output, batch)


def _compare(model: Any, output: Any, batch: dict[str, Any]) -> None:
    """Make sure that the network makes an image as large as gt of lq."""
    from mclir_basicsr.models.outputs import described

    lq, gt, kind = batch['lq'], batch['gt'], model.opt['network_g']['type']
    if not isinstance(output, Tensor):
        raise MclirError(
            f'network_g: {kind} makes {described(output)} of {_given(model, lq)}, but {model.opt["model_type"]} '
            'compares one image with gt: let its forward return the restored image alone, or name it by the key '
            'output of a HistoryModel: its place in the list (-1 for the last) or its key.'
        )
    if output.shape != gt.shape:
        raise MclirError(
            f'network_g: {kind} makes {_shape(output)} of {_given(model, lq)}, but gt is {_shape(gt)}: correct its '
            'channels or upscale, or the data set (scale, color).'
        )


@torch.no_grad()
def _culprit(model: Any) -> str:
    """The loss that fails on what the network made, where it is one."""
    if not hasattr(model, 'output'):
        return ''
    losses = {f'train.{key}_opt': getattr(model, name, None) for key, name in _OF_BASICSR.items()}
    tried = [(path, loss, loss) for path, loss in losses.items() if loss is not None]
    tried += [(term.path, term.loss, term.values) for term in getattr(model, 'terms', ())]
    for path, loss, compare in tried:
        try:
            compare(model.output, model.gt)
        except Exception as error:  # whatever a loss raises
            return f' in {path}, {type(loss).__name__}: {sentence(error)}'
    return ''


def shapes(batch: dict[str, Any]) -> str:
    """The images of a batch by name, for a message."""
    images = [f'{key} {_shape(value)}' for key, value in batch.items() if key in ('lq', 'gt') and value.dim() > 3]
    return ' and '.join(images) or 'samples'


def _given(model: Any, lq: Tensor) -> str:
    color = ' (color: y)' if model.opt['datasets']['train'].get('color') == 'y' else ''
    return f'lq of datasets.train, {_shape(lq)}{color}'


def _shape(image: Tensor) -> str:
    return 'x'.join(map(str, image.shape))
