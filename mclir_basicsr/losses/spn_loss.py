"""Self-Prior guided Negative loss (SPN) of MCLIR."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.contrast import ContrastLoss, check_shapes
from mclir_basicsr.losses.distances import CRITERIA, feature_distance
from mclir_basicsr.losses.streamed import Compared

__all__ = ['CRITERIA', 'DEFAULT_LAYER_WEIGHTS', 'SPNLoss', 'feature_distance', 'gradient_ratio']

DEFAULT_LAYER_WEIGHTS = {'relu1_2': 0.2, 'relu2_2': 0.3, 'relu3_3': 0.5}


def gradient_ratio(spn: Tensor, reconstruction: Tensor, output: Tensor) -> Tensor:
    """Norm of the SPN term's gradient at the output over that of the reconstruction terms (0-d, no graph).

    Both graphs are kept, so that ``backward`` can follow. The gradient of :class:`SPNLoss` is known by then.

    >>> output = torch.ones(4, requires_grad=True)
    >>> gradient_ratio(spn=0.02 * output.sum(), reconstruction=output.sum(), output=output)
    tensor(0.0200)
    """
    by_spn, by_reconstruction = (
        torch.autograd.grad(term, output, retain_graph=True)[0].float().norm() for term in (spn, reconstruction)
    )
    return by_spn / by_reconstruction


class SPNLoss(ContrastLoss):
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
        features: ``vgg``; ``torchvision/NAME`` or ``timm/NAME`` with nodes of its graph as layers; ``lpips/alex``,
            ``lpips/vgg`` or ``lpips/squeeze``, which has layers of its own; or a module that makes a dict of maps of an
            image.

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
        features: str | nn.Module = 'vgg',
    ) -> None:
        if margin is not None and not margin > 0:
            raise MclirError(f'margin must be above 0, but is {margin}.')
        shared = (vgg_type, criterion, use_input_norm, range_norm, weights, seed, features)
        super().__init__(loss_weight, layer_weights, *shared, DEFAULT_LAYER_WEIGHTS)
        self.margin = margin

    @property
    def vgg(self) -> nn.Module:
        """The feature network, by its first name."""
        return self.features

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
        check_shapes(output, negatives)

        def form(sums: Tensor) -> Tensor:  # (1, 1)
            return -self.loss_weight * sums.sum()

        negative = Compared(negatives, [1 / len(negatives)] * len(negatives))
        # A margin bounds the distance of the whole batch, which is not the mean of bounded ones.
        return self._streamed(output, [negative], self._measure, form, linear=True, divisible=self.margin is None)

    def _measure(self, features: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Tensor:
        distance = feature_distance(features, others, self.layer_weights, self.criterion)
        return (distance if self.margin is None else distance.clamp(max=self.margin))[None]  # (1,)
