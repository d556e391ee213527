"""Distances between feature maps."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError

CRITERIA = ('l1', 'l2', 'fro')


def layer_distances(features: Mapping[str, Tensor], others: Mapping[str, Tensor], criterion: str) -> Tensor:
    """Distance of two sets of features in each layer: ``criterion(features_l, others_l)``, at least in float32.

    Args:
        features: Feature maps by layer name, any shape.
        others: The same layers and shapes.
        criterion: ``l1`` mean absolute difference, ``l2`` mean squared difference, ``fro`` Frobenius norm of the
            difference over the whole batch (as BasicSR's PerceptualLoss defines them).

    Returns:
        (L,), in the order of features.

    Raises:
        MclirError: An unknown criterion.
    """
    check_criterion(criterion)
    measures: dict[str, Any] = {'l1': F.l1_loss, 'l2': F.mse_loss, 'fro': torch.dist}
    measure = measures[criterion]
    return torch.stack([measure(precise(x), precise(others[name])) for name, x in features.items()])


def feature_distance(
    features: Mapping[str, Tensor], others: Mapping[str, Tensor], layer_weights: Mapping[str, float], criterion: str
) -> Tensor:
    """Weighted distance of two sets of features: ``sum_l w_l * criterion(features_l, others_l)``, in float32.

    Args:
        features: Feature maps by layer name, any shape.
        others: The same layers and shapes.
        layer_weights: Weight of each layer; its keys are the layers that count.
        criterion: ``l1``, ``l2`` or ``fro``, see :func:`layer_distances`.

    Returns:
        A scalar.

    Raises:
        MclirError: An unknown criterion.

    >>> feature_distance({'a': torch.ones(1, 8)}, {'a': torch.zeros(1, 8)}, {'a': 0.5}, 'l1')
    tensor(0.5000)
    """
    distances = layer_distances({name: features[name] for name in layer_weights}, others, criterion)
    terms = [weight * distance for weight, distance in zip(layer_weights.values(), distances, strict=True)]
    return torch.stack(terms).sum()


def precise(x: Tensor) -> Tensor:
    """The values in float32, or in float64 where they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def check_criterion(criterion: str) -> None:
    """Make sure that there is such a distance.

    Raises:
        MclirError: There is not.
    """
    if criterion not in CRITERIA:
        raise MclirError(f'criterion must be one of {", ".join(CRITERIA)}, but is {criterion!r}.')
