"""Check the keys of an option file."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from mclir_basicsr.errors import MclirError, did_you_mean
from mclir_basicsr.options.faults import explain
from mclir_basicsr.options.structs import OwnOptions, TrainOptions, ValOptions

# What BasicSR 1.4.2 reads in the blocks that it shares with us.
BASICSR_KEYS = {
    'train': {
        'ema_decay', 'optim_g', 'optim_d', 'scheduler', 'total_iter', 'warmup_iter', 'pixel_opt', 'perceptual_opt',
        'gan_opt', 'ldl_opt', 'net_d_iters', 'net_d_init_iters', 'fix_flow', 'flow_lr_mul',
    },
    'val': {'val_freq', 'save_img', 'suffix', 'metrics', 'pbar'},
}  # fmt: skip


_OF_FORKS = {'complie'}  # the reference's option files have it, and nothing ever read it


def read_options(opt: Mapping[str, Any]) -> tuple[OwnOptions, list[str]]:
    """Check our keys of a parsed option file.

    Args:
        opt: The whole option file as BasicSR parsed it.

    Returns:
        The typed options, and a warning for each key of ``train`` and ``val`` that neither BasicSR nor we read.

    Raises:
        MclirError: One message with every fault: unknown keys with the nearest valid ones, wrong types, impossible
            values, and keys of ``train`` or ``val`` that look like a misspelling of ours.
    """
    faults, warnings, own = [], [], {}
    for block, struct in (('train', TrainOptions), ('val', ValOptions)):
        given = opt.get(block) or {}
        own[block] = {key: value for key, value in given.items() if key in struct.model_fields}
        for key in sorted(map(str, given.keys() - struct.model_fields.keys() - BASICSR_KEYS[block])):
            question = did_you_mean(key, struct.model_fields, most=1, cutoff=0.7)
            if question and key not in _OF_FORKS:
                faults.append(f'{block}.{key}: unknown key; {question}')
            else:
                warnings.append(f'{block}.{key} is read by neither BasicSR nor mclir_basicsr: it has no effect.')
    try:
        options = OwnOptions.model_validate(own)
    except ValidationError as error:
        faults += explain(error)
    else:
        best, metrics = options.train.keep and options.train.keep.best, (opt.get('val') or {}).get('metrics') or {}
        every, save = options.train.accumulate, (opt.get('logger') or {}).get('save_checkpoint_freq')
        if isinstance(save, (int, float)) and save % every:
            faults.append(
                f'train.accumulate: logger.save_checkpoint_freq must be a multiple of {every}, but is {save}.'
            )
        if best is not None and best not in metrics:
            faults.append(f'train.keep.best: {best} is none of val.metrics, which are {", ".join(metrics) or "empty"}.')
    if faults:
        raise MclirError('\n  '.join(['The option file cannot be used:', *faults]))
    return options, warnings
