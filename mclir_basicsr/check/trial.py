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

from mclir_basicsr import devices
from mclir_basicsr.check.trial_training import first_batch, shapes, train
from mclir_basicsr.check.trial_validation import sentence, validate
from mclir_basicsr.errors import FaultsError, MclirError
from mclir_basicsr.losses.spn_weight import judge

_OF_NET_D = {'net_d_iters': 1, 'net_d_init_iters': 0}  # with which every iteration trains net_g
_SECONDS = 30.0  # behind which no val set but the first is begun


def try_out(opt: Mapping[str, Any], experiment: Path, *, here: bool) -> list[str]:
    """Train one batch of at most two samples, and restore and measure one image of each val set.

    The model is that of the run, on its device; on a CPU the batch is cut to what takes seconds. Of ``train.compile``
    the compiler alone is tried; ``accumulate``, ``history.start_iter``, ``spn_opt.every`` and iterations of a
    discriminator alone are left out, so that the batch meets all terms. ImageNet weights that the run needs are
    fetched; nothing else is written. Random generators move: call it within ``untouched``.

    Args:
        opt: An option file without other faults, its data sets completed as BasicSR's parser does.
        experiment: Folder of the experiment, which need not be there.
        here: The run will be on this machine; one elsewhere may have the GPU that is missing here.

    Returns:
        A sentence that says what was tried and how long it took.

    Raises:
        MclirError: Something failed; the message says what and where to change it.
    """
    start, on_gpu = time.monotonic(), opt['num_gpu'] != 0 and devices.gpu() is not None
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
        options['train'] |= {key: value for key, value in _OF_NET_D.items() if key in options['train']}
        if options['train'].get('history'):
            options['train']['history']['start_iter'] = 0
        if options['train'].get('spn_opt'):
            options['train']['spn_opt']['every'] = 1
    options['logger']['print_freq'] = 1  # what is measured for the log is tried, too
    if isinstance(options.get('val'), dict):
        options['val'] |= {'pbar': False, 'at_start': False}
    return options


def _try(options: dict[str, Any], start: float) -> str:
    model = build(options)
    _compiler(options, model.device)
    batch = train(model, first_batch(model))
    said, faults = [f'a training batch of {shapes(batch)}'], []
    of_weight = _of_weight(model)
    val_sets = [phase for phase in options['datasets'] if phase != 'train' and options.get('val')]
    for phase in val_sets:
        if phase != val_sets[0] and time.monotonic() - start > _SECONDS:
            said.append(f'not datasets.{phase}, for want of time')
            continue
        try:
            said.append(validate(model, phase))
        except FaultsError as error:
            faults += error.lines
    if faults:
        raise FaultsError(faults)
    return f'{", ".join(said)}. {of_weight}'.rstrip()


def _of_weight(model: Any) -> str:
    """What there is to say of λ after a training step; a balance chooses its own."""
    ratio = getattr(model, 'log_dict', {}).get('spn_ratio')
    return '' if ratio is None or model.balance is not None else judge(ratio, model.cri_spn.loss_weight)


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
            from mclir_basicsr.models.loss_terms import missing_vgg

            raise missing_vgg('train.perceptual_opt', perceptual.get('vgg_type', 'vgg19'), error) from error
        raise MclirError(f'model_type: {options["model_type"]} cannot be built: {sentence(error)}') from error


def _compiler(options: Mapping[str, Any], device: torch.device) -> None:
    from mclir_basicsr.models.compiler import check_compiler

    if options['model_type'] == 'HistoryModel' and options['train'].get('compile'):
        check_compiler(device)


def _asks_for_gpu(error: Exception) -> bool:
    return any(word in str(error) for word in ('CUDA', 'NVIDIA', 'cuda'))
