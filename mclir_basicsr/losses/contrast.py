"""The contrastive family: features, what is made of the distances in them, and negatives.

Each member compares the output of a network with images that it is to be like (gt) or unlike (negatives), in frozen
features. Differences are of :class:`~mclir_basicsr.losses.spn_loss.SPNLoss`, ratios of the classes of ratio.py.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.distances import check_criterion
from mclir_basicsr.losses.networks import LPIPSFeatures, make_features
from mclir_basicsr.losses.streamed import Compared, Form, Measure, streamed


class ContrastLoss(nn.Module):
    """What the members share: frozen features, a distance in them, a weight.

    Attributes:
        features: The feature network.
        loss_weight: λ; it may be changed between steps.
    """

    def __init__(
        self,
        loss_weight: float,
        layer_weights: Mapping[str, float] | None,
        vgg_type: str,
        criterion: str,
        use_input_norm: bool,
        range_norm: bool,
        weights: str,
        seed: int,
        features: str | nn.Module,
        default_layers: Mapping[str, float],
    ) -> None:
        super().__init__()
        if not loss_weight > 0:
            raise MclirError(f'loss_weight must be above 0, but is {loss_weight}.')
        check_criterion(criterion)
        self.loss_weight = loss_weight
        chosen = default_layers if layer_weights is None and features == 'vgg' else layer_weights
        self.layer_weights = dict(chosen or {})
        self.criterion = criterion
        self.features = make_features(features, self.layer_weights, vgg_type, use_input_norm, range_norm, weights, seed)
        self.is_lpips = isinstance(self.features, LPIPSFeatures)
        if isinstance(self.features, LPIPSFeatures):
            if self.layer_weights or criterion != 'l1':
                raise MclirError('lpips has layers and a distance of its own: take layer_weights and criterion out.')
            self.layer_weights, self.criterion = dict.fromkeys(self.features.layers, 1.0), 'l2'
        if not self.layer_weights:
            raise MclirError('layer_weights is empty: name at least one layer of the features')

    def _streamed(
        self,
        output: Tensor,
        groups: Sequence[Compared],
        measure: Measure,
        form: Form,
        *,
        linear: bool,
        divisible: bool = True,
    ) -> Tensor:
        """The loss, see :func:`~mclir_basicsr.losses.streamed.streamed`; a Frobenius norm is no mean over images."""
        divisible = divisible and self.criterion != 'fro'
        parts = {'divisible': divisible, 'linear': linear}
        return streamed(output, groups, self.features, self.layer_weights, measure, form, **parts)


def at_size_of(output: Tensor, lq: Tensor) -> Tensor:
    """The degraded input (N, C, h, w) at the size of an output (N, C, H, W), by bicubic interpolation.

    The kernel is the one with a = -0.5 (Keys, 1981), that of MATLAB and Pillow, by which lq is usually made.
    """
    if lq.shape[-2:] == output.shape[-2:]:
        return lq
    size = output.shape[-2:]
    return F.interpolate(lq.float(), size, mode='bicubic', align_corners=False, antialias=True).to(lq.dtype)


def check_shapes(output: Tensor, negatives: Tensor, gt: Tensor | None = None) -> None:
    """Make sure that output, negatives and gt can be compared.

    Raises:
        MclirError: They cannot.
    """
    if negatives.shape[1:] != output.shape or not len(negatives):
        raise MclirError(
            f'negatives must have the shape (K, *output.shape), K at least 1, but output is {tuple(output.shape)} '
            f'and negatives are {tuple(negatives.shape)}.'
        )
    if gt is not None and gt.shape != output.shape:
        raise MclirError(f'gt must be as output, but output is {tuple(output.shape)} and gt is {tuple(gt.shape)}.')
