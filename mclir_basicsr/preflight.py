"""What can be known of an option file before training starts: every fault, in one message."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from mclir_basicsr.data.preflight import check_data_set, expand
from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.options import read_options
from mclir_basicsr.weights import misfit, read_weights

# What BasicSR takes for granted in the blocks that are there.
_ALWAYS = {
    '': ('name', 'model_type', 'num_gpu', 'datasets', 'network_g', 'path'),
    'datasets': (),
    'network_g': ('type',),
    'path': (),
    'val.metrics': (),
}
_FOR_TRAINING = {
    '': (*_ALWAYS[''], 'train', 'logger'),
    'datasets': ('train',),
    'datasets.train': ('batch_size_per_gpu', 'num_worker_per_gpu'),
    'train': ('total_iter', 'optim_g', 'scheduler'),
    'train.optim_g': ('type', 'lr'),
    'train.scheduler': ('type',),
    'logger': ('print_freq', 'save_checkpoint_freq'),
    'val': ('val_freq', 'save_img'),
}
_FOR_TESTING = {'': (*_ALWAYS[''], 'val'), 'val': ('save_img',)}
_LEAST = {
    'train.total_iter': 1,
    'logger.print_freq': 1,
    'logger.save_checkpoint_freq': 1,
    'val.val_freq': 1,
    'datasets.train.batch_size_per_gpu': 1,
    'datasets.train.num_worker_per_gpu': 0,
}


def check(opt: dict[str, Any], root: Path, *, auto_resume: bool = False, here: bool = False) -> list[str]:
    """Examine a training option file: keys, registered names, network, checkpoint, data sets, folders.

    Sizes are read from the images' headers, or from ``meta_info.txt`` of an LMDB; of each data set one pair is decoded.

    Args:
        opt: The option file as parsed.
        root: Folder in which BasicSR makes ``experiments``.
        auto_resume: The run goes on from its own latest state, where it has one, and needs no other network.
        here: The run will be on this machine, whose GPUs count.

    Returns:
        What was found, a sentence each.

    Raises:
        MclirError: There are faults; the message lists all of them.
    """
    opt = deepcopy(opt)
    _require(opt, _ALWAYS | _FOR_TRAINING)
    experiment = root / 'experiments' / opt['name']
    if auto_resume and any((experiment / 'training_states').glob('*.state')):
        opt['path'] |= {'pretrain_network_g': None, 'resume_state': None}
    checks = [partial(_keys, opt), partial(_numbers, opt), partial(_optimisation, opt)]
    return _examine(opt, experiment, checks, here=here)


def check_test(opt: dict[str, Any], root: Path) -> list[str]:
    """:func:`check` for ``mclir test``, on this machine.

    Args:
        opt: The option file as parsed.
        root: Folder in which BasicSR makes ``results``.

    Returns:
        What was found, a sentence each.

    Raises:
        MclirError: There are faults; the message lists all of them.
    """
    opt = deepcopy(opt)
    _require(opt, _ALWAYS | _FOR_TESTING)
    return _examine(opt, root / 'results' / opt['name'], [], here=True)


def _require(opt: dict[str, Any], required: Mapping[str, Sequence[str]]) -> None:
    """Make sure of the blocks and keys that all else goes by."""
    missing, faults = [], []
    blocks = {path: block for path in required if (block := _at(opt, path)) is not None}
    for path in ('datasets', 'val.metrics'):
        if isinstance(blocks.get(path), Mapping):
            blocks |= {f'{path}.{key}': block for key, block in blocks[path].items()}
    for path, block in blocks.items():
        if isinstance(block, Mapping):
            missing += [f'{path}.{key}'.lstrip('.') for key in required.get(path, ()) if block.get(key) is None]
        else:
            faults.append(f'{path} must be a block of keys, but it is {block!r}.')
    if missing:
        faults.insert(0, f'it has no {", ".join(missing)}.')
    elif not isinstance(opt['name'], str):
        faults.append(f"name must be text: write '{opt['name']}' in quotes.")
    if faults:
        raise MclirError('The option file cannot be used: ' + '\n  '.join(faults))


def _at(opt: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in filter(None, path.split('.')):
        opt = opt.get(key) if isinstance(opt, Mapping) else None
    return opt


def _examine(opt: dict[str, Any], folder: Path, checks: Sequence[Callable[[], Sequence[str]]], here: bool) -> list[str]:
    faults: list[str] = []
    notes: list[str] = []
    parts: list[Callable[[], Sequence[str]]] = [
        *checks,
        partial(_names, opt),
        partial(_device, opt, here),
        partial(_network, opt),
        partial(_folder, folder),
        *(partial(check_data_set, opt, phase) for phase in opt['datasets']),
    ]
    # BasicSR sets its logger up at the first use, and to the run's log file only then: it must not see this one.
    with mock.patch.dict('basicsr.utils.logger.initialized_logger', {'basicsr': True}):
        for part in parts:
            try:
                notes += part()
            except FaultsError as error:
                faults += error.lines
            except MclirError as error:
                faults.append(str(error))
    if faults:
        raise MclirError('\n  '.join(['The option file cannot be used:', *faults]))
    return notes


def _keys(opt: dict[str, Any]) -> list[str]:
    if opt['model_type'] != 'HistoryModel':
        return []
    try:
        return read_options(opt)[1]
    except MclirError as error:
        raise FaultsError(str(error).split('\n  ')[1:]) from error


def _numbers(opt: dict[str, Any]) -> list[str]:
    """Numbers and names on which BasicSR's loop would fail late, or without a message."""
    faults = []
    for path, least in _LEAST.items():
        value = _at(opt, path)
        if value is not None and not (isinstance(value, (int, float)) and value >= least):
            faults.append(f'{path} must be a number, at least {least}, but it is {value!r}.')
    for phase in opt['datasets']:
        if phase != 'train' and phase.split('_')[0] != 'val':
            faults.append(f'datasets.{phase}: a training has the data sets train, and val or val_1, val_2, ...')
    data = opt['datasets']['train']
    mode = data.get('prefetch_mode')
    if mode not in (None, 'cpu', 'cuda'):
        faults.append(f'datasets.train.prefetch_mode must be ~, cpu or cuda, but it is {mode!r}.')
    if mode == 'cuda' and data.get('pin_memory') is not True:
        faults.append('datasets.train.prefetch_mode: cuda needs pin_memory: true beside it.')
    losses = opt['train'].get('pixel_opt') or opt['train'].get('perceptual_opt')
    if opt['model_type'] in ('HistoryModel', 'SRModel', 'SwinIRModel') and not losses:
        faults.append('train has no reconstruction loss: give pixel_opt, perceptual_opt or both.')
    if faults:
        raise FaultsError(faults)
    return []


