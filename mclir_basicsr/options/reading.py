"""Check the keys of an option file, and the values of those that are ours."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options.faults import explain
from mclir_basicsr.options.known import unread_keys
from mclir_basicsr.options.structs import TOP_KEYS, OwnOptions, PathOptions, TrainOptions, ValOptions
from mclir_basicsr.options.texts import text_faults


def read_options(opt: Mapping[str, Any]) -> tuple[OwnOptions, list[str]]:
    """Check the option file of a HistoryModel: every key, and the values of ours.

    Args:
        opt: The whole option file, parsed by us or by BasicSR.

    Returns:
        The typed options, and a note for each key that nothing reads and that has no effect.

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
