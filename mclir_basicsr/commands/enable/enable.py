"""Turn a BasicSR option file into an SPN retraining and leave alone what need not change."""

import os
from math import isfinite
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode

from mclir_basicsr.commands.enable.blocks import COMMENTS, defaults, loss_to_follow
from mclir_basicsr.commands.enable.fork_files import base_of, network_notes, turn
from mclir_basicsr.commands.enable.forks import MODELS
from mclir_basicsr.commands.enable.network import choose_entry, detect_network, write_network
from mclir_basicsr.commands.enable.option_text import OptionText, all_keys, entries, get, is_null
from mclir_basicsr.commands.enable.reference import REFERENCE_MODEL, UNREAD, take_out, turn_perceptual
from mclir_basicsr.commands.enable.weight import check_arguments, fit_weight
from mclir_basicsr.commands.replacing import refuse_to_replace
from mclir_basicsr.errors import MclirError


def enable(
    source: Path,
    target: Path,
    *,
    pretrain: str | None = None,
    negatives: int | None = None,
    loss_weight: float | None = None,
    ratio: float | None = None,
    vgg_weights: str | None = None,
    force: bool = False,
) -> list[str]:
    """Write an SPN retraining made from an option file of BasicSR, of one of its forks or of the MCLIR reference.

    Args:
        source: The option file to start from.
        target: Where the new one goes.
        pretrain: Checkpoint of the trained network, for ``path.pretrain_network_g``. Where the source has no
            ``network_g``, or ``network_g: {type: auto}``, its network is detected and written out.
        negatives: Number of negative models, >= 1. Default: as in the file, otherwise 4.
        loss_weight: Weight of the SPN term, > 0. Default: as in the file, otherwise chosen for ratio.
        ratio: The ``spn_ratio`` that the weight is chosen for, by a measurement where checkpoint, data and VGG weights
            are at hand. Default: 0.02; without a measurement L1 and Charbonnier keep the published weight.
        vgg_weights: ``spn_opt.weights``. Default: ``imagenet``.
        force: Replace ``target`` where it exists, in one step.

    Returns:
        Sentences on what was set and what to check.

    Raises:
        MclirError: An argument is out of bounds, or the source is missing, no YAML, no training option file, of a
            model that is not known, or an SPN retraining already; or the network of the checkpoint cannot be told; or
            ``target`` exists.
    """
    source, target = Path(source), Path(target)
    _check_arguments(source, target, pretrain, negatives, loss_weight)
    check_arguments(loss_weight, ratio, vgg_weights)
    refuse_to_replace([target], '-o', force=force)
    text = OptionText(source)
    model, name = _model_and_name(text)
    is_reference = bool(REFERENCE_MODEL.match(model))
    base = 'SRModel' if is_reference else base_of(model, str(source))
    network = detect_network(text, pretrain)
    on_base = '' if base == 'SRModel' else f' with base_model: {base}'
    notes = [f'model_type: {model} became HistoryModel{on_base}; name: {name}_spn.']
    text.put(text.root, 'model_type', 'HistoryModel')
    if on_base:
        text.insert(text.root, 'model_type', {'base_model': base})
    text.put(text.root, 'name', f'{name}_spn')
    if network is not None:
        write_network(text, network, notes)
    _edit_path(text, pretrain, notes)
    choose_entry(text, pretrain, notes)
    if not is_reference:
        turn(text, model, notes)
    if network is None:
        notes += network_notes(text)
    given: dict[str, tuple[Any, str]] = {}
    if is_reference:
        take_out(text, text.root, given)
    spn, history = defaults(given, is_reference and 'adaptive' in model.lower(), negatives, notes)

    spn['weights'] = vgg_weights or spn['weights']
    train = text.block('train')
    anchor, is_given = loss_to_follow(train), loss_weight is not None
    if is_reference and isinstance(get(train, 'perceptual_opt'), MappingNode):
        anchor = 'perceptual_opt'
        turn_perceptual(text, train, spn, loss_weight, notes)
        is_given = is_given or ratio is None  # by the file
    else:
        spn['loss_weight'] = loss_weight or spn['loss_weight']
        text.insert(train, anchor, {'spn_opt': spn}, COMMENTS)
        weight = f', loss_weight {loss_weight}' if is_given else ''
        notes.append(f'train.spn_opt: {spn["vgg_type"]} with weights {spn["weights"]}{weight}.')
    comments = COMMENTS | {key: comment for key, (_, comment) in given.items() if comment}
    text.insert(train, anchor, {'history': history}, comments)
    unread = [key for key in UNREAD if key in all_keys(text.root)] if is_reference or model not in MODELS else []
    notes += [f'{key} is read by nothing and has no effect; {UNREAD[key]}.' for key in unread]
    fit_weight(text, is_given, ratio, notes).write(target)
    return notes


def _check_arguments(
    source: Path, target: Path, pretrain: str | None, negatives: int | None, loss_weight: float | None
) -> None:
    if not source.is_file():
        raise MclirError(f'There is no option file {source}.')
    if target.resolve() == source.resolve():
        raise MclirError(f'-o {target} is the option file itself; give another name.')
    if target.is_dir() or not target.parent.is_dir():
        raise MclirError(f'-o {target} must be a file in a folder that exists.')
    if negatives is not None and negatives < 1:
        raise MclirError(f'--negatives is {negatives}; at least 1 negative model is needed.')
    if loss_weight is not None and not (loss_weight > 0 and isfinite(loss_weight)):
        raise MclirError(f'--loss-weight is {loss_weight}; it must be a number above 0 (published: 0.001).')
    if pretrain is not None and not Path(os.path.expanduser(pretrain)).is_file():  # noqa: PTH111  as BasicSR does: ~x may be a name
        raise MclirError(f'--pretrain: there is no checkpoint {pretrain} (seen from {Path.cwd()}).')


def _model_and_name(text: OptionText) -> tuple[str, str]:
    missing = [key for key in ('name', 'model_type', 'path', 'train') if is_null(get(text.root, key))]
    if missing:
        raise MclirError(f'{text.path} is no training option file of BasicSR: it has no {", ".join(missing)}.')
    model, name = (str(entries(text.root)[key][1].value) for key in ('model_type', 'name'))
    if {'spn_opt', 'history'} & entries(text.block('train')).keys():
        raise MclirError(f'{text.path} is an SPN retraining already: it has train.spn_opt or train.history.')
    return model, name


def _edit_path(text: OptionText, pretrain: str | None, notes: list[str]) -> None:
    path = text.block('path')
    left, strict, resume = (get(path, key) for key in ('pretrain_network_g', 'strict_load_g', 'resume_state'))
    if pretrain is not None:
        text.put(path, 'pretrain_network_g', pretrain)
        notes.append(f'path.pretrain_network_g: {pretrain}.')
    elif left is None or is_null(left):
        notes.append('path.pretrain_network_g is empty: a retraining needs the trained network there (--pretrain).')
    else:
        notes.append(f'path.pretrain_network_g is left at {left.value}: check that it is the network to retrain.')
    if strict is not None and strict.value in ('false', 'False'):
        notes.append('path.strict_load_g is false: weights of the checkpoint that do not fit are passed over.')
    if resume is None or not is_null(resume):
        text.put(path, 'resume_state', None)
        notes.append('path.resume_state: ~, so that the retraining starts at iteration 0.')
