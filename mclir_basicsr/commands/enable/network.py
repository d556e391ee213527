"""The network of an option file that has none: detected from the checkpoint and written out."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml.nodes import MappingNode, Node

from mclir_basicsr.commands.enable.option_text import OptionText, entries, get, is_null, numbers
from mclir_basicsr.errors import MclirError

if TYPE_CHECKING:
    from mclir_basicsr.archs.detect import Detected


def detect_network(text: OptionText, pretrain: str | None) -> 'Detected | None':
    """What the checkpoint is of, where the file does not say it."""
    node = get(text.root, 'network_g')
    if node is not None and not is_null(node) and not _is_auto(text, node):
        return None
    if pretrain is None:
        raise MclirError(f'{text.path}: it has no network_g. Give it, or a checkpoint to detect it from (--pretrain).')
    from mclir_basicsr.archs.detect import detect  # torch takes seconds to start

    network = detect(Path(os.path.expanduser(pretrain)), '--pretrain', entries_of(text))  # noqa: PTH111
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


def entries_of(text: OptionText) -> tuple[str | None, ...]:
    """The entries of the checkpoint to take, as ``path.param_key_g`` says, else those that validation measures."""
    from mclir_basicsr.files.weights import entries_asked  # torch takes seconds to start

    return entries_asked({'param_key_g': _param_key(text)} if 'param_key_g' in entries(text.block('path')) else {})


def choose_entry(text: OptionText, pretrain: str | None, notes: list[str]) -> None:
    """Write ``path.param_key_g`` where the checkpoint of the file has averaged weights and the file names none.

    A checkpoint that is not there, or not to be read, is left to ``mclir check``.
    """
    path = text.block('path')
    node = get(path, 'pretrain_network_g')
    given = pretrain or ('' if node is None or is_null(node) else str(node.value))
    file = Path(os.path.expanduser(given))  # noqa: PTH111  as BasicSR does: ~x may be a name
    if not file.is_file():
        return
    from mclir_basicsr.files.weights import EMA_FIRST, EMA_TAKEN, read_weights

    try:
        entry = read_weights(file, '--pretrain', entries_of(text)).entry
    except MclirError:
        return
    if entry != _param_key(text):
        text.put(path, 'param_key_g', entry)
        what = EMA_TAKEN if entry == EMA_FIRST[0] else 'where the weights stand in the checkpoint.'
        notes.append(f'path.param_key_g: {entry or "~"}, {what}')
    elif entry == 'params' and 'param_key_g' in entries(path) and _has(file, EMA_FIRST[0]):
        notes.append(
            f'path.param_key_g is left at {entry}; the checkpoint also has averaged weights (EMA), {EMA_FIRST[0]}, '
            'which validation measured: take those to retrain what its figures belong to.'
        )


def _has(file: Path, entry: str | None) -> bool:
    from mclir_basicsr.files.weights import read_weights

    return read_weights(file, '--pretrain', (entry, 'params')).entry == entry


def write_network(text: OptionText, network: 'Detected', notes: list[str]) -> None:
    """Write the block, the scale where there is none, and where the weights stand in the checkpoint."""
    root, keys = text.root, entries(text.root)
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
