"""Networks that make several images, or an image among other things: which one is the restored image."""

from collections.abc import Mapping
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch import Tensor, nn
from torch.nn import functional as F

from mclir_basicsr.errors import MclirError


class Outputs:
    """Makes a network return the image that ``output`` of the option file says, and nothing else.

    So validation, negatives and whatever else calls the network see one image. Where it makes a list, as networks that
    are trained on intermediate images too, the pixel loss is the sum over all of them, against gt resized to theirs
    (MPRNet, Zamir et al., CVPR 2021, eq. 3; MIMO-UNet, Cho et al., ICCV 2021, eq. 8; NAFNet's code). Of a mapping, the
    one image counts.

    Args:
        which: Its place in the list, or its key.

    >>> net = nn.Conv2d(3, 3, 1)
    >>> net.register_forward_hook(lambda _, __, made: [made * 0, made])  # doctest: +ELLIPSIS
    <...>
    >>> Outputs(0).choose(net)
    >>> net(torch.rand(1, 3, 8, 8)).shape
    torch.Size([1, 3, 8, 8])
    """

    def __init__(self, which: int | str) -> None:
        self.which = which
        self._others: list[Tensor] = []  # of the last forward pass with a graph
        self._is_told = False

    def choose(self, net: nn.Module) -> None:
        """Let a network return the image alone.

        Args:
            net: Bare.
        """
        net.register_forward_hook(self._chosen)

    def sum_over_all(self, cri_pix: nn.Module) -> None:
        """Let a pixel loss of the image be the sum over all that the network made."""
        cri_pix.register_forward_hook(self._summed)

    def _chosen(self, net: nn.Module, _: Any, made: Any) -> Tensor:
        if isinstance(made, Tensor):
            raise MclirError(f'output is {self.which!r}, but {type(net).__name__} returns one image: take output out.')
        try:
            image = made[self.which]
        except (KeyError, IndexError, TypeError):
            image = None
        if not isinstance(image, Tensor):
            raise MclirError(f'output: {self.which!r} names no image of what network_g makes, {described(made)}.')
        if torch.is_grad_enabled():
            self._others = [] if isinstance(made, Mapping) else [each for each in made if each is not image]
        return image

    def _summed(self, cri_pix: nn.Module, given: tuple[Any, ...], loss: Tensor) -> Tensor:
        others, self._others = self._others, []  # so that their losses, below, are not summed over again
        if not others or len(given) < 2:
            return loss
        gt = given[1]
        strangers = [each for each in others if not isinstance(each, Tensor) or each.shape[:-2] != gt.shape[:-2]]
        if strangers:
            raise MclirError(
                f'network_g makes {described(strangers)} beside the restored image, which pixel_opt cannot compare '
                'with gt: let its forward return images alone, or a mapping, of which output names the restored one.'
            )
        if not self._is_told:
            self._is_told = True
            get_root_logger().info(f'train.pixel_opt is summed over {len(others) + 1} images of network_g.')
        return loss + sum(cri_pix(each.to(given[0].dtype), _like(gt, each), *given[2:]) for each in others)


def _like(gt: Tensor, image: Tensor) -> Tensor:
    """Gt at the size of an image."""
    if gt.shape[-2:] == image.shape[-2:]:
        return gt
    flat = gt.flatten(0, -4)  # (N, C, H, W), of sequences too
    return F.interpolate(flat, image.shape[-2:], mode='bilinear').view(image.shape)


def described(made: Any) -> str:
    """What a network makes, for a message.

    >>> described([torch.zeros(1, 3, 8, 8), None])
    'a list of 1x3x8x8 and NoneType'
    >>> described({'image': torch.zeros(1, 3, 8, 8)})
    'a dict of image: 1x3x8x8'
    """
    if isinstance(made, Tensor):
        return 'x'.join(map(str, made.shape))
    if isinstance(made, Mapping):
        return f'a {type(made).__name__} of ' + ' and '.join(f'{key}: {described(each)}' for key, each in made.items())
    if isinstance(made, (list, tuple)):
        return f'a {type(made).__name__} of ' + ' and '.join(map(described, made))
    return type(made).__name__


def image_of(made: Any) -> Tensor:
    """What a network without ``output`` makes.

    Raises:
        MclirError: It is not one image.
    """
    if not isinstance(made, Tensor):
        keys = list(made) if isinstance(made, Mapping) else [-1]
        raise MclirError(
            f'network_g makes {described(made)}: say which is the restored image by the key output at the top of the '
            f'option file, e.g. output: {keys[0]}' + ('.' if isinstance(made, Mapping) else ' for the last.')
        )
    return made
