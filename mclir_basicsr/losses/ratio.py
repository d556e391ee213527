"""The members of the contrastive family that are ratios: CR of AECR-Net, CCR of C2PNet."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.contrast import ContrastLoss, at_size_of, check_shapes
from mclir_basicsr.losses.distances import feature_distance, layer_distances
from mclir_basicsr.losses.streamed import Compared

RATIO_LAYER_WEIGHTS = {'relu1_1': 1 / 32, 'relu2_1': 1 / 16, 'relu3_1': 1 / 8, 'relu4_1': 1 / 4, 'relu5_1': 1.0}
EPS = 1e-7  # in the denominator of a ratio


class CRLoss(ContrastLoss):
    """Pull the output to gt, away from negatives: ``λ · Σ_l w_l · d_l(y, gt) / (mean_k d_l(y, n_k) + 1e-7)``.

    d_l is the distance in one layer of a frozen VGG. With the degraded input as the only negative, which is the
    published loss, the value lies around Σ w_l at the start and falls towards 0.

    The gradient is made along with the value, for a few images and one negative at a time, so that memory grows neither
    with the number of negatives nor, where the distance is a mean over images, with that of images.

    Source: Wu et al., Contrastive Learning for Compact Single Image Dehazing (AECR-Net), CVPR 2021, arXiv 2104.09367,
    equation 4; the mean over several negatives is ours.

    Args:
        loss_weight: λ, above 0.
        layer_weights: Weight of each VGG layer, by BasicSR's names; None for relu1_1 1/32, relu2_1 1/16, relu3_1 1/8,
            relu4_1 1/4, relu5_1 1.
        vgg_type: Any vgg of torchvision.
        criterion: ``l1``, ``l2`` or ``fro``.
        use_input_norm: Normalise images in [0, 1] with the ImageNet statistics; the paper does not.
        range_norm: The images are in [-1, 1].
        weights: ``imagenet``, ``oxford``, the path of a torchvision vgg state dict, or ``random``.
        seed: Seed of random weights.
        features: ``vgg``; ``torchvision/NAME`` or ``timm/NAME`` with nodes of its graph as layers; ``lpips/alex``,
            ``lpips/vgg`` or ``lpips/squeeze``, which has layers of its own; or a module that makes a dict of maps of an
            image.

    Raises:
        MclirError: A value outside these, or VGG weights that cannot be had.

    >>> loss = CRLoss(layer_weights={'relu1_1': 1.0}, weights='random')
    >>> gt, lq = torch.zeros(1, 3, 8, 8), torch.ones(1, 1, 3, 8, 8)
    >>> halfway = torch.full((1, 3, 8, 8), 0.5, requires_grad=True)
    >>> [round(loss(output, gt, lq).item(), 4) for output in (gt, halfway)]
    [0.0, 0.1]
    """

    def __init__(
        self,
        loss_weight: float = 0.1,
        layer_weights: Mapping[str, float] | None = None,
        vgg_type: str = 'vgg19',
        criterion: str = 'l1',
        use_input_norm: bool = False,
        range_norm: bool = False,
        weights: str = 'imagenet',
        seed: int = 0,
        features: str | nn.Module = 'vgg',
    ) -> None:
        shared = (vgg_type, criterion, use_input_norm, range_norm, weights, seed, features)
        super().__init__(loss_weight, layer_weights, *shared, RATIO_LAYER_WEIGHTS)

    def forward(self, output: Tensor, gt: Tensor, negatives: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            output: (N, C, H, W), C 3 or 1, in [0, 1].
            gt: The same shape.
            negatives: (K, N, C, H, W), what K negatives are of the same images.

        Returns:
            A scalar, at least 0, with a graph to ``output`` only.

        Raises:
            MclirError: The shapes do not go together.
        """
        check_shapes(output, negatives, gt)
        return self._ratio(output, gt, [Compared(negatives, [1 / len(negatives)] * len(negatives))])

    def _ratio(self, output: Tensor, gt: Tensor, negatives: Sequence[Compared]) -> Tensor:
        """Weighted sum over layers of the distance to gt over those to all groups of negatives."""
        per_layer = [1.0] if self.is_lpips else [*self.layer_weights.values()]
        layer_weights = torch.tensor(per_layer, device=output.device)

        def form(sums: Tensor) -> Tensor:  # (1 + G, L)
            return self.loss_weight * (layer_weights * sums[0] / (sums[1:].sum(0) + EPS)).sum()

        def measure(features: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Tensor:
            if self.is_lpips:  # the distance is the sum
                return feature_distance(features, others, self.layer_weights, self.criterion)[None]
            return layer_distances(features, others, self.criterion)

        return self._streamed(output, [Compared(gt[None], [1.0]), *negatives], measure, form, linear=False)


class CCRLoss(CRLoss):
    """Contrast with negatives of known difficulty, the easy ones first: ``λ · Σ_l w_l · d_l(y, gt) / D_l``.

    ``D_l = Σ_j v_j d_l(y, n_j) + v_0 d_l(y, x) + 1e-7``, x the degraded input. A negative counts as easy once the best
    PSNR that the network has reached exceeds the negative's: v_j is then 1 + γ, before it 1 - γ; v_0 is the number of
    negatives. All v are divided by their sum.

    Source: Zheng et al., Curricular Contrastive Regularization for Physics-aware Single Image Dehazing (C2PNet), CVPR
    2023, arXiv 2303.14218, equations 8 to 10.

    Args:
        difficulties: PSNR in dB of what each negative network restores, one for each negative.
        gamma: γ, in [0, 1).
        loss_weight: λ, above 0.
        layer_weights: As of :class:`CRLoss`, and so are all that follow.
        vgg_type: Any vgg of torchvision.
        criterion: ``l1``, ``l2`` or ``fro``.
        use_input_norm: Normalise images in [0, 1] with the ImageNet statistics; the paper does not.
        range_norm: The images are in [-1, 1].
        weights: ``imagenet``, ``oxford``, the path of a torchvision vgg state dict, or ``random``.
        seed: Seed of random weights.
        features: ``vgg``; ``torchvision/NAME`` or ``timm/NAME`` with nodes of its graph as layers; ``lpips/alex``,
            ``lpips/vgg`` or ``lpips/squeeze``, which has layers of its own; or a module that makes a dict of maps of an
            image.

    Attributes:
        best_psnr: The best PSNR in dB that the network has reached so far; 0 at first. It is for the training to set.

    Raises:
        MclirError: A value outside these, or VGG weights that cannot be had.

    >>> loss = CCRLoss([20.0, 30.0], layer_weights={'relu1_1': 1.0}, weights='random')
    >>> loss.best_psnr = 25.0
    >>> [round(v, 4) for v in loss.curriculum()]
    [0.3125, 0.1875, 0.5]
    >>> loss(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), torch.rand(2, 1, 3, 8, 8), torch.rand(1, 3, 4, 4)).shape
    torch.Size([])
    """

    def __init__(
        self,
        difficulties: Sequence[float],
        gamma: float = 0.25,
        loss_weight: float = 0.2,
        layer_weights: Mapping[str, float] | None = None,
        vgg_type: str = 'vgg19',
        criterion: str = 'l1',
        use_input_norm: bool = False,
        range_norm: bool = False,
        weights: str = 'imagenet',
        seed: int = 0,
        features: str | nn.Module = 'vgg',
    ) -> None:
        if not difficulties:
            raise MclirError('difficulties is empty: give the PSNR of each negative.')
        if not 0 <= gamma < 1:
            raise MclirError(f'gamma must be at least 0 and below 1, but is {gamma}.')
        shared = (vgg_type, criterion, use_input_norm, range_norm, weights, seed, features)
        super().__init__(loss_weight, layer_weights, *shared)
        self.difficulties = [float(psnr) for psnr in difficulties]
        self.gamma = gamma
        self.best_psnr = 0.0

    def curriculum(self) -> list[float]:
        """Weights of the negatives and, last, of the degraded input; their sum is 1."""
        of_negatives = [1 + (self.gamma if self.best_psnr > psnr else -self.gamma) for psnr in self.difficulties]
        raw = [*of_negatives, float(len(of_negatives))]
        return [weight / sum(raw) for weight in raw]

    def forward(self, output: Tensor, gt: Tensor, negatives: Tensor, lq: Tensor) -> Tensor:  # type: ignore[override]
        """Compute the loss.

        Args:
            output: (N, C, H, W), C 3 or 1, in [0, 1].
            gt: The same shape.
            negatives: (K, N, C, H, W), what the K networks of ``difficulties`` restore of the same images.
            lq: (N, C, h, w), the degraded input; it is brought to the size of the output.

        Returns:
            A scalar, at least 0, with a graph to ``output`` only.

        Raises:
            MclirError: The shapes do not go together.
        """
        check_shapes(output, negatives, gt)
        if len(negatives) != len(self.difficulties):
            raise MclirError(f'difficulties are {len(self.difficulties)}, but there are {len(negatives)} negatives.')
        *of_negatives, of_input = self.curriculum()
        degraded = at_size_of(output, lq)
        check_shapes(output, degraded[None])
        return self._ratio(output, gt, [Compared(negatives, of_negatives), Compared(degraded[None], [of_input])])
