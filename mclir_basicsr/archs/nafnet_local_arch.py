"""NAFNetLocal: NAFNet with test-time local statistics."""

from collections.abc import Sequence

from torch import nn

from mclir_basicsr.archs.local_statistics import use_local_statistics
from mclir_basicsr.errors import MclirError


def NAFNetLocal(  # noqa: N802  BasicSR looks networks up by name, and this is the published one
    img_channel: int = 3,
    width: int = 16,
    middle_blk_num: int = 1,
    enc_blk_nums: Sequence[int] = (),
    dec_blk_nums: Sequence[int] = (),
    train_size: Sequence[int] = (1, 3, 256, 256),
) -> nn.Module:
    """Make spandrel's NAFNet with the channel attention's global pooling made local.

    Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022, https://arxiv.org/abs/2204.04676; the
    local statistics are those of :func:`~mclir_basicsr.archs.local_statistics.use_local_statistics`. The network
    takes RGB in [0, 1], (N, img_channel, h, w) of any size, and gives the same shape, not clamped. State-dict keys are
    NAFNet's, and on images of the training size so is the output.

    It is a function, and not a class, since spandrel is needed only by those who build it.

    Args:
        img_channel: Channels of the images.
        width: Channels of the first level; doubled from level to level.
        middle_blk_num: Blocks at the lowest level.
        enc_blk_nums: Blocks of each level of the encoder, from the top.
        dec_blk_nums: Blocks of each level of the decoder, from the bottom; as many levels.
        train_size: Shape (N, img_channel, H, W) of the training patches.

    Returns:
        The network.

    Raises:
        MclirError: spandrel is not installed, the numbers of levels differ, or ``train_size`` does not fit.

    >>> NAFNetLocal(width=4, train_size=[1, 3, 16, 16]).statistics_window
    24
    """
    try:
        from spandrel.architectures.NAFNet import NAFNet
    except ImportError as error:
        raise MclirError(
            f'NAFNetLocal needs spandrel 0.4 or newer, which cannot be imported ({error}): pip install spandrel'
        ) from error
    if len(enc_blk_nums) != len(dec_blk_nums):
        raise MclirError(
            'NAFNetLocal: enc_blk_nums and dec_blk_nums must name as many levels, but are '
            f'{list(enc_blk_nums)} and {list(dec_blk_nums)}.'
        )
    if len(train_size) == 4 and train_size[1] != img_channel:
        raise MclirError(
            f'NAFNetLocal: the second number of train_size must be img_channel, which is {img_channel}, but '
            f'train_size is {list(train_size)}.'
        )
    net = NAFNet(
        img_channel=img_channel,
        width=width,
        middle_blk_num=middle_blk_num,
        enc_blk_nums=list(enc_blk_nums),
        dec_blk_nums=list(dec_blk_nums),
    )
    use_local_statistics(net, train_size)
    return net