def _optimisation(opt: dict[str, Any]) -> list[str]:
    """Make optimizer and schedule as the model will, for a single parameter."""
    from basicsr.models.base_model import BaseModel
    from basicsr.utils.registry import MODEL_REGISTRY

    if opt['model_type'] not in MODEL_REGISTRY:  # _names tells
        return []
    model = object.__new__(MODEL_REGISTRY.get(opt['model_type']))
    train = deepcopy(opt['train'])
    BaseModel.__init__(model, {'num_gpu': 0, 'is_train': True, 'train': train})
    for key, kind, make in (
        ('optim_g', train['optim_g'].pop('type'), lambda kind: _add_optimizer(model, kind, train['optim_g'])),
        ('scheduler', train['scheduler']['type'], lambda kind: model.setup_schedulers()),
    ):
        try:
            make(kind)
        except MclirError:
            raise
        except (AssertionError, NotImplementedError, TypeError, ValueError) as error:
            raise MclirError(f'train.{key}: {kind} cannot be used so: {error}') from error
    return []


def _add_optimizer(model: Any, kind: str, arguments: Mapping[str, Any]) -> None:
    model.optimizers.append(model.get_optimizer(kind, [nn.Parameter(torch.zeros(()))], **arguments))


def _names(opt: dict[str, Any]) -> list[str]:
    """Look up every ``type`` that BasicSR will, so that all unknown ones are named at once, with their arguments."""
    from basicsr.utils.registry import DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

    images = {'img': None, 'img2': None}
    asked: list[tuple[str, Any, Any, Mapping[str, Any] | None]] = [
        ('model_type', MODEL_REGISTRY, opt['model_type'], None)
    ]
    for phase, block in opt['datasets'].items():
        asked.append((f'datasets.{phase}', DATASET_REGISTRY, block.get('type'), None))
    for key, block in (opt.get('train') or {}).items():
        if key.endswith('_opt') and isinstance(block, Mapping) and 'type' in block:
            asked.append((f'train.{key}', LOSS_REGISTRY, block['type'], None if key == 'spn_opt' else block))
    for key, block in (_at(opt, 'val.metrics') or {}).items():
        asked.append((f'val.metrics.{key}', METRIC_REGISTRY, block.get('type'), images | block))
    faults = []
    for where, registry, name, arguments in asked:
        try:
            kind = registry.get(str(name))
            if arguments is not None:
                inspect.signature(kind).bind(**{key: value for key, value in arguments.items() if key != 'type'})
        except KeyError as error:
            faults.append(f'{where}: {error}')
        except TypeError as error:
            faults.append(f'{where}: {name} does not take these arguments: {error}.')
    if faults:
        raise FaultsError(faults)
    return []


def _device(opt: dict[str, Any], here: bool) -> list[str]:
    asked = opt['num_gpu']
    if asked != 'auto' and not (isinstance(asked, int) and asked >= 0):
        raise MclirError(f'num_gpu must be auto or a number, but it is {asked!r}.')
    if here and asked not in ('auto', 0) and not torch.cuda.is_available():
        raise MclirError(f'num_gpu is {asked}, but torch sees no GPU: set num_gpu to auto or 0.')
    return []


def _network(opt: dict[str, Any]) -> list[str]:
    from basicsr.archs import build_network

    try:
        net: nn.Module = build_network(opt['network_g'])
    except KeyError as error:
        raise MclirError(f'network_g: {error}') from error
    except (TypeError, ValueError, AssertionError) as error:
        raise MclirError(f'network_g: {opt["network_g"].get("type")} cannot be built: {error}') from error
    count = sum(p.numel() for p in net.parameters())
    notes = [f'network_g: {opt["network_g"]["type"]}, {count / 1e6:.2f} M parameters.']
    path = opt['path'].get('pretrain_network_g')
    if path:
        file = expand('path.pretrain_network_g', path)
        weights = read_weights(file, 'path.pretrain_network_g', (opt['path'].get('param_key_g', 'params'), 'params'))
        fault = misfit(net, weights.state_dict)
        if fault and opt['path'].get('strict_load_g', True):
            raise MclirError(f'path.pretrain_network_g: {file} does not fit network_g: {fault}')
        notes.append(f'path.pretrain_network_g: {file}' + (f' fits in part: {fault}.' if fault else ' fits.'))
    state = opt['path'].get('resume_state')
    if state and not expand('path.resume_state', state).is_file():
        raise MclirError(f'path.resume_state: there is no file {state}.')
    return notes


def _folder(experiments: Path) -> list[str]:
    there = next(folder for folder in (experiments, *experiments.absolute().parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise MclirError(f'{experiments} cannot be written: {there} is no folder that you may write to.')
    return [f'Experiments go to {experiments}.']
