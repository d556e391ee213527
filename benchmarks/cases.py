"""Networks, settings and one batch for the benchmarks: BasicSR models built from options, as training builds them."""

import importlib.util
import logging
import sys
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.models import build_model
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import mclir_basicsr

mclir_basicsr.register()
logging.getLogger('basicsr').setLevel(logging.ERROR)

NEGATIVES = 4
CCR_NEGATIVES = 6


@dataclass(frozen=True)
class Case:
    """A network with the batch that it is trained on."""

    network: dict[str, Any]
    scale: int
    batch: int
    side: int  # of lq


def _edsr(blocks: int) -> dict[str, Any]:
    return {'type': 'EDSR', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 64, 'num_block': blocks, 'upscale': 2}


def _swinir(depths: list[int], width: int, upsampler: str) -> dict[str, Any]:
    return {
        'type': 'SwinIR', 'upscale': 4, 'in_chans': 3, 'img_size': 64, 'window_size': 8, 'img_range': 1.0,
        'depths': depths, 'embed_dim': width, 'num_heads': [6] * len(depths), 'mlp_ratio': 2, 'upsampler': upsampler,
        'resi_connection': '1conv',
    }  # fmt: skip


NAFNET = {'type': 'NAFNet', 'width': 32, 'enc_blk_nums': [1, 1, 1, 28], 'middle_blk_num': 1, 'dec_blk_nums': [1] * 4}
CASES = {
    'edsr_tiny': Case(_edsr(2), 2, 1, 24),  # seconds, to try things out
    'edsr_small': Case(_edsr(8), 2, 4, 48),
    'swinir_small': Case(_swinir([6, 6], 60, 'pixelshuffledirect') | {'img_size': 32, 'upscale': 2}, 2, 2, 32),
    # As their authors train them; batches as in our option files.
    'edsr': Case(_edsr(16), 2, 16, 48),
    'swinir_light': Case(_swinir([6] * 4, 60, 'pixelshuffledirect'), 4, 8, 64),
    'swinir': Case(_swinir([6] * 6, 180, 'pixelshuffle'), 4, 4, 64),
    'nafnet': Case(NAFNET, 1, 4, 256),
    'ffanet': Case({'type': 'FFANet'}, 1, 2, 240),
    'dehazeformer': Case({'type': 'DehazeFormer', 'variant': 'b'}, 1, 16, 256),
    'idt': Case({'type': 'IDT'}, 1, 4, 128),
}
SETS = {
    'cpu': ['edsr_small', 'swinir_small'],
    'gpu': ['edsr', 'swinir_light', 'swinir', 'nafnet', 'ffanet', 'dehazeformer', 'idt'],
}

SPN = {'spn_opt': {'weights': 'random'}, 'history': {'interval': [100, 200, 500, 1000]}}
PLAIN = 'SRModel'


def _spn(history: dict[str, Any] | None = None, every: int = 1, **train: Any) -> dict[str, Any]:
    blocks = {'spn_opt': SPN['spn_opt'] | {'every': every}, 'history': SPN['history'] | (history or {})}
    return blocks | train


def _contrast(**keys: Any) -> dict[str, Any]:
    return {'contrast_opt': {'weights': 'random'} | keys}


# What each setting adds to the train block; None is BasicSR's own model.
SETTINGS: dict[str, dict[str, Any] | None] = {
    PLAIN: None,
    'K=4': _spn(),
    'K=4 per_step 1': _spn({'per_step': 1}),
    'K=4 every 4': _spn(every=4),
    'K=4 every 4 per_step 1': _spn({'per_step': 1}, every=4),
    'K=4 every 16': _spn(every=16),
    'CR': _contrast(type='CRLoss'),
    'CCR': _contrast(type='CCRLoss', negatives=CCR_NEGATIVES),  # as many files are written for it
    'K=4 precision bf16': _spn({'precision': 'bf16'}),
    'K=4 precision fp16': _spn({'precision': 'fp16'}),
    'K=4 amp bf16': _spn(amp='bf16'),
    'K=4 amp + precision bf16': _spn({'precision': 'bf16'}, amp='bf16'),
    'K=4 compile': _spn(compile=True),
    'K=4 amp + precision bf16 + compile': _spn({'precision': 'bf16'}, amp='bf16', compile=True),
    'K=4 amp bf16 + precision fp16 + compile': _spn({'precision': 'fp16'}, amp='bf16', compile=True),
}
# Without a use on a CPU.
GPU_SETTINGS = {name for name in SETTINGS if 'fp16' in name}


