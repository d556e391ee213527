"""A function of distances between features, its gradient made along with it, a few images at a time.

The activations of a feature network are most of the memory of a step. With the gradient made at once, part by part,
those of one part are gone before the next begins; autograd alone would keep all of them until ``backward``.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.distances import precise

PART = 2**16  # pixels that go through the VGG at a time: enough to fill a GPU, at 2 KB each for its activations

Measure = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]
"""Distances of two sets of features, (D,): D is the number of layers, or 1 for all of them together."""

Form = Callable[[Tensor], Tensor]
"""What a loss makes of its sums of distances, (G, D) to a scalar."""


class Compared(NamedTuple):
    """Images whose distances to the output are added up, each with its weight.

    Attributes:
        images: (M, N, C, H, W).
        weights: M numbers.
    """

    images: Tensor
    weights: Sequence[float]


def streamed(
    output: Tensor,
    groups: Sequence[Compared],
    features: nn.Module,
    layers: Iterable[str],
    measure: Measure,
    form: Form,
    *,
    divisible: bool,
    linear: bool,
) -> Tensor:
    """A loss of the distances of an output to G groups of images.

    A linear form has the same slope everywhere, so that one pass over the parts makes its gradient. The slope of
    another one is known only when the distances of all parts are. They are then measured ahead, without a graph, for
    all parts but the last, which is never done twice: a batch of one part costs no more than with a linear form.
    Measured against what keeps memory flat otherwise: a gradient for each layer and group at the output's size takes
    2 L backward passes and 2 L images of memory for each image; maps of features kept for each image 1 KB a pixel.

    Args:
        output: (N, C, H, W), or sequences (N, T, C, H, W), of which the groups then have the shape, too.
        groups: G of them.
        features: What the images are compared by: (n, C, H, W) to feature maps by name.
        layers: Names of the maps that are compared. Where D is their number, in the order of the distances.
        measure: The distances of some images to as many others.
        form: The loss, of the sums of distances (G, D).
        divisible: Whether a distance is a mean over images; otherwise they are compared all at once.
        linear: Whether the form is.

    Returns:
        A scalar, at least in float32, with a graph to output only, which can be differentiated once.
    """
    if output.dim() == 5:  # sequences, frame by frame
        output = output.flatten(0, 1)  # (N * T, C, H, W)
        groups = [Compared(group.images.flatten(1, 2), group.weights) for group in groups]
    chosen = _Chosen(features, tuple(layers))
    wanted = torch.is_grad_enabled() and output.requires_grad
    count = min(len(output), math.ceil(output[:, 0].numel() / PART)) if divisible else 1
    cut = [output.tensor_split(count), *(group.images.tensor_split(count, dim=1) for group in groups)]
    parts = [
        (len(images) / len(output), images, [Compared(x, g.weights) for x, g in zip(others, groups, strict=True)])
        for images, *others in zip(*cut, strict=True)
    ]
    ahead = parts[:-1] if wanted and not linear else []
    sums: Any = 0.0
    with torch.no_grad():
        for share, images, others in ahead:
            sums = sums + share * _Part(images, others, chosen, measure, output.dtype).sums
    gradients: list[Tensor] = []
    slope = None
    for share, images, others in reversed(parts):
        part = _Part(precise(images.detach()).requires_grad_(wanted), others, chosen, measure, output.dtype)
        if slope is None or linear:
            sums = sums + share * part.sums  # (G, D)
        if wanted:
            slope = _slope(form, sums) if slope is None else slope
            gradients.append(share * part.gradient(slope))
    with torch.no_grad():
        value = form(sums)
    if not wanted:
        return value
    return _KnownGradient.apply(value, torch.cat(gradients[::-1]), output, output[:0].sum())


def _slope(form: Form, sums: Tensor) -> Tensor:
    at = sums.detach().requires_grad_()
    return torch.autograd.grad(form(at), at)[0]


class _Chosen(NamedTuple):
    """The maps that count, in their order."""

    network: nn.Module
    layers: tuple[str, ...]

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        found = self.network(images)
        missing = [name for name in self.layers if name not in found]
        if missing:
            raise MclirError(f'The features have no {", ".join(missing)}, but {", ".join(found)}: see layer_weights.')
        return {name: found[name] for name in self.layers}


class _Part:
    """Some images (n, C, H, W), compared with as many of each of the others.

    Attributes:
        sums: Of the distances, (G, D).
    """

    def __init__(
        self, images: Tensor, groups: list[Compared], features: '_Chosen', measure: Measure, dtype: torch.dtype
    ) -> None:
        """Images of an output that is in dtype."""
        self._images = images
        maps = features(images)  # (n, C_l, H_l, W_l) by layer
        self._maps = list(maps.values())
        self._by_maps, sums = [], []
        for group in groups:
            # Distances end at copies cut off from the network: all of a group add up there, and one pass goes back
            # through it.
            leaves = {name: precise(x.detach()).requires_grad_(x.requires_grad) for name, x in maps.items()}
            total = precise(images).new_zeros(())
            for other, weight in zip(group.images, group.weights, strict=True):
                distances = weight * measure(leaves, _features_of(other, features, dtype))
                if distances.requires_grad:
                    distances.sum().backward()
                total = total + distances.detach()
            sums.append(total)
            self._by_maps.append([leaf.grad for leaf in leaves.values()])
        self.sums = torch.stack(sums)

    def gradient(self, slope: Tensor) -> Tensor:
        """Of the form by the images, at least in float32.

        Args:
            slope: Gradient of the form by the sums, (G, D).
        """
        if slope.numel() == 1:
            return slope[0] * self._back(self._by_maps[0])
        by_layer = slope.expand(-1, len(self._maps)).T  # (L, G)
        by_maps = zip(*self._by_maps, strict=True)  # by layer, of each group
        return self._back([_combined(*pair) for pair in zip(by_maps, by_layer, strict=True)])

    def _back(self, by_maps: Sequence[Any]) -> Tensor:
        """Take the gradient by the features back to the images that they are of."""
        maps = self._maps
        if any(x.dtype == torch.float16 for x in maps):
            # One share of millions is below what fp16 holds. The largest becomes 2^-10, far from both of its ends.
            largest = torch.stack([gradient.abs().max() for gradient in by_maps]).max()
            scale = 2**-10 / largest.clamp(min=torch.finfo(torch.float32).tiny)
            given = [(gradient * scale).to(x.dtype) for gradient, x in zip(by_maps, maps, strict=True)]
            return torch.autograd.grad(maps, self._images, given)[0] / scale
        given = [gradient.to(x.dtype) for gradient, x in zip(by_maps, maps, strict=True)]
        return torch.autograd.grad(maps, self._images, given)[0]


def _combined(by_groups: Sequence[Any], slopes: Tensor) -> Tensor:
    """Gradients of all groups by one map, each with its slope, in the place of the first."""
    first, *others = by_groups
    first.mul_(slopes[0])
    for other, slope in zip(others, slopes[1:], strict=True):
        first.addcmul_(other, slope)
    return first


@torch.no_grad()
def _features_of(image: Tensor, features: '_Chosen', dtype: torch.dtype) -> Any:
    """As those of the output, or in the precision of the image where that was chosen to be lower."""
    if image.dtype == dtype or image.dtype not in (torch.float16, torch.bfloat16):
        return features(image)
    with torch.autocast(image.device.type, image.dtype):
        return features(image)


class _KnownGradient(torch.autograd.Function):
    """A value whose gradient by the output is known, as a node of autograd's graph."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradient: Tensor, output: Tensor, link: Tensor) -> Tensor:
        ctx.save_for_backward(gradient, link)  # link: an empty sum of the output, which nobody overwrites
        ctx.dtype = output.dtype
        return value

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[None, None, Tensor, None]:
        gradient, link = ctx.saved_tensors
        if torch.is_grad_enabled():  # the graph of the gradient is asked for
            gradient = _Once.apply(gradient, link)
        # In float32 up to here: what a loss scale has not lifted yet, fp16 would round to nothing.
        return None, None, (by_value * gradient).to(ctx.dtype), None


class _Once(torch.autograd.Function):
    """The gradient, which has no derivative by the output: who asks for one would get 0 otherwise, in silence."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, link: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *_: Any) -> None:
        raise MclirError(
            'The losses of the contrastive family (SPNLoss, CRLoss, CCRLoss) can be differentiated once: their '
            'gradient is made along with their value and has no graph, so a second derivative (create_graph=True, '
            'gradient penalties, Hessians) cannot contain them. Take it of the other terms alone.'
        )
