"""The real thing, small: one training batch and one image of each val set through the model of the run.

What no reading of an option file tells shows here, in seconds and before anything is written: channels that do not fit,
a network with several outputs, a data set without lq, weights that are missing, a metric that fails.
"""

import time
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from mclir_basicsr.check.trial_validation import sentence, validate
from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.losses.features import imagenet_file

BATCH = 2  # batch norm needs more than one sample
_SECONDS = 60.0  # behind which no further val set is begun


def try_out(opt: Mapping[str, Any], experiment: Path, *, here: bool) -> list[str]:
    """Train one batch of at most two samples, and restore and measure one image of each val set.

    The model is that of the run, on its device. Nothing is written, but the ImageNet weights that the run needs are
    fetched. Of ``train.compile`` the compiler alone is tried; ``accumulate`` and ``history.start_iter`` are left out,
    so that the batch meets all terms. Random generators move: call it within ``untouched``.

    Args:
        opt: An option file without other faults, its data sets completed as BasicSR's parser does.
        experiment: Folder of the experiment, which need not be there.
        here: The run will be on this machine; one elsewhere may have the GPU that is missing here.

    Returns:
        A sentence that says what was tried and how long it took.

    Raises:
        MclirError: Something failed; the message says what and where to change it.
    """
    start, on_gpu = time.monotonic(), opt['num_gpu'] != 0 and torch.cuda.is_available()
    options = as_run(opt, experiment, on_gpu)
    try:
        said = _try(options, start)
    except Exception as error:
        if here or on_gpu or opt['num_gpu'] == 0 or not _asks_for_gpu(error):
            raise
        return [f'Not tried: {opt["model_type"]} needs a GPU, and torch sees none here ({error})']
    return [f'Tried on the {"GPU" if on_gpu else "CPU"}, in {time.monotonic() - start:.1f} s: {said}']


def as_run(opt: Mapping[str, Any], experiment: Path, on_gpu: bool) -> dict[str, Any]:
    """The options as BasicSR's parser completes them for one process, with small steps.

    Args:
        opt: The option file as parsed.
        experiment: Folder of the experiment, which need not be there.
        on_gpu: Whether the model goes onto a GPU.
    """
    options = deepcopy(dict(opt))
    options |= {'num_gpu': int(on_gpu), 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1}
    options['auto_resume'], options['manual_seed'] = False, opt.get('manual_seed') or 0
    options['path'] |= {folder: str(experiment / folder) for folder in ('models', 'training_states', 'visualization')}
    for key, value in options['path'].items():
        if isinstance(value, str) and 'pretrain_network' in key:
            options['path'][key] = str(Path(value).expanduser())
    if opt['model_type'] == 'HistoryModel':
        options['train'] |= {'accumulate': 1, 'compile': False}
        if options['train'].get('history'):
            options['train']['history']['start_iter'] = 0
    options['logger']['print_freq'] = 1  # what is measured for the log is tried, too
    if isinstance(options.get('val'), dict):
        options['val']['pbar'] = False
    return options


def _try(options: dict[str, Any], start: float) -> str:
    batch = _batch(options)
    model = build(options)
    _compiler(options, model.device)
    if _takes_pairs(model):
        _network(model, batch)
    step(model, batch)
    said = [f'a training batch of {_shapes(batch)}']
    faults = []
    for phase in options['datasets']:
        if phase == 'train' or not options.get('val'):
            continue
        if time.monotonic() - start > _SECONDS:
            said.append(f'not datasets.{phase}, for want of time')
            continue
        try:
            said.append(validate(model, phase))
        except FaultsError as error:
            faults += error.lines
    if faults:
        raise FaultsError(faults)
    return ', '.join(said) + '.'


def _batch(options: Mapping[str, Any]) -> Any:
    """The first samples of the training set, as its loader puts them together."""
    from basicsr.data import build_dataset

    block = options['datasets']['train']
    data = build_dataset(block)
    try:
        return default_collate([data[i % len(data)] for i in range(min(BATCH, block['batch_size_per_gpu']))])
    except MclirError:
        raise
    except Exception as error:  # samples of different sizes, say, and whatever a data set raises
        raise MclirError(f'datasets.train: no batch can be made of its samples: {sentence(error)}') from error


def build(options: dict[str, Any]) -> Any:
    """The model of the run.

    Args:
        options: As :func:`as_run` makes them.

    Raises:
        MclirError: It cannot be built; the message says why.
    """
    from basicsr.models import build_model

    try:
        return build_model(options)
    except MclirError:
        raise
    except Exception as error:  # whatever a model of the user's raises
        perceptual = options['train'].get('perceptual_opt')
        if isinstance(error, OSError) and perceptual:  # urllib's
            vgg = perceptual.get('vgg_type', 'vgg19')
            raise MclirError(
                f'train.perceptual_opt: the weights of {vgg} are not at {imagenet_file(vgg)} and could not be '
                f'downloaded ({error}). Fetch them on a machine with a network and put them there.'
            ) from error
        raise MclirError(f'model_type: {options["model_type"]} cannot be built: {sentence(error)}') from error


