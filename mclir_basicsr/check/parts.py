"""What an option file names: losses, optimizer, network, checkpoint, metrics, device, folders."""

import inspect
import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from mclir_basicsr.check.option_file import at, numbers_in_text
from mclir_basicsr.errors import FaultsError, MclirError, UnknownNameError
from mclir_basicsr.files.paths import expand
from mclir_basicsr.files.weights import misfit, read_weights
from mclir_basicsr.inference import size_faults
from mclir_basicsr.losses.features import check_layers
from mclir_basicsr.run.resume import load_resume_state


def losses(opt: dict[str, Any]) -> list[str]:
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


def optimisation(opt: dict[str, Any]) -> list[str]:
    """Make optimizer and schedule as the model will, for a single parameter."""
    from basicsr.models.base_model import BaseModel
    from basicsr.utils.registry import MODEL_REGISTRY

    if opt['model_type'] not in MODEL_REGISTRY:  # names tells
        return []
    if any(numbers_in_text('', [opt['train'][key] for key in ('optim_g', 'scheduler')])):  # numbers tells
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


def names(opt: dict[str, Any]) -> list[str]:
    """Look up model, data sets and metrics as BasicSR will, metrics with their arguments."""
    from basicsr.utils.registry import DATASET_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

    images = {'img': None, 'img2': None}
    asked: list[tuple[str, Any, Any, Mapping[str, Any] | None]] = [
        ('model_type', MODEL_REGISTRY, opt['model_type'], None)
    ]
    for phase, block in opt['datasets'].items():
        asked.append((f'datasets.{phase}', DATASET_REGISTRY, block.get('type'), None))
    for key, block in (at(opt, 'val.metrics') or {}).items():
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


def device(opt: dict[str, Any], here: bool) -> list[str]:
    """Compare ``num_gpu`` with what torch sees, where the run will be here."""
    asked = opt['num_gpu']
    if asked != 'auto' and not (isinstance(asked, int) and asked >= 0):
        raise MclirError(f'num_gpu must be auto or a number, but it is {asked!r}.')
    if here and asked not in ('auto', 0) and not torch.cuda.is_available():
        raise MclirError(f'num_gpu is {asked}, but torch sees no GPU: set num_gpu to auto or 0.')
    return []


def network(opt: dict[str, Any]) -> list[str]:
    """Build the network, and compare its weights, sizes and scale with what the file asks of it."""
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
    check_scale(net, opt)
    return notes


def _check_sizes(net: nn.Module, opt: dict[str, Any]) -> None:
    """Compare the sides of tiles and training patches with those that the network takes."""
    sides = {'tile': at(opt, 'val.tile.size'), 'pad_multiple': at(opt, 'val.pad_multiple')}
    gt_size, scale = at(opt, 'datasets.train.gt_size'), opt.get('scale', 1)
    if isinstance(gt_size, int) and isinstance(scale, int) and scale > 0:
        sides['patch'] = gt_size // scale
    faults = size_faults(net, **{name: side for name, side in sides.items() if isinstance(side, int) and side > 0})
    if faults:
        raise FaultsError(faults)


def check_scale(net: nn.Module, opt: dict[str, Any]) -> None:
    """Compare what the network makes of a training patch with its gt, where that can be told without computing it."""
    data, scale = at(opt, 'datasets.train') or {}, opt.get('scale')
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


def state(opt: dict[str, Any]) -> list[str]:
    """Read the state of ``path.resume_state``."""
    state = opt['path'].get('resume_state')
    if state:
        load_resume_state({'auto_resume': False, 'path': {'resume_state': str(expand('path.resume_state', state))}})
    return []


def folder(experiments: Path) -> list[str]:
    """Whether the folder of the experiment can be written."""
    there = next(folder for folder in (experiments, *experiments.absolute().parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise MclirError(f'{experiments} cannot be written: {there} is no folder that you may write to.')
    return [f'Experiments go to {experiments}.']
