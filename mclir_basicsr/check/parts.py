"""What an option file names: losses, classes, loggers, device, folders."""

import importlib
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mclir_basicsr import devices
from mclir_basicsr.check.option_file import at
from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.losses import perceptual_networks
from mclir_basicsr.losses.features import check_layers
from mclir_basicsr.options.losses import LOSS_KEYS, LossOptions
from mclir_basicsr.stand_in import stand_in


def losses(opt: dict[str, Any]) -> list[str]:
    """Make the losses of BasicSR and of ours, without the networks of perceptual ones, which may be downloads."""
    from basicsr.losses import basic_loss

    train, faults = opt['train'], []
    is_sr = opt['model_type'] in ('HistoryModel', 'SRModel', 'SwinIRModel') and not train.get('gan_opt')
    if is_sr and not (train.get('pixel_opt') or train.get('perceptual_opt')):
        faults.append('train has no reconstruction loss: give pixel_opt, perceptual_opt or both.')
    with ExitStack() as stands:
        stands.enter_context(stand_in(basic_loss, 'VGGFeatureExtractor', _vgg_without_weights))
        for network in ('lpips_network', 'dists_network'):
            stands.enter_context(stand_in(perceptual_networks, network, lambda *_: nn.Module()))
        for path, block in _loss_blocks(opt):
            try:
                if isinstance(block, Mapping) and isinstance(block.get('type'), str):
                    _make_loss(path, block)
                elif block and path in ('train.pixel_opt', 'train.perceptual_opt'):
                    faults.append(f'{path} must be a block of keys with a type, but it is {block!r}.')
            except MclirError as error:
                faults.append(str(error))
            except Exception as error:  # whatever a loss raises on its arguments
                faults.append(f'{path}: {block["type"]} cannot be used so: {error}')
    if faults:
        raise FaultsError(faults)
    return []


