"""What can be known of an option file before training starts: every fault, in one message."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import nn

from mclir_basicsr.compat import UnknownNameError, load_resume_state
from mclir_basicsr.data.preflight import check_data_set, expand
from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.inference import size_faults
from mclir_basicsr.losses.features import VGGFeatures, check_layers
from mclir_basicsr.options import TrainOptions, is_number_in_text, read_options, shown
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
    'logger': ('print_freq', 'save_checkpoint_freq', 'use_tb_logger'),
    'val': ('val_freq', 'save_img'),
}
_FOR_TESTING = {'': (*_ALWAYS[''], 'val'), 'val': ('save_img',)}
Check = Callable[[], Sequence[str]]

_TEXT = ('name', 'model_type', 'network_g.type')
_Number, _Whole = Annotated[float, Field(strict=True)], Annotated[int, Field(strict=True)]  # no text, no truth values
_NUMBERS: dict[str, Any] = {
    'scale': Annotated[_Whole, Field(ge=1)],
    'manual_seed': Annotated[_Whole, Field(ge=0, lt=2**31)],  # NumPy takes 2**32, and each rank adds its number
    'train.total_iter': Annotated[_Number, Field(ge=1)],
    'train.warmup_iter': _Number,
    'train.ema_decay': Annotated[_Number, Field(ge=0, le=1)],
    'logger.print_freq': Annotated[_Number, Field(ge=1)],
    'logger.save_checkpoint_freq': Annotated[_Number, Field(ge=1)],
    'val.val_freq': Annotated[_Number, Field(ge=1)],
    'datasets.train.gt_size': Annotated[_Whole, Field(ge=1)],
    'datasets.train.batch_size_per_gpu': Annotated[_Whole, Field(ge=1)],
    'datasets.train.num_worker_per_gpu': Annotated[_Whole, Field(ge=0)],
    'datasets.train.dataset_enlarge_ratio': Annotated[_Number, Field(gt=0)],
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
    checks = {
        'train and val': partial(_keys, opt),
        'numbers': partial(_numbers, opt),
        'train': partial(_optimisation, opt),
        'losses': partial(_losses, opt),
    }
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
    return _examine(opt, root / 'results' / opt['name'], {}, here=True)


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
            faults += [
                f'{path or "the file"} has the key {key!r}, which is no text.' for key in block if not _is_text(key)
            ]
        else:
            faults.append(f'{path} must be a block of keys, but it is {block!r}.')
    for path in _TEXT:
        value = _at(opt, path)
        if not (value is None or _is_text(value)):
            faults.append(f"{path} must be text, but it is {value!r}: write '{value}' in quotes if you mean that.")
    if missing:
        faults.insert(0, f'it has no {", ".join(missing)}.')
    elif _is_text(opt['name']) and (Path(opt['name']).name != opt['name'] or opt['name'] in ('', '..')):
        faults.append(f'name must be the name of a folder in experiments, but it is {opt["name"]!r}.')
    if faults:
        raise MclirError('The option file cannot be used: ' + '\n  '.join(faults))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _at(opt: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in filter(None, path.split('.')):
        opt = opt.get(key) if isinstance(opt, Mapping) else None
    return opt


def _examine(opt: dict[str, Any], folder: Path, checks: Mapping[str, Check], *, here: bool) -> list[str]:
    faults: list[str] = []
    notes: list[str] = []
    parts: dict[str, Check] = {
        **checks,
        'names': partial(_names, opt),
        'num_gpu': partial(_device, opt, here),
        'network_g': partial(_network, opt),
        'path.resume_state': partial(_state, opt),
        'experiments': partial(_folder, folder),
        **{f'datasets.{phase}': partial(check_data_set, opt, phase) for phase in opt['datasets']},
    }
    # BasicSR sets its logger up at the first use, and to the run's log file only then: it must not see this one.
    with mock.patch.dict('basicsr.utils.logger.initialized_logger', {'basicsr': True}):
        for name, part in parts.items():
            try:
                notes += part()
            except FaultsError as error:
                faults += error.lines
            except MclirError as error:
                faults.append(str(error))
            except Exception as error:  # whatever BasicSR or a class of the user's raises on what it is given
                faults.append(f'{name} cannot be used: {type(error).__name__}: {error}')
    if faults:
        raise MclirError('\n  '.join(['The option file cannot be used:', *faults]))
    return notes


def _keys(opt: dict[str, Any]) -> list[str]:
    """Our own keys, and the VGG of the SPN term where a file holds it."""
    if opt['model_type'] != 'HistoryModel':
        return []
    try:
        own, warnings = read_options(opt)
    except MclirError as error:
        raise FaultsError(str(error).split('\n  ')[1:]) from error
    spn = own.train.spn_opt
    if spn is not None and spn.weights not in ('imagenet', 'random'):
        VGGFeatures(spn.layer_weights, spn.vgg_type, weights=spn.weights)
    return warnings


def _numbers(opt: dict[str, Any]) -> list[str]:
    """Numbers and names on which BasicSR's loop would fail late, or without a message."""
    faults = []
    for path, kind in _NUMBERS.items():
        value = _at(opt, path)
        try:
            TypeAdapter(kind | None).validate_python(value)
        except ValidationError as error:
            faults.append(f'{path}: {error.errors()[0]["msg"]}, but it is {shown(value)}.')
    train = {key: value for key, value in opt['train'].items() if key not in TrainOptions.model_fields}
    texts = {path: value for path, value in _numbers_in_text('train', train) if path not in _NUMBERS}
    faults += [f'{path} must be a number, but it is {shown(value)}.' for path, value in texts.items()]
    for phase in opt['datasets']:
        if phase != 'train' and phase.split('_')[0] != 'val':
            faults.append(f'datasets.{phase}: a training has the data sets train, and val or val_1, val_2, ...')
    data = opt['datasets']['train']
    mode = data.get('prefetch_mode')
    if mode not in (None, 'cpu', 'cuda'):
        faults.append(f'datasets.train.prefetch_mode must be ~, cpu or cuda, but it is {mode!r}.')
    if mode == 'cuda' and data.get('pin_memory') is not True:
        faults.append('datasets.train.prefetch_mode: cuda needs pin_memory: true beside it.')
    if faults:
        raise FaultsError(faults)
    return []


