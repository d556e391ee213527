"""Features of other networks than VGG: any of torchvision or timm, and those of LPIPS."""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from mclir_basicsr.errors import MclirError, did_you_mean
from mclir_basicsr.files import checkpoint
from mclir_basicsr.losses.features import FrozenFeatures, VGGFeatures
from mclir_basicsr.losses.perceptual_networks import BACKBONES, lpips_network

SOURCES = ('torchvision', 'timm', 'lpips')


class NetworkFeatures(FrozenFeatures):
    """Maps of a network of torchvision or timm at named nodes of its graph; frozen, always in eval mode.

    Args:
        name: ``torchvision/resnet50``, ``timm/convnext_tiny`` or the like.
        layers: Names of nodes, as ``torchvision.models.feature_extraction.get_graph_node_names`` lists them.
        use_input_norm: Normalise RGB in [0, 1] with the ImageNet statistics first.
        range_norm: Map input from [-1, 1] to [0, 1] first.
        weights: ``imagenet`` (the source's default weights, its own download), the path of a state dict, or ``random``.
        seed: Seed of ``random`` weights.

    Raises:
        MclirError: An unknown network or node, or weights that cannot be had or do not fit.

    >>> features = NetworkFeatures('torchvision/resnet18', ['relu', 'layer1'], weights='random')
    >>> {name: tuple(x.shape) for name, x in features(torch.rand(1, 3, 32, 32)).items()}
    {'relu': (1, 64, 16, 16), 'layer1': (1, 64, 8, 8)}
    """

    def __init__(
        self,
        name: str,
        layers: Iterable[str],
        use_input_norm: bool = True,
        range_norm: bool = False,
        weights: str = 'imagenet',
        seed: int = 0,
    ) -> None:
        super().__init__(use_input_norm, range_norm)
        source, _, kind = name.partition('/')
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _made(source, kind, pretrained=weights == 'imagenet').eval()
        if weights not in ('imagenet', 'random'):
            _load(network, Path(weights).expanduser(), kind)
        layers, nodes = list(layers), get_graph_node_names(network)[1]  # of eval mode
        # A node is also meant by the name of the module whose last node it is.
        unknown = [each for each in layers if not any(node == each or node.startswith(f'{each}.') for node in nodes)]
        if unknown or not layers:
            raise MclirError(
                f'{name} has no layer {", ".join(unknown) or "of an empty layer_weights"}; its layers are '
                f'{", ".join(nodes)}'
            )
        self.net = create_feature_extractor(network, return_nodes={each: each for each in layers})
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Features of image (N, 3 or 1, H, W) in [0, 1] by layer name; one channel is repeated to three."""
        return self.net(self.prepared(image))


class LPIPSFeatures(FrozenFeatures):
    """Maps whose mean squared differences, added up, are LPIPS; the network and its linear weights by torchmetrics.

    Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, equation 1.

    Args:
        net: ``alex``, ``vgg`` or ``squeeze``.
        range_norm: The images are in [-1, 1]; otherwise in [0, 1].
        weights: ``imagenet`` for the backbone that LPIPS is made for (torchvision's download), or ``random``.
        seed: Seed of a random backbone.

    Raises:
        MclirError: Another net, or a backbone that cannot be had.
    """

    def __init__(self, net: str = 'alex', range_norm: bool = False, weights: str = 'imagenet', seed: int = 0) -> None:
        from torchmetrics.functional.image.lpips import _LPIPS  # the distance alone is public, not its parts

        super().__init__(use_input_norm=False, range_norm=range_norm)
        if net not in BACKBONES or weights not in ('imagenet', 'random'):
            raise MclirError(
                f'features lpips/{net} with weights {weights}: LPIPS has the nets {", ".join(BACKBONES)} and the '
                'weights imagenet or random.'
            )
        if weights == 'imagenet':
            self.lpips: Any = lpips_network(net, f'features: lpips/{net}')
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.lpips = _LPIPS(net=net, pnet_rand=True)  # type: ignore[arg-type]
        self.layers = [f'lpips{k}' for k in range(self.lpips.L)]
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Maps of image (N, 3 or 1, H, W), weighted so that no further weight is needed."""
        maps = self.lpips.net(self.lpips.scaling_layer(2 * self.prepared(image) - 1))
        found = {}
        for name, x, line in zip(self.layers, maps, self.lpips.lins, strict=True):
            x = x.float()  # (N, C, H, W)
            unit = x / (1e-8 + (x.pow(2).sum(1, keepdim=True)).sqrt())
            weight = line.model[-1].weight.view(1, -1, 1, 1).clamp(min=0)
            found[name] = unit * (weight * x.shape[1]).sqrt()  # a mean over C, where LPIPS has a sum
        return found


def _made(source: str, kind: str, *, pretrained: bool) -> nn.Module:
    if source == 'torchvision':
        known = models.list_models()
    elif source == 'timm':
        try:
            timm: Any = importlib.import_module('timm')
        except ImportError as error:
            raise MclirError(f'features timm/{kind} needs timm: pip install timm.') from error
        known = timm.list_models()
    else:
        raise MclirError(f'features must be vgg, SOURCE/NAME with SOURCE of {", ".join(SOURCES)}, but is {source!r}.')
    if kind not in known:
        raise MclirError(
            f'{source} has no network {kind!r}; {did_you_mean(kind, known) or f"see {source}.list_models"}'
        )
    try:
        if source == 'torchvision':
            return models.get_model(kind, weights='DEFAULT' if pretrained else None)
        return timm.create_model(kind, pretrained=pretrained)
    except Exception as error:  # no network, a proxy, a full disk
        raise _not_there(f'{source}/{kind}', error) from error


def _not_there(name: str, error: Exception) -> MclirError:
    return MclirError(
        f'The weights of {name} are not at hand and could not be downloaded ({error}). Run once on a machine with a '
        'network and copy its cache, or give as weights a path, or random (trying out only).'
    )


def _load(network: nn.Module, file: Path, kind: str) -> None:
    try:
        network.load_state_dict(checkpoint.load(file, 'weights'))
    except (RuntimeError, TypeError) as error:
        raise MclirError(f'weights: {file} is no state dict of {kind}: {error}') from error


def make_features(
    features: str | nn.Module,
    layers: Iterable[str],
    vgg_type: str,
    use_input_norm: bool,
    range_norm: bool,
    weights: str,
    seed: int,
) -> nn.Module:
    """The network that a loss of the contrastive family compares images by.

    Args:
        features: ``vgg``, ``torchvision/NAME``, ``timm/NAME``, ``lpips/NET``, or a module of one's own, which is frozen
            and put into eval mode.
        layers: Names of its maps; LPIPS has its own.
        vgg_type: Which vgg.
        use_input_norm: See :class:`NetworkFeatures`; a module of one's own is given the images as they are.
        range_norm: The images are in [-1, 1].
        weights: See the class.
        seed: Of random weights.

    Raises:
        MclirError: See the class.
    """
    if isinstance(features, nn.Module):
        return features.requires_grad_(False).eval()
    if features == 'vgg':
        return VGGFeatures(layers, vgg_type, use_input_norm, range_norm, weights, seed)
    source, _, net = features.partition('/')
    if source == 'lpips':
        return LPIPSFeatures(net or 'alex', range_norm, weights, seed)
    return NetworkFeatures(features, layers, use_input_norm, range_norm, weights, seed)
