"""The VGG-16 features that ship with the package: real ones, without a download.

Where they come from, what was changed and their licence stand in ``vgg16_oxford.txt`` beside them.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import load
from torch import Tensor

from mclir_basicsr.errors import MclirError

FILE = Path(__file__).with_name('vgg16_oxford.safetensors')
DIGEST = '4a89abd7dd16837a77570777717ef7e411cb30f777459697136e2c1cd9a3b1a5'  # its SHA-256
VGG_TYPE = 'vgg16'
LAST_LAYER = 'relu3_3'


def check_oxford(vgg_type: str, names: Iterable[str], valid: Iterable[str]) -> None:
    """Make sure that the shipped weights have these layers.

    Args:
        vgg_type: The vgg asked for.
        names: Layers asked for.
        valid: All layers of that vgg, in their order.

    Raises:
        MclirError: Another vgg than vgg16, or a layer behind relu3_3.
    """
    order = list(valid)
    behind = (
        [name for name in order[order.index(LAST_LAYER) + 1 :] if name in set(names)] if LAST_LAYER in order else []
    )
    if vgg_type == VGG_TYPE and not behind:
        return
    asked = f'layer_weights asks for {", ".join(behind)}' if vgg_type == VGG_TYPE else f'vgg_type is {vgg_type}'
    raise MclirError(
        f'weights: oxford is {VGG_TYPE} up to {LAST_LAYER}, but {asked}. Set weights to imagenet or to the path of a '
        f'torchvision {vgg_type} state dict, or keep to {VGG_TYPE} and {LAST_LAYER}.'
    )


def load_oxford() -> tuple[str, dict[str, Tensor]]:
    """Read the shipped weights.

    Returns:
        The file, and the tensors in half precision under torchvision's keys.

    Raises:
        MclirError: The file is missing, or it is not the one that was shipped.
    """
    again = 'Install the package again: pip install --force-reinstall --no-deps mclir-basicsr'
    try:
        content = FILE.read_bytes()
    except OSError as error:
        raise MclirError(f'weights: oxford, which ships with the package, cannot be read: {error}. {again}') from error
    if hashlib.sha256(content).hexdigest() != DIGEST:
        raise MclirError(f'weights: oxford: {FILE} is damaged, its SHA-256 is not the one of the package. {again}')
    return str(FILE), load(content)
