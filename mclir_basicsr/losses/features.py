"""The frozen VGG that compares images."""

import logging
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from mclir_basicsr.errors import MclirError
from mclir_basicsr.files import checkpoint
from mclir_basicsr.losses.oxford import LAST_LAYER, check_oxford, load_oxford

logger = logging.getLogger('basicsr')

VGG_TYPES = tuple(name for name in models.list_models() if name.startswith('vgg'))
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def vgg_layers(vgg_type: str) -> dict[str, nn.Module]:
    """The convolutional part of a torchvision vgg, without weights, named as BasicSR does: conv1_1, bn1_1, relu1_1, ...

    Raises:
        MclirError: An unknown vgg_type.
    """
    if vgg_type not in VGG_TYPES:
        raise MclirError(f'vgg_type must be one of {", ".join(VGG_TYPES)}, but is {vgg_type!r}')
    # On the meta device nothing is allocated or drawn: the classifier alone is 0.5 GB that is never used.
    with torch.device('meta'):
        features = models.get_model(vgg_type, weights=None).features
    layers: dict[str, nn.Module] = {}
    block, index = 1, 0
    for layer in features:
        if isinstance(layer, nn.MaxPool2d):
            layers[f'pool{block}'] = layer
            block, index = block + 1, 0
            continue
        index += isinstance(layer, nn.Conv2d)
        kind = {nn.Conv2d: 'conv', nn.BatchNorm2d: 'bn', nn.ReLU: 'relu'}[type(layer)]
        layers[f'{kind}{block}_{index}'] = layer
    return layers


@cache
def _layer_names(vgg_type: str) -> tuple[str, ...]:
    return tuple(vgg_layers(vgg_type))


def check_layers(vgg_type: str, names: Iterable[str], weights: str = 'imagenet') -> None:
    """Make sure that a vgg has these layers, and the weights, where they are ``oxford``, too.

    Raises:
        MclirError: They have not, or there are no names; the message lists the layers that the vgg has.
    """
    valid, names = _layer_names(vgg_type), list(names)
    unknown = sorted(set(names) - set(valid))
    if unknown or not names:
        raise MclirError(
            f'{vgg_type} has no layer {", ".join(unknown)}; its layers are {", ".join(valid)}'
            if names
            else 'layer_weights is empty: name at least one layer'
        )
    if weights == 'oxford':
        check_oxford(vgg_type, names, valid)


class FrozenFeatures(nn.Module):
    """A network whose maps compare images: frozen, always in eval mode.

    Args:
        use_input_norm: Normalise RGB in [0, 1] with the ImageNet statistics first.
        range_norm: Map input from [-1, 1] to [0, 1] first.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, use_input_norm: bool = True, range_norm: bool = False) -> None:
        super().__init__()
        self.use_input_norm = use_input_norm
        self.range_norm = range_norm
        self.register_buffer('mean', torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> 'FrozenFeatures':
        """Stay in eval mode: batch statistics of restored images must never reach it."""
        return super().train(False)

    def prepared(self, image: Tensor) -> Tensor:
        """Image (N, 3 or 1, H, W) as the network takes it, of three channels."""
        x = (image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image).to(self.mean.dtype)
        if self.range_norm:
            x = (x + 1) / 2
        return (x - self.mean) / self.std if self.use_input_norm else x


class VGGFeatures(FrozenFeatures):
    """Features of a torchvision VGG at chosen layers: frozen, always in eval mode, cut after the last one used.

    Args:
        layers: Names as BasicSR's PerceptualLoss takes them, e.g. ``relu1_2`` or ``conv5_4`` (before its relu).
        vgg_type: Any vgg of torchvision, e.g. ``vgg16`` or ``vgg19_bn``.
        use_input_norm: Normalise RGB in [0, 1] with the ImageNet statistics first.
        range_norm: Map input from [-1, 1] to [0, 1] first.
        weights: ``imagenet`` (torchvision's own download and cache), ``oxford`` (ships with the package, no download;
            vgg16 up to relu3_3), the path of a torchvision vgg state dict, or ``random`` (torchvision's initialisation
            from ``seed``; for trying things out).
        seed: Seed of ``random`` weights; the same seed gives the same weights whatever was drawn before.

    Raises:
        MclirError: An unknown vgg_type or layer, or weights that cannot be had or do not fit.

    >>> features = VGGFeatures(['relu1_2', 'pool1'], weights='random')(torch.rand(1, 3, 16, 16))
    >>> {name: tuple(x.shape) for name, x in features.items()}
    {'relu1_2': (1, 64, 16, 16), 'pool1': (1, 64, 8, 8)}
    """

    def __init__(
        self,
        layers: Iterable[str],
        vgg_type: str = 'vgg16',
        use_input_norm: bool = True,
        range_norm: bool = False,
        weights: str = 'imagenet',
        seed: int = 0,
    ) -> None:
        super().__init__(use_input_norm, range_norm)
        self.layers = frozenset(layers)
        check_layers(vgg_type, self.layers, weights)
        parts = vgg_layers(vgg_type)
        names = list(parts)
        names = names[: max(names.index(name) for name in self.layers) + 1]
        features = _load(nn.Sequential(*(parts[name] for name in names)), vgg_type, weights, seed)
        self.net, previous = nn.Sequential(), ''
        for name, layer in zip(names, features, strict=True):
            if isinstance(layer, nn.ReLU):
                layer.inplace = previous not in self.layers  # relu must not overwrite an output that is asked for
            self.net.add_module(name, layer)
            previous = name
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Features of image (N, 3 or 1, H, W) in [0, 1] by layer name; one channel is repeated to three."""
        x = self.prepared(image)
        found = {}
        for name, layer in self.net.named_children():
            x = layer(x)
            if name in self.layers:
                found[name] = x
        return found


