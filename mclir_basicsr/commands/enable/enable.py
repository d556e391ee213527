"""Turn a BasicSR option file into an SPN retraining and leave alone what need not change."""

import os
import re
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml.nodes import MappingNode, Node

from mclir_basicsr.commands.enable.option_text import OptionText, all_keys, entries, get, is_null, numbers
from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import read_options

if TYPE_CHECKING:
    from mclir_basicsr.commands.enable.detect import Detected

_SUPPORTED = ('SRModel', 'SwinIRModel', 'HistoryModel')
_REFERENCE_MODEL = re.compile('SRNegModel|ImageRestorationModel_FFANet_Neg')
_REFERENCE_KEYS = {'neg_iter': 'interval', 'neg_decay': 'decay', 'neg_start': 'start'}
_PERCEPTUAL_KEYS = ('layer_weights', 'vgg_type', 'use_input_norm', 'range_norm', 'criterion')  # SPNLoss has them too
_OTHER_KINDS = {
    'RealESRNet': 'it makes its own lq images while it trains',
    'GAN': 'it trains against a discriminator (GAN)',
    'Video|EDVR': 'it restores video, whose batches have a time axis',
}
_UNREAD = {
    'use_grad_norm': 'to clip the gradient set train.grad_clip_norm',
    'use_grad_clip': 'to clip the gradient set train.grad_clip_norm',
    'complie': 'to compile the network set train.compile',
}
# Plain ASCII: BasicSR opens option files in the encoding of the locale.
_COMMENTS = {
    'spn_opt': 'negative term: pushes the output away from those of the negative models',
    'loss_weight': 'weight of the term (lambda)',
    'vgg_type': 'network whose features are compared',
    'layer_weights': 'its layers and their weights',
    'criterion': 'l1, l2 or fro',
    'weights': 'imagenet, or the path of a vgg state dict',
    'history': 'negative models: what the network was some iterations ago',
    'interval': 'iterations between refreshes, one negative model per entry',
    'negatives': 'how many negative models',
    'threshold': 'spread of the residual above which the next negative is refreshed',
    'decay': 'share of itself that a negative keeps at a refresh',
    'start': 'share of random weights in a negative at the start',
}


def enable(
    source: Path,
    target: Path,
    *,
    pretrain: str | None = None,
    negatives: int | None = None,
    loss_weight: float | None = None,
) -> list[str]:
    """Write an SPN retraining made from an option file of BasicSR or of the MCLIR reference.

    Args:
        source: The option file to start from.
        target: Where the new one goes; replaced in one step when it exists.
        pretrain: Checkpoint of the trained network, for ``path.pretrain_network_g``. Where the source has no
            ``network_g``, or ``network_g: {type: auto}``, its network is detected and written out.
        negatives: Number of negative models, >= 1. Default: as in the file, otherwise 4.
        loss_weight: Weight of the SPN term, > 0. Default: as in the file, otherwise that of SPNOptions.

    Returns:
        Sentences on what was set and what to check.

    Raises:
        MclirError: An argument is out of bounds, or the source is missing, no YAML, no training option file, of a
            model of another kind, or an SPN retraining already; or the network of the checkpoint cannot be told.
    """
    source, target = Path(source), Path(target)
    _check_arguments(source, target, pretrain, negatives, loss_weight)
    text = OptionText(source)
    model, name = _model_and_name(text)
    network = _detect(text, pretrain)
    notes = [f'model_type: {model} became HistoryModel; name: {name}_spn.']
    text.put(text.root, 'model_type', 'HistoryModel')
    text.put(text.root, 'name', f'{name}_spn')
    if network is not None:
        _write_network(text, network, notes)
    _edit_path(text, pretrain, notes)
    given: dict[str, tuple[Any, str]] = {}
    is_reference = bool(_REFERENCE_MODEL.match(model))
    if is_reference:
        _take_out(text, text.root, given)
    spn, history = _defaults(given, is_reference and 'adaptive' in model.lower(), negatives, notes)

    train = text.block('train')
    anchor = _loss_to_follow(train)
    if is_reference and isinstance(get(train, 'perceptual_opt'), MappingNode):
        anchor = 'perceptual_opt'
        _turn_perceptual(text, train, spn, loss_weight, notes)
    else:
        spn['loss_weight'] = loss_weight or spn['loss_weight']
        text.insert(train, anchor, {'spn_opt': spn}, _COMMENTS)
        notes.append(f'train.spn_opt: loss_weight {spn["loss_weight"]} on {spn["vgg_type"]}.')
    comments = _COMMENTS | {key: comment for key, (_, comment) in given.items() if comment}
    text.insert(train, anchor, {'history': history}, comments)
    unread = [key for key in _UNREAD if key in all_keys(text.root)]
    notes += [f'{key} is read by nothing and has no effect; {_UNREAD[key]}.' for key in unread]
    text.write(target)
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
    if model not in _SUPPORTED and not _REFERENCE_MODEL.match(model):
        reasons = [reason for kind, reason in _OTHER_KINDS.items() if re.search(kind, model)]
        raise MclirError(
            f'{text.path}: model_type {model} cannot become HistoryModel: {[*reasons, "it is not known here"][0]}. '
            f'Supported: {", ".join(_SUPPORTED)}, and SRNegModel*, ImageRestorationModel_FFANet_Neg_* of MCLIR.'
        )
    return model, name