def _numbers_in_text(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Path and value of each number in a block that YAML read as text: BasicSR would fail on it late, if at all."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers_in_text(f'{path}.{key}', inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _numbers_in_text(f'{path}.{i}', inner)
    elif is_number_in_text(value):
        yield path, value


def _losses(opt: dict[str, Any]) -> list[str]:
    """Make the losses of BasicSR and of ours, without the VGG of a perceptual loss, which may be a download."""
    train, faults = opt['train'], []
    is_sr = opt['model_type'] in ('HistoryModel', 'SRModel', 'SwinIRModel')
    if is_sr and not (train.get('pixel_opt') or train.get('perceptual_opt')):
        faults.append('train has no reconstruction loss: give pixel_opt, perceptual_opt or both.')
    with mock.patch('basicsr.losses.basic_loss.VGGFeatureExtractor', _vgg_without_weights):
        for key, block in train.items():
            if key.endswith('_opt') and key != 'spn_opt':
                try:
                    if isinstance(block, Mapping) and 'type' in block:
                        _make_loss(**block)
                    elif block and key in ('pixel_opt', 'perceptual_opt'):
                        faults.append(f'train.{key} must be a block of keys with a type, but it is {block!r}.')
                except UnknownNameError as error:
                    faults.append(f'train.{key}: {error}')
                except Exception as error:  # whatever a loss raises on its arguments
                    faults.append(f'train.{key}: {block["type"]} cannot be used so: {error}')
    if faults:
        raise FaultsError(faults)
    return []


def _make_loss(type: Any, **arguments: Any) -> None:  # noqa: A002  the key of the option file
    from basicsr.utils.registry import LOSS_REGISTRY

    kind = LOSS_REGISTRY.get(str(type))
    inspect.signature(kind).bind(**arguments)
    if kind.__module__.partition('.')[0] in ('basicsr', 'mclir_basicsr'):  # one of the user's may need a GPU
        kind(**arguments)


def _vgg_without_weights(layer_name_list: Sequence[str], vgg_type: str, **_: Any) -> nn.Module:
    check_layers(vgg_type, layer_name_list)
    return nn.Module()


def _optimisation(opt: dict[str, Any]) -> list[str]:
    """Make optimizer and schedule as the model will, for a single parameter."""
    from basicsr.models.base_model import BaseModel
    from basicsr.utils.registry import MODEL_REGISTRY

    if opt['model_type'] not in MODEL_REGISTRY:  # _names tells
        return []
    if any(_numbers_in_text('', [opt['train'][key] for key in ('optim_g', 'scheduler')])):  # _numbers tells
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
    """Look up model, data sets and metrics as BasicSR will, metrics with their arguments."""
    from basicsr.utils.registry import DATASET_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

    images = {'img': None, 'img2': None}
    asked: list[tuple[str, Any, Any, Mapping[str, Any] | None]] = [
        ('model_type', MODEL_REGISTRY, opt['model_type'], None)
    ]
    for phase, block in opt['datasets'].items():
        asked.append((f'datasets.{phase}', DATASET_REGISTRY, block.get('type'), None))
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
    except Exception as error:  # whatever a network raises on its arguments
        raise MclirError(f'network_g: {opt["network_g"]["type"]} cannot be built: {error}') from error
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
    _check_sizes(net, opt)
    _check_scale(net, opt)
    return notes


def _check_sizes(net: nn.Module, opt: dict[str, Any]) -> None:
    """Compare the sides of tiles and training patches with those that the network takes."""
    sides = {'tile': _at(opt, 'val.tile.size'), 'pad_multiple': _at(opt, 'val.pad_multiple')}
    gt_size, scale = _at(opt, 'datasets.train.gt_size'), opt.get('scale', 1)
    if isinstance(gt_size, int) and isinstance(scale, int) and scale > 0:
        sides['patch'] = gt_size // scale
    faults = size_faults(net, **{name: side for name, side in sides.items() if isinstance(side, int) and side > 0})
    if faults:
        raise FaultsError(faults)


def _check_scale(net: nn.Module, opt: dict[str, Any]) -> None:
    """Compare what the network makes of a training patch with its gt, where that can be told without computing it."""
    data, scale = _at(opt, 'datasets.train') or {}, opt.get('scale')
    patch = data.get('gt_size')
    if not (isinstance(scale, int) and isinstance(patch, int) and 0 < scale <= patch):
        return
    side, channels = patch // scale, 1 if data.get('color') == 'y' else 3
    try:
        with torch.no_grad():
            made = net.eval().to('meta')(torch.empty(1, channels, side, side, device='meta')).shape[-1]
    except Exception:  # not every network runs on the meta device, and some take other input
        return
    if made != side * scale:
        raise MclirError(
            f'network_g makes {made}x{made} of {side}x{side}, but scale {scale} needs {side * scale}x{side * scale}: '
            'correct its upscale or scale.'
        )


def _state(opt: dict[str, Any]) -> list[str]:
    state = opt['path'].get('resume_state')
    if state:
        load_resume_state({'auto_resume': False, 'path': {'resume_state': str(expand('path.resume_state', state))}})
    return []


def _folder(experiments: Path) -> list[str]:
    there = next(folder for folder in (experiments, *experiments.absolute().parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise MclirError(f'{experiments} cannot be written: {there} is no folder that you may write to.')
    return [f'Experiments go to {experiments}.']
