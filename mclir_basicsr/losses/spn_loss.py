"""Self-Prior guided Negative loss (SPN) of MCLIR."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.features import VGGFeatures

CRITERIA = ('l1', 'l2', 'fro')
DEFAULT_LAYER_WEIGHTS = {'relu1_2': 0.2, 'relu2_2': 0.3, 'relu3_3': 0.5}
PART = 2**16  # pixels that go through the VGG at a time: enough to fill a GPU, at 2 KB each for its activations


def feature_distance(
    features: Mapping[str, Tensor], others: Mapping[str, Tensor], layer_weights: Mapping[str, float], criterion: str
) -> Tensor:
    """Weighted distance of two sets of features: ``sum_l w_l * criterion(features_l, others_l)``, in float32.

    Args:
        features: Feature maps by layer name, any shape.
        others: The same layers and shapes.
        layer_weights: Weight of each layer; its keys are the layers that count.
        criterion: ``l1`` mean absolute difference, ``l2`` mean squared difference, ``fro`` Frobenius norm of the
            difference over the whole batch (as BasicSR's PerceptualLoss defines them).

    Returns:
        A scalar.

    Raises:
        MclirError: An unknown criterion.
    """
    if criterion not in CRITERIA:
        raise MclirError(f'criterion must be one of {", ".join(CRITERIA)}, but is {criterion!r}.')
    measures: dict[str, Any] = {'l1': F.l1_loss, 'l2': F.mse_loss, 'fro': torch.dist}
    measure = measures[criterion]
    terms = [weight * measure(features[name].float(), others[name].float()) for name, weight in layer_weights.items()]
    return torch.stack(terms).sum()


def gradient_ratio(spn: Tensor, reconstruction: Tensor, output: Tensor) -> Tensor:
    """Norm of the SPN term's gradient at the output over that of the reconstruction terms (0-d, no graph).

    Both graphs are kept, so that ``backward`` can follow. The gradient of :class:`SPNLoss` is known by then.
    """
    by_spn, by_reconstruction = (
        torch.autograd.grad(term, output, retain_graph=True)[0].float().norm() for term in (spn, reconstruction)
    )
    return by_spn / by_reconstruction


class SPNLoss(nn.Module):
    """Push the output of a network away from what its own past restored: ``-λ · mean_k d(output, negative_k)``.

    d is :func:`feature_distance` in a frozen VGG. The result is negative, is to be added to the reconstruction loss
    and has no lower bound: keep λ small (see ``spn_ratio`` in the log).

    The gradient is made along with the value, for a few images and one negative at a time, so that memory grows neither
    with the number of negatives nor, where the distance is a mean over images, with that of images.

    Source: Wu et al., Learning from History: Task-agnostic Model Contrastive Learning for Image Restoration,
    AAAI 2024, arXiv 2309.06023, the negative term of its loss; defaults are those of its published FFANet run.

    Args:
        loss_weight: λ, above 0.
        layer_weights: Weight of each VGG layer, by BasicSR's names; None for relu1_2 0.2, relu2_2 0.3, relu3_3 0.5.
        vgg_type: Any vgg of torchvision.
        criterion: ``l1``, ``l2`` or ``fro``.
        use_input_norm: Normalise images in [0, 1] with the ImageNet statistics.
        range_norm: The images are in [-1, 1].
        weights: ``imagenet``, ``oxford``, the path of a torchvision vgg state dict, or ``random``.
        seed: Seed of random weights.
        margin: Distance, of one negative, beyond which the output is pushed no further; None for no bound, as in the
            paper.

    Raises:
        MclirError: A value outside these, or VGG weights that cannot be had.

    >>> loss = SPNLoss(loss_weight=0.1, layer_weights={'relu1_1': 1.0}, weights='random')
    >>> output, negatives = torch.zeros(1, 3, 8, 8, requires_grad=True), torch.ones(2, 1, 3, 8, 8)
    >>> loss(output, negatives) < 0, loss(output, output.detach()[None]) == 0
    (tensor(True), tensor(True))
    """

    def __init__(
        self,
        loss_weight: float = 1e-3,
        layer_weights: Mapping[str, float] | None = None,
        vgg_type: str = 'vgg16',
        criterion: str = 'l1',
        use_input_norm: bool = True,
        range_norm: bool = False,
        weights: str = 'imagenet',
        seed: int = 0,
        margin: float | None = None,
    ) -> None:
        super().__init__()
        if not loss_weight > 0:
            raise MclirError(f'loss_weight must be above 0, but is {loss_weight}.')
        if criterion not in CRITERIA:
            raise MclirError(f'criterion must be one of {", ".join(CRITERIA)}, but is {criterion!r}.')
        if margin is not None and not margin > 0:
            raise MclirError(f'margin must be above 0, but is {margin}.')
        self.loss_weight = loss_weight
        self.margin = margin
        self.layer_weights = dict(DEFAULT_LAYER_WEIGHTS if layer_weights is None else layer_weights)
        self.criterion = criterion
        self.vgg = VGGFeatures(self.layer_weights, vgg_type, use_input_norm, range_norm, weights, seed)

    def forward(self, output: Tensor, negatives: Tensor) -> Tensor:
        """Compute ``l_spn``, to be added to the loss.

        Args:
            output: (N, C, H, W), C 3 or 1, in [0, 1]; of sequences (N, T, C, H, W), compared frame by frame.
            negatives: (K, N, C, H, W) or (K, N, T, C, H, W), what K negative models made of the same input.

        Returns:
            A scalar, at most 0, with a graph to ``output`` only.

        Raises:
            MclirError: The shapes do not go together.
        """
        if negatives.shape[1:] != output.shape or not len(negatives):
            raise MclirError(
                f'negatives must have the shape (K, *output.shape), K at least 1, but output is {tuple(output.shape)} '
                f'and negatives are {tuple(negatives.shape)}.'
            )
        if output.dim() == 5:
            output, negatives = output.flatten(0, 1), negatives.flatten(1, 2)
        # The VGG's activations are most of the memory of a step. With the gradient made at once, part by part, those of
        # one part are gone before the next begins; autograd alone would keep all of them until `backward`.
        total, gradients = output.new_zeros((), dtype=torch.float32), []
        wanted, count = torch.is_grad_enabled() and output.requires_grad, self._parts(output)
        for images, others in zip(output.tensor_split(count), negatives.tensor_split(count, dim=1), strict=True):
            share = len(images) / len(output)  # images (n, C, H, W), others (K, n, C, H, W)
            distance, gradient = self._compare(images.detach().requires_grad_(wanted), others)
            total += share * distance
            if gradient is not None:
                gradients.append(share * gradient)
        factor = -self.loss_weight / len(negatives)
        return factor * _KnownGradient.apply(total, torch.cat(gradients) if wanted else None, output)

    def _parts(self, output: Tensor) -> int:
        """In how many parts the images are compared; what is no mean over images is not divided."""
        if self.criterion == 'fro' or self.margin is not None:
            return 1
        return min(len(output), math.ceil(output[:, 0].numel() / PART))

    def _compare(self, part: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor | None]:
        """Sum of the distances of some images to each negative, and its gradient by the images if they ask for it."""
        features = self.vgg(part)  # (n, C_l, H_l, W_l) by layer
        # Distances end at copies cut off from the VGG: K of them add up there, and one pass goes back through it.
        leaves = {name: x.detach().float().requires_grad_(x.requires_grad) for name, x in features.items()}
        total = part.new_zeros((), dtype=torch.float32)
        for negative in negatives:
            distance = feature_distance(leaves, self._features_of(negative), self.layer_weights, self.criterion)
            if self.margin is not None:
                distance = distance.clamp(max=self.margin)
            if distance.requires_grad:
                distance.backward()
            total += distance.detach()
        if not part.requires_grad:
            return total, None
        return total, _backward(list(features.values()), [leaf.grad for leaf in leaves.values()], part)

    @torch.no_grad()
    def _features_of(self, negative: Tensor) -> dict[str, Tensor]:
        if negative.dtype == torch.float32:
            return self.vgg(negative)
        with torch.autocast(negative.device.type, negative.dtype):
            return self.vgg(negative)


def _backward(features: list[Tensor], by_features: list[Any], image: Tensor) -> Tensor:
    """Take the gradient by the features back to the image that they are of."""
    if any(x.dtype == torch.float16 for x in features):
        # One share of millions is below what fp16 holds. The largest becomes 2^-10, far from both of its ends.
        largest = torch.stack([gradient.abs().max() for gradient in by_features]).max()
        scale = 2**-10 / largest.clamp(min=torch.finfo(torch.float32).tiny)
        given = [(gradient * scale).to(x.dtype) for gradient, x in zip(by_features, features, strict=True)]
        return torch.autograd.grad(features, image, given)[0] / scale
    given = [gradient.to(x.dtype) for gradient, x in zip(by_features, features, strict=True)]
    return torch.autograd.grad(features, image, given)[0]


class _KnownGradient(torch.autograd.Function):
    """A value whose gradient by the output is known, as a node of autograd's graph."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradient: Tensor | None, output: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[None, None, Tensor]:
        (gradient,) = ctx.saved_tensors
        return None, None, by_value * gradient
