"""What option files of the MCLIR reference have."""

import re
from typing import Any

from ruamel.yaml.nodes import MappingNode

from mclir_basicsr.commands.enable.blocks import COMMENTS
from mclir_basicsr.commands.enable.option_text import OptionText, entries, get, numbers

REFERENCE_MODEL = re.compile('SRNegModel|ImageRestorationModel_FFANet_Neg')
_REFERENCE_KEYS = {'neg_iter': 'interval', 'neg_decay': 'decay', 'neg_start': 'start'}
_PERCEPTUAL_KEYS = ('layer_weights', 'vgg_type', 'use_input_norm', 'range_norm', 'criterion')  # SPNLoss has them too
UNREAD = {
    'use_grad_norm': 'to clip the gradient set train.grad_clip_norm',
    'use_grad_clip': 'to clip the gradient set train.grad_clip_norm',
    'complie': 'to compile the network set train.compile',
}


def take_out(text: OptionText, block: MappingNode, given: dict[str, tuple[Any, str]]) -> bool:
    """Move the reference's history keys, wherever they stand, to ``given``; True when that leaves the block empty."""
    rest = list(entries(block))
    for key, (_, value) in entries(block).items():
        if key in _REFERENCE_KEYS:
            given[_REFERENCE_KEYS[key]] = numbers(text, key, value), text.comment(block, key)
        elif not (isinstance(value, MappingNode) and value.value and take_out(text, value, given)):
            continue
        text.remove(block, key)
        rest.remove(key)
    return not rest


def turn_perceptual(
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
    text.insert(block, list(entries(block))[-1], missing, COMMENTS)
    if any(style):
        notes.append(f'perceptual_opt.style_weight {style[0]} cannot be kept: SPNLoss has no style term.')
    notes.append(f'train.perceptual_opt became train.spn_opt, loss_weight {spn["loss_weight"]}.')