def _detect(text: OptionText, pretrain: str | None) -> 'Detected | None':
    """What the checkpoint is of, where the file does not say it."""
    node = get(text.root, 'network_g')
    if node is not None and not is_null(node) and not _is_auto(text, node):
        return None
    if pretrain is None:
        raise MclirError(f'{text.path}: it has no network_g. Give it, or a checkpoint to detect it from (--pretrain).')
    from mclir_basicsr.commands.enable.detect import detect  # torch takes seconds to start

    network = detect(Path(os.path.expanduser(pretrain)), '--pretrain', (_param_key(text), 'params'))  # noqa: PTH111
    scale = numbers(text, 'scale', get(text.root, 'scale'))
    if scale and scale != [network.scale]:
        raise MclirError(
            f'{text.path}: scale is {scale[0]:g}, but --pretrain {pretrain} is a network of scale {network.scale}. '
            'Use another checkpoint, or correct scale and the data sets.'
        )
    return network


def _is_auto(text: OptionText, node: Node) -> bool:
    kind = get(node, 'type') if isinstance(node, MappingNode) else None
    if kind is None or kind.value != 'auto':
        return False
    if len(node.value) > 1:
        text.fail(node, 'network_g: type: auto stands alone. Name the type, or take the other keys out.')
    return True


def _param_key(text: OptionText) -> str | None:
    node = get(text.block('path'), 'param_key_g')
    return 'params' if node is None else None if is_null(node) else str(node.value)


def _write_network(text: OptionText, network: 'Detected', notes: list[str]) -> None:
    root, keys = text.root, entries(text.root)
    if network.entry != _param_key(text):
        text.put(text.block('path'), 'param_key_g', network.entry)
        notes.append(f'path.param_key_g: {network.entry or "~"}, where the weights stand in the checkpoint.')
    if is_null(get(root, 'scale')):
        if 'scale' in keys:
            text.remove(root, 'scale')
        text.insert(root, 'model_type', {'scale': network.scale})
        notes.append(f'scale: {network.scale}.')
    if 'network_g' in keys:
        text.remove(root, 'network_g')
    after = next(key for key in ('network_g', 'datasets', 'model_type') if key in keys)
    text.insert(root, after, {'network_g': network.network_g})
    notes.append(
        f'network_g: {network.network_g["type"]}, detected from the checkpoint. What leaves no trace in weights '
        '(img_range, res_scale, normalize, drop rates) is as published or the default: compare it with that training.'
    )


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