def _load(features: nn.Sequential, vgg_type: str, weights: str, seed: int) -> nn.Sequential:
    """Give meta-device features their weights; keys of the classifier are left unread."""
    if weights == 'random':
        return _randomise(features, vgg_type, seed)
    if weights == 'oxford':
        source, state = load_oxford()
    else:
        source, state = _imagenet(vgg_type) if weights == 'imagenet' else _from_file(Path(weights).expanduser())
    wanted = features.state_dict().keys()
    # batches-tracked counters came with torch 0.4.1; older published files lack them and eval mode ignores them
    missing = [key for key in wanted if f'features.{key}' not in state and not key.endswith('num_batches_tracked')]
    if missing:
        raise MclirError(
            f'{source} is no torchvision {vgg_type} state dict: it lacks features.{missing[0]} and {len(missing) - 1} '
            f'more. Give weights and vgg_type of the same network.'
        )
    features.to_empty(device='cpu')
    try:
        features.load_state_dict(
            {key: state[f'features.{key}'] for key in wanted if f'features.{key}' in state}, strict=False
        )
    except RuntimeError as error:
        raise MclirError(f'{source} does not fit {vgg_type} (vgg_type): {error}') from error
    return features


def _randomise(features: nn.Sequential, vgg_type: str, seed: int) -> nn.Sequential:
    logger.warning(
        f'{vgg_type} has random weights (seed {seed}): good for trying things out, not for results. '
        'Take weights imagenet or oxford for those.'
    )
    features.to_empty(device='cpu')
    generator = torch.Generator().manual_seed(seed)
    for layer in features:
        if isinstance(layer, nn.Conv2d):  # as torchvision.models.VGG starts them
            nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu', generator=generator)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
    return features


def imagenet_file(vgg_type: str) -> Path:
    """Where torchvision keeps the ImageNet weights of a vgg once they are downloaded."""
    url = models.get_model_weights(vgg_type)['IMAGENET1K_V1'].url
    return Path(torch.hub.get_dir()) / 'checkpoints' / url.rsplit('/', 1)[1]


def _imagenet(vgg_type: str) -> tuple[str, dict[str, Tensor]]:
    weights, file = models.get_model_weights(vgg_type)['IMAGENET1K_V1'], imagenet_file(vgg_type)
    try:
        return str(file), weights.get_state_dict(progress=True, check_hash=True)
    except Exception as error:  # no network, a proxy, a full disk, a wrong hash: the way out is the same
        shipped = (
            'Give as weights (train.spn_opt.weights of an option file) oxford, which ships with this package: real '
            f'features of vgg16 up to {LAST_LAYER}. Or fetch'
        )
        raise MclirError(
            f'No ImageNet weights for {vgg_type}: {file} is not there and could not be downloaded ({error}). '
            f'{shipped if vgg_type == "vgg16" else "Fetch"} {weights.url} on a machine with a network and put it at '
            'that path, or give as weights where you keep it, or random (trying out only).'
        ) from error


def _from_file(file: Path) -> tuple[str, dict[str, Tensor]]:
    if not file.is_file():
        raise MclirError(
            f'weights: there is no file {file}. '
            'Give the path of a torchvision vgg state dict, imagenet, oxford or random.'
        )
    return str(file), checkpoint.load(file, 'weights')
