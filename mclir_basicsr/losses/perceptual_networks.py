"""The networks of LPIPS and DISTS, by torchmetrics.

torchmetrics' wheel carries what was fitted to human judgement; the networks below it are torchvision's, which downloads
them once.
"""

from collections.abc import Callable
from typing import Literal

from torch import nn

from mclir_basicsr.errors import MclirError
from mclir_basicsr.losses.features import imagenet_file
from mclir_basicsr.random_states import put_back

Net = Literal['alex', 'vgg', 'squeeze']

BACKBONES: dict[str, str] = {'alex': 'alexnet', 'vgg': 'vgg16', 'squeeze': 'squeezenet1_1'}
SMALLEST = {'alex': 31, 'vgg': 16, 'squeeze': 17}  # sides in pixels at which the last layer has something left


def lpips_network(net: str, needed_by: str) -> nn.Module:
    """LPIPS, version 0.1, frozen: ``network(images, others, normalize=True)`` gives (N, 1, 1, 1).

    Args:
        net: ``alex``, ``vgg`` or ``squeeze``.
        needed_by: What asks for it, for messages.

    Raises:
        MclirError: Another net, or a backbone that cannot be had.
    """
    check_net(net, needed_by)
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    def make() -> nn.Module:
        model: nn.Module = LearnedPerceptualImagePatchSimilarity(net_type=net).net  # type: ignore[arg-type]
        return model  # without the metric's running mean

    return _with_backbone(needed_by, BACKBONES[net], make)


def dists_network(needed_by: str) -> nn.Module:
    """DISTS, frozen: ``network(images, others, require_grad=True)`` gives (N,).

    Args:
        needed_by: What asks for it, for messages.

    Raises:
        MclirError: Its backbone cannot be had.
    """
    # torchmetrics' metric class would build it anew, from a file of 528 MB, for each image
    from torchmetrics.functional.image.dists import DISTSNetwork

    return _with_backbone(needed_by, 'vgg16', DISTSNetwork).eval().requires_grad_(False)


def check_net(net: str, needed_by: str) -> None:
    """Make sure that LPIPS has such a net.

    Raises:
        MclirError: It has not; the message lists those that there are.
    """
    if net not in BACKBONES:
        raise MclirError(f'net of {needed_by} must be one of {", ".join(BACKBONES)}, but is {net!r}.')


def _with_backbone(needed_by: str, backbone: str, make: Callable[[], nn.Module]) -> nn.Module:
    """Make a network without moving a random generator: torchvision draws weights before it loads them."""
    try:
        with put_back():
            return make()
    except Exception as error:  # no network, a proxy, a full disk, a damaged file: the way out is the same
        from torchvision.models import get_model_weights

        file = imagenet_file(backbone)
        raise MclirError(
            f'{needed_by} needs the ImageNet weights of {backbone}, which cannot be had: {error}. torchvision '
            f'downloads them to {file}. On a machine without a network put '
            f'{get_model_weights(backbone)["IMAGENET1K_V1"].url} there, or take {needed_by} out.'
        ) from error