def _loss_blocks(opt: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The losses of a training, with their paths."""
    train = opt['train']
    own = ('spn_opt', 'contrast_opt')  # whose structs say all
    yield from ((f'train.{key}', block) for key, block in train.items() if key.endswith('_opt') and key not in own)
    if opt['model_type'] == 'HistoryModel' and isinstance(train.get('losses'), list):  # keys tells of others
        yield from ((f'train.losses.{i}', block) for i, block in enumerate(train['losses']))


def _make_loss(path: str, block: Mapping[str, Any]) -> None:
    from mclir_basicsr.models.loss_terms import check_arguments, loss_class, make_term, takes_gt

    options = LossOptions.model_validate(block)
    kind, is_term = loss_class(path, options.type), path.split('.')[1] in LOSS_KEYS
    if is_term:
        takes_gt(path, kind)
    check_arguments(path, kind, options.arguments())
    if str(kind.__module__).partition('.')[0] not in ('basicsr', 'mclir_basicsr'):  # one of the user's may need a GPU
        return
    if is_term:
        make_term(path, options.type, options)
    else:
        kind(**options.arguments())


def _vgg_without_weights(layer_name_list: Sequence[str], vgg_type: str, **_: Any) -> nn.Module:
    check_layers(vgg_type, layer_name_list)
    return nn.Module()


def names(opt: dict[str, Any]) -> list[str]:
    """Look up model, data sets and metrics as BasicSR will, metrics with their arguments."""
    from basicsr.utils.registry import DATASET_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

    images = {'img': None, 'img2': None}
    apart = {'type', 'better'} if opt['model_type'] == 'HistoryModel' else {'type'}  # which the metric is not given
    asked: list[tuple[str, Any, Any, Mapping[str, Any] | None]] = [
        ('model_type', MODEL_REGISTRY, opt['model_type'], None)
    ]
    if opt.get('base_model') is not None:
        asked.append(('base_model', MODEL_REGISTRY, opt['base_model'], None))
    for phase, block in opt['datasets'].items():
        asked.append((f'datasets.{phase}', DATASET_REGISTRY, block.get('type'), None))
    for key, block in (at(opt, 'val.metrics') or {}).items():
        asked.append((f'val.metrics.{key}', METRIC_REGISTRY, block.get('type'), images | block))
    faults = []
    for where, registry, name, arguments in asked:
        try:
            kind = registry.get(str(name))
            if arguments is not None:
                inspect.signature(kind).bind(**{key: value for key, value in arguments.items() if key not in apart})
        except KeyError as error:
            faults.append(f'{where}: {error}')
        except TypeError as error:
            faults.append(f'{where}: {name} does not take these arguments: {error}.')
    if faults:
        raise FaultsError(faults)
    return []


def loggers(opt: Mapping[str, Any]) -> list[str]:
    """Import what TensorBoard and Weights & Biases need, where the file asks for them, as BasicSR will.

    BasicSR does so only after it has put a former experiment of the same name aside.

    Args:
        opt: The option file, or the options of a run; nothing is written to it.

    Returns:
        Nothing to say.

    Raises:
        FaultsError: One of them is asked for and cannot be had.
    """
    faults: list[str] = []
    block = opt.get('logger') or {}
    wandb = block.get('wandb')
    if not isinstance(wandb, Mapping | None):
        raise FaultsError([f'logger.wandb must be a block with the key project, but it is {wandb!r}.'])
    if 'debug' in opt['name']:  # BasicSR logs to neither then
        return []
    with_wandb = wandb is not None and wandb.get('project') is not None
    if block.get('use_tb_logger') or with_wandb:  # wandb is given what TensorBoard writes
        faults += _missing('logger.use_tb_logger', 'torch.utils.tensorboard', 'tensorboard')
    if with_wandb:
        faults += _missing('logger.wandb', 'wandb.util', 'wandb')
        if block.get('use_tb_logger') is not True:
            faults.append(
                'logger.wandb needs logger.use_tb_logger: true beside it (BasicSR sends what TensorBoard writes), but '
                f'that is {block.get("use_tb_logger")!r}. Set it to true, or logger.wandb.project to ~.'
            )
    if faults:
        raise FaultsError(faults)
    return []


def _missing(key: str, module: str, package: str) -> Iterator[str]:
    try:
        importlib.import_module(module)  # found is not enough: a folder named wandb is a package to Python
    except Exception as error:  # whatever a package raises that does not fit the others
        yield (
            f'{key} needs {package}, which cannot be imported ({error}): pip install {package}, or set {key} to '
            f'{"false" if key.endswith("use_tb_logger") else "~"}.'
        )


def device(opt: dict[str, Any], here: bool) -> list[str]:
    """Compare ``num_gpu`` with what torch sees, where the run will be here."""
    asked = opt['num_gpu']
    if asked != 'auto' and not (isinstance(asked, int) and asked >= 0):
        raise MclirError(f'num_gpu must be auto or a number, but it is {asked!r}.')
    if here and asked != 'auto':
        devices.of_run(opt)
    return []


def loading(opt: dict[str, Any], here: bool) -> list[str]:
    """Compare how the data are loaded with what PyTorch and, where the run will be here, this machine can do."""
    faults: list[str] = []
    notes: list[str] = []
    for phase, block in opt['datasets'].items():
        where, is_train = f'datasets.{phase}', phase == 'train'
        if block.get('persistent_workers') and not (is_train and block.get('num_worker_per_gpu')):
            how = 'set num_worker_per_gpu above 0, or take it out' if is_train else 'validation has none: take it out'
            faults.append(f'{where}.persistent_workers: there are no workers to persist; {how}.')
        if is_train and block.get('prefetch_mode') == 'cuda' and not torch.cuda.is_available():
            fault = f'{where}.prefetch_mode: cuda copies to a GPU, but torch sees none: set prefetch_mode to ~ or cpu.'
            (faults if here or opt['num_gpu'] == 0 else notes).append(fault)
    if faults:
        raise FaultsError(faults)
    return notes


def places(path: Mapping[str, Any], name: str) -> list[str]:
    """Whether ``path`` names a folder for experiments or results, which cannot act."""
    if elsewhere := {'experiments_root', 'results_root'} & path.keys():
        raise MclirError(
            f'path.{min(elsewhere)} cannot act: basicsr 1.4.2 replaces it, and later ones look for the states of '
            f'experiments/{name} all the same. Leave it out; with --root DIR all goes to DIR.'
        )
    return []


def folder(experiments: Path) -> list[str]:
    """Whether the folder of the experiment can be written."""
    there = next(folder for folder in (experiments, *experiments.absolute().parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise MclirError(f'{experiments} cannot be written: {there} is no folder that you may write to.')
    return [f'Experiments go to {experiments}.']
