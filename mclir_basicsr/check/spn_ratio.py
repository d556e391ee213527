"""The ``spn_ratio`` with which a retraining would begin, measured before it is started."""

import math
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from mclir_basicsr import devices
from mclir_basicsr.check import trial
from mclir_basicsr.check.trial_training import BATCH, train
from mclir_basicsr.check.trial_validation import sentence
from mclir_basicsr.check.untouched import untouched
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.paths import expand
from mclir_basicsr.losses.spn_weight import PUBLISHED_WEIGHT
from mclir_basicsr.stand_in import stand_in

_BATCHES = 8  # whose mean counts
_SECONDS = 8.0  # behind which no further batch is begun


def ratio_per_weight(opt: Mapping[str, Any]) -> float:
    """The ``spn_ratio`` that λ = 1 would give at the start: of real batches, by the model of the run, on its device.

    It is the geometric mean over batches from all of the training set, on a CPU cut to what takes seconds. Nothing
    moves, neither the network nor random generators, and nothing is written.

    Args:
        opt: Option file of a HistoryModel with ``spn_opt`` and ``history``, as parsed; its relative paths are seen from
            the current folder.

    Raises:
        MclirError: The model, its data or a step of it fails, or the ratio tells nothing.
    """
    import basicsr.utils.logger
    from basicsr.utils import set_random_seed

    on_gpu = opt.get('num_gpu') != 0 and torch.cuda.is_available()
    with untouched(on_gpu), stand_in(basicsr.utils.logger, 'initialized_logger', {'basicsr': True}):
        set_random_seed(0)
        try:
            ratios = _ratios(_options(opt, opt.get('num_gpu') != 0 and devices.gpu() is not None))
        except MclirError:
            raise
        except Exception as error:  # whatever a data set raises, or a key that is missing
            raise MclirError(f'No training step can be made of the option file: {sentence(error)}') from error
    told = [math.log(ratio) for ratio in ratios if 0 < ratio < math.inf]
    if not told:
        raise MclirError(
            f'spn_ratio is {ratios[0]:g}: the negatives restore what the network restores, or the loss is 0.'
        )
    return math.exp(sum(told) / len(told))


def _ratios(options: dict[str, Any]) -> list[float]:
    """Of each batch, at λ = 1."""
    model = trial.build(options)
    ratios = []
    for batch in _batches(options):
        train(model, batch)
        ratios.append(model.log_dict['spn_ratio'] / PUBLISHED_WEIGHT)
    return ratios


def _options(opt: Mapping[str, Any], on_gpu: bool) -> dict[str, Any]:
    """Those of the run, but without a step's consequences."""
    options = trial.as_run(opt, Path(), on_gpu)
    options['path'] |= {'resume_state': None}
    options['train']['optim_g']['lr'] = 0.0
    options['train'] |= {'warmup_iter': -1}
    spn = {key: value for key, value in options['train']['spn_opt'].items() if key != 'balance'}
    options['train']['spn_opt'] = spn | {'loss_weight': PUBLISHED_WEIGHT}
    block = options['datasets']['train']
    block |= {'phase': 'train'} | ({'scale': opt['scale']} if 'scale' in opt else {})
    for key, value in block.items():
        if key.startswith('dataroot') and isinstance(value, str):
            block[key] = str(expand(key, value))
    return options


def _batches(options: Mapping[str, Any]) -> Iterator[Any]:
    """Batches from all of the training set, as many as there is time for, but one at least."""
    from basicsr.data import build_dataset

    block = options['datasets']['train']
    began, data, size = time.monotonic(), build_dataset(deepcopy(block)), min(BATCH, block['batch_size_per_gpu'])
    count = _BATCHES * size
    samples = [i * len(data) // count for i in range(count)]
    for i in range(0, count, size):
        if i and time.monotonic() - began > _SECONDS:
            return
        yield default_collate([data[k] for k in samples[i : i + size]])
