"""Turn a BasicSR option file into an SPN retraining and leave alone what need not change.

The file is edited at the places that ruamel.yaml's parser names, not loaded and dumped again: a dump rewrites what
carries no value (``~``, ``False``, ``!!float``, indentation, the width of long lists) and puts a new key behind the
comment that belongs to the next one. So every line that needs no change stays as it is, to the byte.
"""

import os
import re
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mclir_basicsr.errors import MclirError
from mclir_basicsr.options import read_options

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
    'complie': 'the network is not compiled',
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
        pretrain: Checkpoint of the trained network, for ``path.pretrain_network_g``.
        negatives: Number of negative models, >= 1. Default: as in the file, otherwise 4.
        loss_weight: Weight of the SPN term, > 0. Default: as in the file, otherwise that of SPNOptions.

    Returns:
        Sentences on what was set and what to check.

    Raises:
        MclirError: An argument is out of bounds, or the source is missing, no YAML, no training option file, of a
            model of another kind, or an SPN retraining already.
    """
    source, target = Path(source), Path(target)
    _check_arguments(source, target, pretrain, negatives, loss_weight)
    text = _OptionText(source)
    model, name = _model_and_name(text)
    notes = [f'model_type: {model} became HistoryModel; name: {name}_spn.']
    text.put(text.root, 'model_type', 'HistoryModel')
    text.put(text.root, 'name', f'{name}_spn')
    _edit_path(text, pretrain, notes)
    given: dict[str, tuple[Any, str]] = {}
    is_reference = bool(_REFERENCE_MODEL.match(model))
    if is_reference:
        _take_out(text, text.root, given)
    spn, history = _defaults(given, is_reference and 'adaptive' in model.lower(), negatives, notes)

    train = text.block('train')
    anchor = _loss_to_follow(train)
    if is_reference and isinstance(_get(train, 'perceptual_opt'), MappingNode):
        anchor = 'perceptual_opt'
        _turn_perceptual(text, train, spn, loss_weight, notes)
    else:
        spn['loss_weight'] = loss_weight or spn['loss_weight']
        text.insert(train, anchor, {'spn_opt': spn})
        notes.append(f'train.spn_opt: loss_weight {spn["loss_weight"]} on {spn["vgg_type"]}; watch spn_ratio in the log.')
    text.insert(train, anchor, {'history': history}, {key: comment for key, (_, comment) in given.items() if comment})
    unread = [key for key in _UNREAD if key in _all_keys(text.root)]
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
    if pretrain is not None and not Path(pretrain).expanduser().is_file():
        raise MclirError(f'--pretrain: there is no checkpoint {pretrain} (seen from {Path.cwd()}).')


def _model_and_name(text: '_OptionText') -> tuple[str, str]:
    missing = [key for key in ('name', 'model_type', 'network_g', 'path', 'train') if _is_null(_get(text.root, key))]
    if missing:
        raise MclirError(f'{text.path} is no training option file of BasicSR: it has no {", ".join(missing)}.')
    model, name = (str(_entries(text.root)[key][1].value) for key in ('model_type', 'name'))
    if {'spn_opt', 'history'} & _entries(text.block('train')).keys():
        raise MclirError(f'{text.path} is an SPN retraining already: it has train.spn_opt or train.history.')
    if model not in _SUPPORTED and not _REFERENCE_MODEL.match(model):
        reasons = [reason for kind, reason in _OTHER_KINDS.items() if re.search(kind, model)]
        raise MclirError(
            f'{text.path}: model_type {model} cannot become HistoryModel: {[*reasons, "it is not known here"][0]}. '
            f'Supported: {", ".join(_SUPPORTED)}, and SRNegModel*, ImageRestorationModel_FFANet_Neg_* of MCLIR.'
        )
    return model, name


def _edit_path(text: '_OptionText', pretrain: str | None, notes: list[str]) -> None:
    path = text.block('path')
    left, strict, resume = (_get(path, key) for key in ('pretrain_network_g', 'strict_load_g', 'resume_state'))
    if pretrain is not None:
        text.put(path, 'pretrain_network_g', pretrain)
        notes.append(f'path.pretrain_network_g: {pretrain}.')
    elif left is None or _is_null(left):
        notes.append('path.pretrain_network_g is empty: a retraining needs the trained network there (--pretrain).')
    else:
        notes.append(f'path.pretrain_network_g is left at {left.value}: check that it is the network to retrain.')
    if strict is not None and strict.value in ('false', 'False'):
        notes.append('path.strict_load_g is false: weights of the checkpoint that do not fit are passed over.')
    if resume is None or not _is_null(resume):
        text.put(path, 'resume_state', None)
        notes.append('path.resume_state: ~, so that the retraining starts at iteration 0.')


def _take_out(text: '_OptionText', block: MappingNode, given: dict[str, tuple[Any, str]]) -> bool:
    """Move the reference's history keys, wherever they stand, to ``given``; True when that leaves the block empty."""
    rest = list(_entries(block))
    for key, (_, value) in _entries(block).items():
        if key in _REFERENCE_KEYS:
            given[_REFERENCE_KEYS[key]] = _numbers(text, key, value), text.comment(value)
        elif not (isinstance(value, MappingNode) and value.value and _take_out(text, value, given)):
            continue
        text.remove(block, key)
        rest.remove(key)
    return not rest


