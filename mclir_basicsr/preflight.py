"""What can be known of an option file before training starts: every fault, in one message."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from PIL import Image, UnidentifiedImageError
from torch import nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import read_options
from mclir_basicsr.weights import misfit, read_weights

_BLOCKS = ('name', 'model_type', 'num_gpu', 'datasets', 'network_g', 'path', 'train', 'logger')
_SHOWN = 5  # faulty pairs named of each data set


def check(opt: dict[str, Any], root: Path, *, auto_resume: bool = False) -> list[str]:
    """Examine a training option file: keys, registered names, network, checkpoint, data sets, folders.

    Sizes are read from the images' headers, or from ``meta_info.txt`` of an LMDB; no image is decoded.

    Args:
        opt: The option file as parsed.
        root: Folder in which BasicSR makes ``experiments``.
        auto_resume: The run goes on from its own latest state, where it has one, and needs no other network.

    Returns:
        What was found, a sentence each.

    Raises:
        MclirError: There are faults; the message lists all of them.
    """
    opt = deepcopy(opt)
    missing = [key for key in _BLOCKS if opt.get(key) is None]
    if missing:
        raise MclirError(f'The option file cannot be used: it has no {", ".join(missing)}.')
    experiment = root / 'experiments' / opt['name']
    if auto_resume and any((experiment / 'training_states').glob('*.state')):
        opt['path'] |= {'pretrain_network_g': None, 'resume_state': None}
    faults: list[str] = []
    notes: list[str] = []
    parts: list[Callable[[], Sequence[str]]] = [
        partial(_keys, opt),
        partial(_names, opt),
        partial(_network, opt),
        partial(_folder, experiment),
        *(partial(_data_set, opt, phase) for phase in opt['datasets']),
    ]
    # BasicSR sets its logger up at the first use, and to the run's log file only then: it must not see this one.
    with mock.patch.dict('basicsr.utils.logger.initialized_logger', {'basicsr': True}):
        for part in parts:
            try:
                notes += part()
            except _Faults as error:
                faults += error.lines
            except MclirError as error:
                faults.append(str(error))
    if faults:
        raise MclirError('\n  '.join(['The option file cannot be used:', *faults]))
    return notes


class _Faults(Exception):  # noqa: N818  it carries several
    def __init__(self, lines: list[str]) -> None:
        super().__init__('\n'.join(lines))
        self.lines = lines


def _keys(opt: dict[str, Any]) -> list[str]:
    if opt['model_type'] != 'HistoryModel':
        return []
    try:
        return read_options(opt)[1]
    except MclirError as error:
        raise _Faults(str(error).split('\n  ')[1:]) from error


def _names(opt: dict[str, Any]) -> list[str]:
    """Look up every ``type`` that BasicSR will, so that all unknown ones are named at once."""
    from basicsr.utils.registry import DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

    asked = [('model_type', MODEL_REGISTRY, opt['model_type'])]
    asked += [(f'datasets.{phase}', DATASET_REGISTRY, block.get('type')) for phase, block in opt['datasets'].items()]
    for key, block in opt['train'].items():
        if key.endswith('_opt') and isinstance(block, Mapping) and 'type' in block:
            asked.append((f'train.{key}', LOSS_REGISTRY, block['type']))
    for key, block in ((opt.get('val') or {}).get('metrics') or {}).items():
        asked.append((f'val.metrics.{key}', METRIC_REGISTRY, block.get('type')))
    faults = []
    for where, registry, name in asked:
        try:
            registry.get(str(name))
        except KeyError as error:
            faults.append(f'{where}: {error}')
    if faults:
        raise _Faults(faults)
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
        file = _expand(path)
        weights = read_weights(file, 'path.pretrain_network_g', (opt['path'].get('param_key_g', 'params'), 'params'))
        fault = misfit(net, weights.state_dict)
        if fault and opt['path'].get('strict_load_g', True):
            raise MclirError(f'path.pretrain_network_g: {file} does not fit network_g: {fault}')
        notes.append(f'path.pretrain_network_g: {file}' + (f' fits in part: {fault}.' if fault else ' fits.'))
    state = opt['path'].get('resume_state')
    if state and not _expand(state).is_file():
        raise MclirError(f'path.resume_state: there is no file {state}.')
    return notes


def _expand(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111  as BasicSR does: ~x may be a name


def _folder(experiments: Path) -> list[str]:
    there = next(folder for folder in (experiments, *experiments.absolute().parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise MclirError(f'{experiments} cannot be written: {there} is no folder that you may write to.')
    return [f'Experiments go to {experiments}.']


def _data_set(opt: dict[str, Any], phase: str) -> list[str]:
    """Build the data set as BasicSR does, and compare the sizes of its pairs."""
    from basicsr.data import build_dataset

    where, block = f'datasets.{phase}', opt['datasets'][phase]
    block |= {'phase': phase.split('_')[0], 'scale': opt.get('scale', 1)}
    for key in ('dataroot_gt', 'dataroot_lq'):
        if block.get(key) is not None:
            block[key] = str(_expand(block[key]))
            if not Path(block[key]).exists():
                raise MclirError(f'{where}.{key}: there is no {block[key]}.')
    try:
        data = build_dataset(deepcopy(block))
    except KeyError as error:
        raise MclirError(f'{where}: {error} is missing or unknown.') from error
    except (AssertionError, OSError, ValueError) as error:
        raise MclirError(f'{where}: {error}') from error
    pairs = _paths(data)
    if not len(data):
        raise MclirError(f'{where}: no images in {block.get("dataroot_lq") or block.get("dataroot_gt")}.')
    faults = list(_size_faults(pairs, block)) if pairs else []
    if faults:
        more = [f'{where}: and {len(faults) - _SHOWN} more such pairs.'] if len(faults) > _SHOWN else []
        raise _Faults([f'{where}: {fault}' for fault in faults[:_SHOWN]] + more)
    return [f'{where}: {len(data)} pairs.']


def _paths(data: Any) -> list[tuple[str, str]]:
    """(lq, gt) of each pair, where the data set is one of pairs."""
    paths = getattr(data, 'paths', [])
    if all(isinstance(path, Mapping) and {'lq_path', 'gt_path'} <= path.keys() for path in paths):
        return [(path['lq_path'], path['gt_path']) for path in paths]
    return [path for path in paths if isinstance(path, tuple)]


def _size_faults(pairs: list[tuple[str, str]], block: Mapping[str, Any]) -> Iterator[str]:
    scale, patch = block['scale'], block.get('gt_size') if block['phase'] == 'train' else None
    lq_size, gt_size = (_sizes_of(block, side) for side in ('lq', 'gt'))
    border = block['type'] != 'PairedImageDataset' or block['phase'] != 'train'  # then a larger gt is cut
    for lq, gt in pairs:
        try:
            small, large = lq_size(lq), gt_size(gt)
        except (OSError, KeyError) as error:
            yield f'{lq} and {gt}: {"no image" if isinstance(error, UnidentifiedImageError) else error}'
            continue
        wanted = tuple(side * scale for side in small)
        if large != wanted and not (border and all(a >= b for a, b in zip(large, wanted, strict=True))):
            yield f'{gt} is {_text(large)}, but {lq} is {_text(small)}, so that scale {scale} needs {_text(wanted)}.'
        elif patch and min(large) < patch:
            yield f'{gt} is {_text(large)}, smaller than gt_size {patch}.'


def _text(size: tuple[int, ...]) -> str:
    return f'{size[0]}x{size[1]} (height x width)'


def _sizes_of(block: Mapping[str, Any], side: str) -> Callable[[str], tuple[int, int]]:
    """A function from a path or key to (height, width)."""
    if block['io_backend']['type'] == 'lmdb':
        lines = (Path(block[f'dataroot_{side}']) / 'meta_info.txt').read_text(encoding='utf-8')
        sizes = re.findall(r'^([^.\n]+)\S* \((\d+),(\d+)', lines, re.MULTILINE)
        return {key: (int(height), int(width)) for key, height, width in sizes}.__getitem__

    def size(path: str) -> tuple[int, int]:
        with Image.open(path) as image:
            return image.height, image.width

    return size