def _compiler(options: Mapping[str, Any], device: torch.device) -> None:
    from mclir_basicsr.models.compiler import check_compiler

    if options['model_type'] == 'HistoryModel' and options['train'].get('compile'):
        check_compiler(device)


def _takes_pairs(model: Any) -> bool:
    """Whether the model compares what net_g makes of lq with gt, as SRModel and HistoryModel do."""
    from basicsr.models.sr_model import SRModel

    from mclir_basicsr.models.history_model import HistoryModel

    return type(model).feed_data in (SRModel.feed_data, HistoryModel.feed_data)


@torch.no_grad()
def _network(model: Any, batch: Any) -> None:
    """Compare what the network makes of the batch with its gt."""
    block, kind = model.opt['datasets']['train'], model.opt['network_g']['type']
    lacking = [key for key in ('lq', 'gt') if key not in batch]
    if lacking:
        raise MclirError(
            f'datasets.train: {block["type"]} gives {", ".join(batch)}, but no {" and no ".join(lacking)}, which '
            f'{model.opt["model_type"]} trains on. Use a data set of pairs, such as PairedImageDataset, or the model '
            'that this data set is made for.'
        )
    lq, gt = batch['lq'].to(model.device), batch['gt']
    given = f'lq of datasets.train, {_shape(lq)}' + (' (color: y)' if block.get('color') == 'y' else '')
    try:
        output = model.get_bare_model(model.net_g)(lq)
    except Exception as error:  # whatever a network raises
        raise MclirError(
            f'network_g: {kind} cannot take {given}: {sentence(error)} Correct network_g or datasets.train.'
        ) from error
    if not isinstance(output, Tensor):
        what = f'{type(output).__name__} of {len(output)}' if hasattr(output, '__len__') else type(output).__name__
        raise MclirError(
            f'network_g: {kind} makes a {what} of {given}, but {model.opt["model_type"]} compares one image with gt: '
            'let its forward return the restored image alone.'
        )
    if output.shape != gt.shape:
        raise MclirError(
            f'network_g: {kind} makes {_shape(output)} of {given}, but gt is {_shape(gt)}: correct its channels or '
            'upscale, or the data set (scale, color).'
        )


def step(model: Any, batch: Any) -> None:
    """One iteration as BasicSR's loop makes it.

    Args:
        model: Of the run.
        batch: Of its training set.

    Raises:
        MclirError: It fails; the message says what and where to change it.
    """
    try:
        model.feed_data(batch)
        model.update_learning_rate(1, warmup_iter=model.opt['train'].get('warmup_iter', -1))
        model.optimize_parameters(1)
        model.get_current_log()
    except torch.OutOfMemoryError as error:
        raise MclirError(
            f'A training step on {_shapes(batch)} does not fit into the memory of the GPU: {sentence(error)} Lower '
            'gt_size or history.per_step, set train.amp, or see what else uses the GPU.'
        ) from error
    except MclirError:
        raise
    except Exception as error:  # whatever a network, a loss or a model raises
        raise MclirError(
            f'A training step of {model.opt["model_type"]} on {_shapes(batch)} fails'
            f'{_culprit(model) or f": {sentence(error)}"} Correct network_g, datasets.train or the losses of train.'
        ) from error


@torch.no_grad()
def _culprit(model: Any) -> str:
    """The loss that fails on what the network made, where it is one."""
    for key, name in (('pixel_opt', 'cri_pix'), ('perceptual_opt', 'cri_perceptual')):
        loss = getattr(model, name, None)
        if loss is None or not hasattr(model, 'output'):
            continue
        try:
            loss(model.output, model.gt)
        except Exception as error:  # whatever a loss raises
            return f' in train.{key}, {type(loss).__name__}: {sentence(error)}'
    return ''


def _asks_for_gpu(error: Exception) -> bool:
    return any(word in str(error) for word in ('CUDA', 'NVIDIA', 'cuda'))


def _shapes(batch: Any) -> str:
    """The images of a batch by name."""
    images = [f'{key} {_shape(value)}' for key, value in batch.items() if key in ('lq', 'gt') and value.dim() > 3]
    return ' and '.join(images) or 'samples'


def _shape(image: Tensor) -> str:
    return 'x'.join(map(str, image.shape))
