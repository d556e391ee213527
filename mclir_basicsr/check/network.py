"""The network of an option file with its weights and sizes, and the state to resume."""

from typing import Any

import torch
from torch import nn

from mclir_basicsr.check.option_file import at
from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.files.paths import expand
from mclir_basicsr.files.weights import EMA_FIRST, EMA_TAKEN, check_fit, entries_asked, read_weights
from mclir_basicsr.inference import size_faults
from mclir_basicsr.run.resume import is_ours, load_resume_state


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
    origin = " (spandrel's)" if type(net).__module__.startswith('spandrel.') else ''
    notes = [f'network_g: {opt["network_g"]["type"]}{origin}, {count / 1e6:.2f} M parameters.']
    path = opt['path'].get('pretrain_network_g')
    if path:
        file = expand('path.pretrain_network_g', path)
        asked = entries_asked(opt['path'] if is_ours(opt) else {'param_key_g': 'params'} | opt['path'])
        weights = read_weights(file, 'path.pretrain_network_g', asked)
        strict = opt['path'].get('strict_load_g', True)
        fault = check_fit(net, weights.state_dict, f'path.pretrain_network_g: {file}', strict=strict)
        notes.append(f'path.pretrain_network_g: {file}' + (f' fits in part: {fault}.' if fault else ' fits.'))
        if asked[0] == weights.entry == EMA_FIRST[0] and 'param_key_g' not in opt['path']:
            notes.append(f'path.param_key_g is not given: {EMA_TAKEN}')
    _check_sizes(net, opt)
    check_scale(net, opt)
    return notes


def _check_sizes(net: nn.Module, opt: dict[str, Any]) -> None:
    """Compare the sides of tiles and training patches with those that the network takes."""
    sides = {'tile': at(opt, 'val.tile.size'), 'pad_multiple': at(opt, 'val.pad_multiple')}
    faults = size_faults(net, **{name: side for name, side in sides.items() if isinstance(side, int) and side > 0})
    scale, grown = opt.get('scale', 1), at(opt, 'datasets.train.gt_sizes')
    for gt_size in dict.fromkeys(grown if isinstance(grown, list) else [at(opt, 'datasets.train.gt_size')]):
        if isinstance(gt_size, int) and isinstance(scale, int) and 0 < scale <= gt_size:
            faults += size_faults(net, patch=gt_size // scale)
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


def state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """What the state to resume says of the run that wrote it: ``iter`` and ``schedulers``; None for a new run.

    Args:
        opt: The option file, with ``auto_resume`` and the folders of the experiment in ``path`` as BasicSR's parser
            completes it.

    Raises:
        MclirError: The state is missing or damaged.
    """
    path = {key: opt['path'].get(key) for key in ('resume_state', 'training_states', 'models')}
    if path['resume_state']:
        path['resume_state'] = str(expand('path.resume_state', path['resume_state']))
    read = load_resume_state({'auto_resume': opt.get('auto_resume', False), 'path': path})
    return None if read is None else {key: read.get(key) for key in ('iter', 'schedulers')}