def _defaults(
    given: dict[str, tuple[Any, str]], adaptive: bool, negatives: int | None, notes: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of ``spn_opt`` and ``history``, from what the file gave and the defaults of options.py."""
    values = {key: value for key, (value, _) in given.items() if value}
    interval = values.pop('interval', None)
    count = negatives or len(interval or ()) or 4
    series = [int(f'{(1, 2, 5)[k % 3]}00{"0" * (k // 3)}') for k in range(count)]
    keys: tuple[str, ...] = ('interval',)
    if adaptive:
        values |= {'policy': 'adaptive', 'negatives': count}
        keys = 'policy', 'negatives', 'threshold'
    else:
        values['interval'] = interval if interval and len(interval) == count else series
    if len(values.get('decay', [0])) not in (1, count):
        notes.append(f'neg_decay {values.pop("decay")} does not fit {count} negatives: history.decay is the default.')
    if 'start' in values:
        first, *others = values['start']
        if set(others) - {first}:
            notes.append(f'neg_start {values["start"]}: history.start takes one number, the first was kept.')
        values['start'] = first
    own = read_options({'train': {'spn_opt': {}, 'history': values}})[0].model_dump()['train']
    spn_keys = ('type', 'loss_weight', 'vgg_type', 'layer_weights', 'criterion', 'weights')
    history = {key: own['history'][key] for key in (*keys, 'decay', 'start')}
    when = f'when the residual spreads beyond {history["threshold"]}' if adaptive else f'every {history["interval"]} iterations'
    notes.append(f'train.history: {count} negative models, refreshed {when}.')
    return {key: own['spn_opt'][key] for key in spn_keys}, history


def _loss_to_follow(train: MappingNode) -> str:
    keys = list(_entries(train))
    return 'pixel_opt' if 'pixel_opt' in keys else [*keys, *(key for key in keys if key.endswith('_opt'))][-1]


def _turn_perceptual(
    text: '_OptionText', train: MappingNode, spn: dict[str, Any], loss_weight: float | None, notes: list[str]
) -> None:
    """Make the reference's negative term, its ``perceptual_opt``, our ``spn_opt``, in place."""
    block = text.block('perceptual_opt', train)
    weight, style = (_numbers(text, key, _get(block, key)) for key in ('perceptual_weight', 'style_weight'))
    spn['loss_weight'] = loss_weight or abs(weight[0] if weight else 1.0) or spn['loss_weight']
    text.rename(train, 'perceptual_opt', 'spn_opt')
    kept = {'type': 'SPNLoss', 'perceptual_weight': spn['loss_weight']}
    for key in _entries(block):
        if key in kept:
            text.put(block, key, kept[key], rename='loss_weight' if key == 'perceptual_weight' else key)
        elif key not in _PERCEPTUAL_KEYS:
            text.remove(block, key)
            if key not in ('style_weight', *_REFERENCE_KEYS):
                notes.append(f'perceptual_opt.{key} was left out: SPNLoss has no such setting.')
    if any(style):
        notes.append(f'perceptual_opt.style_weight {style[0]} cannot be kept: SPNLoss has no style term.')
    there = {'loss_weight' if key == 'perceptual_weight' else key for key in _entries(block)}
    there &= {'type', 'loss_weight', *_PERCEPTUAL_KEYS}
    spn['vgg_type'] = 'vgg19'  # what PerceptualLoss takes when the file names none
    text.insert(block, [*_entries(block)][-1], {key: value for key, value in spn.items() if key not in there})
    notes.append(f'train.perceptual_opt became train.spn_opt, loss_weight {spn["loss_weight"]}; watch spn_ratio in the log.')


class _OptionText:
    """The lines of an option file and the YAML nodes that say where its keys stand.

    An edit keeps the number of entries in ``lines`` (a removed line becomes empty, an inserted one is joined to the
    line before), so the positions in the nodes stay true.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_bytes().decode('utf-8-sig')
        except (OSError, UnicodeDecodeError) as error:
            raise MclirError(f'{path} cannot be read as UTF-8 text: {error}.') from error
        self.newline = '\r\n' if '\r\n' in text else '\n'
        self.lines = text.splitlines(keepends=True)
        if self.lines and self.lines[-1] == self.lines[-1].rstrip('\r\n'):
            self.lines[-1] += self.newline
        root = _compose(''.join(self.lines), str(path))
        if not isinstance(root, MappingNode):
            raise MclirError(f'{path} is no option file of BasicSR: it has no keys.')
        self.root = self._plain_block(root)

    def fail(self, node: Node, reason: str) -> NoReturn:
        """Refuse the file for what stands at a node."""
        raise MclirError(f'{self.path}, line {node.start_mark.line + 1}: {reason}')

    def block(self, key: str, parent: MappingNode | None = None) -> MappingNode:
        """The mapping under a key that is there."""
        return self._plain_block(_entries(parent or self.root)[key][1])

    def _plain_block(self, node: Node) -> MappingNode:
        if not isinstance(node, MappingNode) or node.flow_style or node.anchor:
            self.fail(node, 'this must be a block of keys, one per line, without {}, anchor or alias; write it so.')
        return node

    def put(self, block: MappingNode, key: str, value: Any, name: str | None = None) -> None:
        """Set a key, under another name where asked; a new one goes to the end of its block."""
        if key not in _entries(block):
            self.insert(block, list(_entries(block))[-1], {key: value})
            return
        node, old = _entries(block)[key]
        if not isinstance(old, ScalarNode) or old.anchor or old.style in ('|', '>'):
            self.fail(node, f'{key} must have a plain value, without anchor or alias; write it so.')
        first, last = node.start_mark, old.end_mark
        head, tail = self.lines[first.line][: first.column], self.lines[last.line][last.column :]
        self.lines[first.line : last.line + 1] = [''] * (last.line + 1 - first.line)
        self.lines[first.line] = f'{head}{name or key}: {_written(value)}{tail}'

    def rename(self, block: MappingNode, key: str, name: str) -> None:
        """Give a key another name and leave its value."""
        node = _entries(block)[key][0]
        line = self.lines[node.start_mark.line]
        self.lines[node.start_mark.line] = line[: node.start_mark.column] + name + line[node.end_mark.column :]

    def remove(self, block: MappingNode, key: str) -> None:
        """Take out a key and its value."""
        first, end = self._span(self._plain_block(block), key)
        self.lines[first:end] = [''] * (end - first)

    def insert(
        self, block: MappingNode, after: str, values: dict[str, Any], comments: dict[str, str] | None = None
    ) -> None:
        """Add keys behind another one, in the indentation of the file."""
        column = block.value[0][0].start_mark.column
        step = _get_all(self.block('train'))[0][0].start_mark.column
        added = _rendered(values, _COMMENTS | (comments or {}), step)
        end = self._span(block, after)[1]
        self.lines[end - 1] += ''.join(f'{" " * column}{line}{self.newline}' for line in added)

    def comment(self, value: Node) -> str:
        """The comment on the last line of a value."""
        return self.lines[value.end_mark.line][value.end_mark.column :].strip().removeprefix('#').strip()

    def write(self, target: Path) -> None:
        """Write the edited text, whole or not at all."""
        text = ''.join(self.lines)
        _compose(text, f'{self.path} after the edit')  # an alias may have lost its anchor with a key taken out
        temporary = target.with_name(f'{target.name}.{os.getpid()}.tmp')
        try:
            temporary.write_bytes(text.encode())
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise MclirError(f'Cannot write {target}: {error}.') from error

    def _span(self, block: MappingNode, key: str) -> tuple[int, int]:
        """Lines of an entry; comments behind it that are not indented deeper belong to what follows."""
        start = _entries(block)[key][0].start_mark
        following = [name.start_mark.line for name, _ in block.value if name.start_mark.line > start.line]
        end = min(following, default=min(block.end_mark.line, len(self.lines)))
        while end > start.line + 1 and _is_gap(self.lines[end - 1], start.column):
            end -= 1
        return start.line, end


def _compose(text: str, name: str) -> Node | None:
    yaml = YAML(typ='safe', pure=True)
    yaml.version = (1, 1)  # what BasicSR's loader reads
    try:
        return yaml.compose(text)
    except YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        where = f', line {mark.line + 1}, column {mark.column + 1}' if mark else ''
        raise MclirError(f'{name}{where}: not valid YAML: {getattr(error, "problem", None) or error}.') from error


def _is_gap(line: str, column: int) -> bool:
    content = line.lstrip()
    return not content or (content[0] == '#' and len(line) - len(content) <= column)


def _entries(block: MappingNode) -> dict[str, tuple[Node, Node]]:
    return {key.value: (key, value) for key, value in block.value if isinstance(key, ScalarNode)}


def _get(block: MappingNode, key: str) -> Node | None:
    return _entries(block).get(key, (None, None))[1]


def _all_keys(node: Node) -> set[str]:
    if not isinstance(node, MappingNode):
        return set()
    return _entries(node).keys() | {key for _, value in node.value for key in _all_keys(value)}


def _is_null(node: Node | None) -> bool:
    return node is None or str(node.tag) == 'tag:yaml.org,2002:null'


def _numbers(text: _OptionText, key: str, node: Node | None) -> list[float]:
    """The number or numbers of a key; none where it is absent or empty."""
    if node is None or _is_null(node):
        return []
    try:
        return [float(item.value) for item in (node.value if isinstance(node, SequenceNode) else [node])]
    except (TypeError, ValueError):
        text.fail(node, f'{key} must be a number or a list of numbers.')


def _rendered(values: dict[str, Any], comments: dict[str, str], step: int) -> list[str]:
    lines = []
    for key, value in values.items():
        is_block = key in ('spn_opt', 'history')
        comment = f'  # {comments[key]}' if comments.get(key) else ''
        lines.append(f'{key}:{"" if is_block else " " + _written(value)}{comment}')
        if is_block:
            lines += [' ' * step + line for line in _rendered(value, comments, step)]
    return lines


def _written(value: Any) -> str:
    """A value as BasicSR's YAML 1.1 loader reads it back."""
    if isinstance(value, dict):
        return '{' + ', '.join(f'{key}: {_written(item)}' for key, item in value.items()) + '}'
    if isinstance(value, list):
        return _written(value[0]) if len(value) == 1 else '[' + ', '.join(map(_written, value)) + ']'
    if isinstance(value, str):
        is_plain = re.fullmatch(r'[a-z]+\d*|[a-zA-Z]+|[\w/][\w./-]*(_spn|\.pth)', value)
        return value if is_plain else "'" + value.replace("'", "''") + "'"
    if value is None:
        return '~'
    return f'!!float {value}' if 'e' in repr(value) else repr(value)
