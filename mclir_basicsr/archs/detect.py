"""Tell which network a checkpoint is of: its ``network_g`` block and scale, read off the weights."""

import inspect
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from spandrel import ImageModelDescriptor, ModelLoader
from spandrel.util import get_pixelshuffle_params, get_seq_len
from torch import nn

from mclir_basicsr.archs.dehazeformer_arch import VARIANTS
from mclir_basicsr.errors import MclirError
from mclir_basicsr.files.weights import StateDict, misfit, read_weights
from mclir_basicsr.plugin import register

# BasicSR's networks whose state dict is that of the spandrel architecture: type by id.
_OF_BASICSR = {'SwinIR': 'SwinIR', 'Compact': 'SRVGGNetCompact'}
_WRITTEN_ALWAYS = ('upscale', 'scale', 'window_size')  # SwinIRModel reads the window of the option file


class Detected(NamedTuple):
    """What a checkpoint is of.

    Attributes:
        network_g: The block of the option file; the checkpoint loads strictly into what it builds.
        scale: Sides of the output over those of the input.
        entry: Where in the file the weights stand (``path.param_key_g``); None where it is the state dict itself.
    """

    network_g: dict[str, Any]
    scale: int
    entry: str | None


def detect(path: Path, what: str, prefer: Sequence[str | None] = ('params',)) -> Detected:
    """Detect the network of a checkpoint.

    BasicSR's EDSR, RCAN, MSRResNet and RRDBNet and the networks of this package are known by their keys, all others
    through spandrel. Settings that leave no trace in the weights (``img_range``, drop rates, ...) are the published
    ones or the network's defaults.

    Args:
        path: The checkpoint, any that :func:`~mclir_basicsr.files.weights.read_weights` reads.
        what: What it is to the user, for messages, e.g. ``--pretrain``.
        prefer: Entries of the file to take, as for ``read_weights``.

    Raises:
        MclirError: The file cannot be read, or its network is unknown, cannot be named in an option file, or takes or
            gives something else than RGB images.
    """
    register()
    weights, entry = read_weights(path, what, prefer)
    try:
        return Detected(*(_by_keys(weights) or _by_spandrel(weights)), entry)
    except MclirError as error:
        raise MclirError(f'{what}: {path}: {error} Give network_g in the option file, or use another file.') from error


def _by_keys(weights: StateDict) -> tuple[dict[str, Any], int] | None:
    """Networks that spandrel does not know, or not in this form."""
    readers = [read for keys, read in _READERS if keys <= weights.keys()]
    if not readers:
        return None
    block = readers[0](weights)
    if block.get('num_in_ch', 3) != 3 or block.get('num_out_ch', 3) != 3:
        raise MclirError(f'this {block["type"]} is not for RGB images.')
    _build(block, weights)
    return block, block.get('upscale', block.get('scale', 1))


def _by_spandrel(weights: StateDict) -> tuple[dict[str, Any], int]:
    try:
        found = ModelLoader().load_from_state_dict(dict(weights))
    except Exception as error:  # of a kind of its own where none fits, of any where one seemed to
        raise MclirError(f'spandrel cannot tell its network from keys like {", ".join(list(weights)[:3])}.') from error
    name = found.architecture.id
    if not isinstance(found, ImageModelDescriptor) or not found.input_channels == found.output_channels == 3:
        raise MclirError(f'this {name} does not make RGB images out of RGB images.')
    block = _block(found)
    _check_function(_build(block, weights), found)
    return block, found.scale


def _block(found: ImageModelDescriptor) -> dict[str, Any]:
    """The hyper-parameters that spandrel read off the weights, but for those at their defaults."""
    name = found.architecture.id
    written = _OF_BASICSR.get(name) or _name_in_spandrel(name, type(found.model))
    kind = _network(written)
    defaults = {key: _plain(parameter.default) for key, parameter in inspect.signature(kind).parameters.items()}
    values = {key: _plain(value) for key, value in found.model.hyperparameters.items() if key in defaults}
    changed = {key: value for key, value in values.items() if key in _WRITTEN_ALWAYS or value != defaults[key]}
    return {'type': written, **changed}


def _name_in_spandrel(architecture: str, kind: type[nn.Module]) -> str:
    """The name of a network class: its architecture's where that builds it, else its own, unless BasicSR has both."""
    for name in (architecture, kind.__name__):
        with suppress(KeyError):
            if issubclass(_network(name), kind):
                return name
    return f'spandrel.{architecture}'


def _network(name: str) -> type[nn.Module]:
    """The class that an option file names."""
    from basicsr.utils.registry import ARCH_REGISTRY  # only register() makes it safe to import

    return ARCH_REGISTRY.get(name)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _build(block: dict[str, Any], weights: StateDict) -> nn.Module:
    """Build the network and load the weights strictly."""
    arguments = dict(block)
    try:
        net = _network(arguments.pop('type'))(**arguments)
    except Exception as error:  # whatever a constructor makes of values that do not go together
        raise MclirError(f'{block} cannot be built ({type(error).__name__}: {error}).') from error
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise MclirError(f'it looks like {block}, but does not fit: {misfit(net, weights) or error}.') from error
    return net.eval()