def options(case: Case, train: dict[str, Any] | None, model_type: str = 'HistoryModel') -> dict[str, Any]:
    """Options as BasicSR's parser hands them to a model."""
    return {
        'name': 'benchmark', 'model_type': model_type, 'scale': case.scale, 'manual_seed': 0,
        'num_gpu': int(torch.cuda.is_available()), 'is_train': True, 'dist': False, 'rank': 0, 'world_size': 1,
        'network_g': dict(case.network), 'path': {}, 'val': {}, 'logger': {'print_freq': 10**9},
        'train': {
            'ema_decay': 0.999, 'optim_g': {'type': 'Adam', 'lr': 1e-4, 'betas': [0.9, 0.99]}, 'total_iter': 10**6,
            'scheduler': {'type': 'MultiStepLR', 'milestones': [10**6]}, 'pixel_opt': {'type': 'L1Loss'},
        } | deepcopy(train or {}),
    }  # fmt: skip


def make(case: Case, setting: str) -> Any:
    """A model of one of SETTINGS, ready for ``optimize_parameters``."""
    train = SETTINGS[setting]
    with TemporaryDirectory() as folder:
        if setting == 'CCR':
            train = _contrast(type='CCRLoss', negatives=_checkpoints(case, Path(folder)))
        return _fed(build_model(options(case, train, PLAIN if train is None else 'HistoryModel')), case)


def _checkpoints(case: Case, folder: Path) -> list[str]:
    """Networks like the one of the case, with weights of their own."""
    files = [folder / f'{k}.pth' for k in range(CCR_NEGATIVES)]
    for file in files:
        torch.save({'params': build_network(case.network).state_dict()}, file)
    return [str(file) for file in files]


def make_other(case: Case, place: str, train: dict[str, Any]) -> Any:
    """A model of :func:`other_class`, with these keys added to its train block."""
    kind = other_class(place)
    return _fed(kind(options(case, train, kind.__name__)), case)


def other_class(place: str) -> Any:
    """Any BasicSR-style model class, ``file.py:ClassName``.

    Raises:
        SystemExit: There is none; one line says why.
    """
    file, _, name = place.rpartition(':')
    if not Path(file).is_file():
        sys.exit(f'{place}: there is no file {file or place!r}. Give FILE.py:CLASS.')
    kind = getattr(_module(file), name, None)
    if not isinstance(kind, type):
        sys.exit(f'{place}: {file} has no class {name!r}.')
    return kind


@cache  # a file runs once: BasicSR's registries refuse to take a class again
def _module(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f'benchmarked_{Path(file).stem}', file)
    if spec is None or spec.loader is None:
        sys.exit(f'{file} is no Python file.')
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.exit(f'{file} cannot be imported: {first_line(error)}')
    return module


def first_line(error: BaseException) -> str:
    """Kind and first line of an error."""
    return f'{type(error).__name__}: {error}'.splitlines()[0]


def _fed(model: Any, case: Case) -> Any:
    model.feed_data(batch(case))
    return model


def batch(case: Case) -> dict[str, Tensor]:
    """Random lq and gt of the case."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(case.batch, 3, side, side, generator=generator)
        for name, side in (('lq', case.side), ('gt', case.side * case.scale))
    }


def forward_flops(model: Any) -> tuple[int, int]:
    """What one forward pass of the network and of the features of a HistoryModel's term cost on the fed batch."""
    with torch.no_grad(), FlopCounterMode(display=False) as network:
        output = model.net_g(model.lq)
    loss = model.contrast.loss if model.contrast is not None else model.cri_spn
    with torch.no_grad(), FlopCounterMode(display=False) as features:
        loss.features(output)
    return network.get_total_flops(), features.get_total_flops()
