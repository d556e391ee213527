"""Check the keys of an option file, and the values of those that are ours."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options.faults import explain
from mclir_basicsr.options.known import unread_keys
from mclir_basicsr.options.losses import loss_terms
from mclir_basicsr.options.structs import TOP_KEYS, OwnOptions, PathOptions, TrainOptions, ValOptions
from mclir_basicsr.options.texts import text_faults


def read_options(opt: Mapping[str, Any]) -> tuple[OwnOptions, list[str]]:
    """Check the option file of a HistoryModel: every key, and the values of ours.

    Args:
        opt: The whole option file, parsed by us or by BasicSR.

    Returns:
        The typed options, and a note for each key that nothing reads and that has no effect, and for iterations at the
        end that make no optimizer step.

    Raises:
        MclirError: One message with every fault: unknown keys with the nearest valid ones, keys of a discriminator,
            wrong types, impossible values, and numbers or truth values that YAML read as text.
    """
    faults, notes = unread_keys(opt, ours=True)
    own: dict[str, Any] = {
        block: {key: value for key, value in (opt.get(block) or {}).items() if key in struct.model_fields}
        for block, struct in (('train', TrainOptions), ('val', ValOptions), ('path', PathOptions))
    }
    own |= {key: opt[key] for key in TOP_KEYS if opt.get(key) is not None}
    try:
        options = OwnOptions.model_validate(own)
    except ValidationError as error:
        faults += explain(error)
    else:
        faults += _disagreements(options, opt)
        notes += _lost_iterations(options, opt)
    faults += text_faults(opt)
    if faults:
        raise MclirError('\n  '.join(['The option file cannot be used:', *faults]))
    return options, notes


def _disagreements(options: OwnOptions, opt: Mapping[str, Any]) -> Iterator[str]:
    """What of ours does not go together with values of BasicSR's keys."""
    every, save = options.train.accumulate, (opt.get('logger') or {}).get('save_checkpoint_freq')
    if isinstance(save, (int, float)) and save % every:
        yield f'train.accumulate: logger.save_checkpoint_freq must be a multiple of {every}, but is {save}.'
    best, metrics = options.train.keep and options.train.keep.best, (opt.get('val') or {}).get('metrics') or {}
    if best is not None and best not in metrics:
        yield f'train.keep.best: {best} is none of val.metrics, which are {", ".join(metrics) or "empty"}.'
    train = opt.get('train') or {}
    for path, (_, loss) in loss_terms(options.train).items():
        if not (train.get('pixel_opt') or train.get('perceptual_opt')):
            yield f'{path} stands beside pixel_opt or perceptual_opt, but train has neither: make one pixel_opt.'
        if loss.arguments().get('loss_weight') == 0:
            yield f'{path}: a term with loss_weight 0 has no effect: take it out.'


def _lost_iterations(options: OwnOptions, opt: Mapping[str, Any]) -> Iterator[str]:
    """Iterations behind the last optimizer step, whose gradients come to nothing."""
    every, total = options.train.accumulate, (opt.get('train') or {}).get('total_iter')
    if isinstance(total, (int, float)) and (lost := int(total) % every):
        yield (
            f'train.total_iter is {int(total)}, no multiple of train.accumulate ({every}): the last {lost} '
            f'iteration(s) make no optimizer step. {int(total) - lost} or {int(total) - lost + every} loses none.'
        )