@torch.no_grad()
def _check_function(net: nn.Module, found: ImageModelDescriptor) -> None:
    """Raise MclirError unless the network alone does what spandrel does, on one small image."""
    needs, window_size = found.size_requirements, found.model.hyperparameters.get('window_size')
    step = math.lcm(needs.multiple_of, window_size if isinstance(window_size, int) else 1)
    side = math.ceil(max(32, needs.minimum) / step) * step
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    try:
        agrees = torch.allclose(net(image).clamp(0, 1), found(image), atol=1e-3)
    except Exception as error:  # other inputs than an image, or other outputs
        raise MclirError(f'{type(net).__name__} does not make an image out of an image alone ({error}).') from error
    if not agrees:
        raise MclirError(
            f'{type(net).__name__} alone does not restore images in [0, 1]: spandrel scales them around it.'
        )


def _ffanet(weights: StateDict) -> dict[str, Any]:
    return {'type': 'FFANet', 'blocks': get_seq_len(weights, 'g1.gp') - 1, 'normalize': True}


def _dehazeformer(weights: StateDict) -> dict[str, Any]:
    depths = tuple(get_seq_len(weights, f'layer{i}.blocks') for i in range(1, 6))
    width = weights['patch_embed.proj.weight'].shape[0]
    same = [name for name, variant in VARIANTS.items() if (variant.embed_dims[0], variant.depths) == (width, depths)]
    if not same:
        raise MclirError(f'a DehazeFormer of no published variant: {depths} blocks, {width} channels.')
    return {'type': 'DehazeFormer', 'variant': same[0], 'normalize': True}


def _idt(weights: StateDict) -> dict[str, Any]:
    return {'type': 'IDT', 'img_size': 128}


def _rrdbnet(weights: StateDict) -> dict[str, Any]:
    images, features = _channels(weights), weights['body.0.rdb1.conv1.weight'].shape[0]
    unshuffled = math.isqrt(images['num_in_ch'] // images['num_out_ch']) or 1
    images['num_in_ch'] //= unshuffled**2
    body = {'num_block': get_seq_len(weights, 'body'), 'num_grow_ch': features}
    return {'type': 'RRDBNet', **images, 'scale': 4 // unshuffled, **body}


def _msrresnet(weights: StateDict) -> dict[str, Any]:
    expanded, features = weights['upconv1.weight'].shape[:2]
    scale = 4 if 'upconv2.weight' in weights else math.isqrt(expanded // features)
    return {'type': 'MSRResNet', **_channels(weights), 'num_block': get_seq_len(weights, 'body'), 'upscale': scale}


def _edsr(weights: StateDict) -> dict[str, Any]:
    block = {'type': 'EDSR', **_channels(weights), 'num_block': get_seq_len(weights, 'body')}
    published = {'res_scale': 0.1 if block['num_feat'] == 256 else 1}
    return block | {'upscale': get_pixelshuffle_params(weights)[0]} | published


def _rcan(weights: StateDict) -> dict[str, Any]:
    squeezed, features = weights['body.0.residual_group.0.rcab.3.attention.1.weight'].shape[:2]
    return {
        'type': 'RCAN',
        **_channels(weights),
        'num_group': get_seq_len(weights, 'body'),
        'num_block': get_seq_len(weights, 'body.0.residual_group'),
        'squeeze_factor': features // squeezed,
        'upscale': get_pixelshuffle_params(weights)[0],
    }


def _channels(weights: StateDict) -> dict[str, Any]:
    """Arguments that BasicSR's convolutional networks share."""
    features, channels = weights['conv_first.weight'].shape[:2]
    return {'num_in_ch': channels, 'num_out_ch': weights['conv_last.weight'].shape[0], 'num_feat': features}


# Keys that only this network has (and those that its reader asks for), and what reads its arguments off the weights.
_ENDS = {'conv_first.weight', 'conv_last.weight'}
_READERS: list[tuple[set[str], Callable[[StateDict], dict[str, Any]]]] = [
    ({'g1.gp.0.calayer.ca.0.weight'}, _ffanet),
    ({'patch_embed.proj.weight', 'layer1.blocks.0.mlp.mlp.0.weight'}, _dehazeformer),
    ({'encoderlayer_0.blocks.0.attn.Position_Extract.0.weight'}, _idt),
    ({'body.0.rdb1.conv1.weight', *_ENDS}, _rrdbnet),
    ({'body.0.conv1.weight', 'upconv1.weight', *_ENDS}, _msrresnet),
    ({'body.0.conv1.weight', 'upsample.0.weight', *_ENDS}, _edsr),
    ({'body.0.residual_group.0.rcab.3.attention.1.weight', *_ENDS}, _rcan),
]