def _take_out(text: OptionText, block: MappingNode, given: dict[str, tuple[Any, str]]) -> bool:
    """Move the reference's history keys, wherever they stand, to ``given``; True when that leaves the block empty."""
    rest = list(entries(block))
    for key, (_, value) in entries(block).items():
        if key in _REFERENCE_KEYS:
            given[_REFERENCE_KEYS[key]] = numbers(text, key, value), text.comment(block, key)
        elif not (isinstance(value, MappingNode) and value.value and _take_out(text, value, given)):
            continue
        text.remove(block, key)
        rest.remove(key)
    return not rest


def _defaults(
    given: dict[str, tuple[Any, str]], adaptive: bool, negatives: int | None, notes: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of ``spn_opt`` and ``history``, from what the file gave and the defaults of options.py."""
    values: dict[str, Any] = {key: value for key, (value, _) in given.items() if value}
    interval = values.pop('interval', None)
    count = negatives or len(interval or ()) or 4
    series = [int(f'{(1, 2, 5)[k % 3]}00{"0" * (k // 3)}') for k in range(count)]
    keys: tuple[str, ...] = ('interval',)
    if adaptive:
        values |= {'policy': 'adaptive', 'negatives': count}
        keys = 'policy', 'negatives', 'threshold'
    else:
        values['interval'] = interval if interval and len(interval) == count else series
    decay, start = values.pop('decay', []), values.pop('start', [])
    if len(decay) in (1, count):
        values['decay'] = decay[0] if len(set(decay)) == 1 else decay
    elif decay:
        notes.append(f'neg_decay {decay} does not fit {count} negatives: history.decay is the default.')
    if start:
        values['start'] = start[0]
    if len(set(start)) > 1:
        notes.append(f'neg_start {start}: history.start takes one number, the first was kept.')
    if adaptive and values.get('decay', 0.001) != 0.001:
        notes.append(f'history.decay {values["decay"]} is that of the file; the adaptive reference runs with 0.001.')
    own = read_options({'train': {'spn_opt': {}, 'history': values}})[0].model_dump()['train']
    spn_keys = ('type', 'loss_weight', 'vgg_type', 'layer_weights', 'criterion', 'weights')
    history = {key: own['history'][key] for key in (*keys, 'decay', 'start')}
    when = f'above spread {history["threshold"]}' if adaptive else f'every {history["interval"]} iterations'
    notes.append(f'train.history: {count} negative models, refreshed {when}.')
    return {key: own['spn_opt'][key] for key in spn_keys}, history


def _loss_to_follow(train: MappingNode) -> str:
    keys = list(entries(train))
    return 'pixel_opt' if 'pixel_opt' in keys else [*keys, *(key for key in keys if key.endswith('_opt'))][-1]


def _turn_perceptual(
    text: OptionText, train: MappingNode, spn: dict[str, Any], loss_weight: float | None, notes: list[str]
) -> None:
    """Make the reference's negative term, its ``perceptual_opt``, our ``spn_opt``, in place."""
    block = text.block('perceptual_opt', train)
    weight, style = (numbers(text, key, get(block, key)) for key in ('perceptual_weight', 'style_weight'))
    spn['loss_weight'] = loss_weight or abs(weight[0] if weight else 1.0) or spn['loss_weight']
    text.rename(train, 'perceptual_opt', 'spn_opt')
    spn['vgg_type'] = 'vgg19'  # what PerceptualLoss takes when the file names none
    missing = dict(spn)
    for key in entries(block):
        name = 'loss_weight' if key == 'perceptual_weight' else key
        if key in ('type', 'perceptual_weight'):
            text.put(block, key, missing.pop(name), name)
        elif key in _PERCEPTUAL_KEYS:
            missing.pop(key, None)
        else:
            text.remove(block, key)
            if key not in ('style_weight', *_REFERENCE_KEYS):
                notes.append(f'perceptual_opt.{key} was left out: SPNLoss has no such setting.')
    text.insert(block, list(entries(block))[-1], missing, _COMMENTS)
    if any(style):
        notes.append(f'perceptual_opt.style_weight {style[0]} cannot be kept: SPNLoss has no style term.')
    notes.append(f'train.perceptual_opt became train.spn_opt, loss_weight {spn["loss_weight"]}.')
