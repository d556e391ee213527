"""FFA-Net: feature fusion attention network for single image dehazing."""

import torch
from einops import rearrange
from torch import Tensor, nn

from mclir_basicsr.errors import MclirError

GROUPS = 3
CHANNELS = 64
SQUEEZED = 8  # channels inside the attention of blocks and of the whole network
HAZY_MEAN = (0.64, 0.60, 0.58)
HAZY_STD = (0.14, 0.15, 0.152)


def _conv3x3(channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, padding=1)


def _gate(channels: int, squeezed: int, gates: int) -> list[nn.Module]:
    """Layers that make gates in (0, 1) out of channels."""
    return [nn.Conv2d(channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, gates, 1), nn.Sigmoid()]


class ChannelAttention(nn.Module):
    """Weight each channel of (N, 64, H, W) by a gate that comes from the means of all channels; same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.ca = nn.Sequential(*_gate(CHANNELS, SQUEEZED, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        """Attend to channels: (N, 64, H, W), same shape out."""
        return x * self.ca(self.pool(x))


class PixelAttention(nn.Module):
    """Weight each pixel of (N, 64, H, W) by a gate that comes from its own channels; same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.pa = nn.Sequential(*_gate(CHANNELS, SQUEEZED, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Attend to pixels: (N, 64, H, W), same shape out."""
        return x * self.pa(x)


class AttentionBlock(nn.Module):
    """Residual block with an inner skip and both attentions, channels first; (N, 64, H, W), same shape out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv3x3(CHANNELS, CHANNELS)
        self.conv2 = _conv3x3(CHANNELS, CHANNELS)
        self.calayer = ChannelAttention()
        self.palayer = PixelAttention()

    def forward(self, x: Tensor) -> Tensor:
        """Run the block: (N, 64, H, W), same shape out."""
        inner = self.conv1(x).relu() + x
        return self.palayer(self.calayer(self.conv2(inner))) + x


class Group(nn.Module):
    """Attention blocks and a conv in series, with a skip around them; (N, 64, H, W), same shape out."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.gp = nn.Sequential(*(AttentionBlock() for _ in range(blocks)), _conv3x3(CHANNELS, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        """Run the group: (N, 64, H, W), same shape out."""
        return self.gp(x) + x


class FFANet(nn.Module):
    """FFA-Net: three groups of attention blocks at full resolution, their outputs fused by channel attention.

    Source: Qin et al., FFA-Net: Feature Fusion Attention Network for Single Image Dehazing, AAAI 2020,
    https://arxiv.org/abs/1911.07559. Keys of the state dict are those of the published checkpoints
    (``its_train_ffa_3_19.pk``, ``ots_train_ffa_3_19.pk``; ``param_key_g: model``). Convolutions start as PyTorch
    starts them.

    Any image size works. The channel attentions take means over the whole image, so tiles change the result
    (``use_local_statistics`` makes the means local). Train and eval mode are the same function.

    Args:
        gps: Number of groups; only 3 exists.
        blocks: Attention blocks in each group, at least 1; the published checkpoints have 19.
        normalize: Take RGB in [0, 1] and normalise it inside with the mean and standard deviation of hazy images that
            the authors used. They did so outside: without it the input must be normalised already. The output is RGB
            in [0, 1] either way (the network learns to undo it). Adds nothing to the state dict.

    Raises:
        MclirError: Other values of gps or blocks.

    >>> FFANet(blocks=1, normalize=True)(torch.rand(1, 3, 8, 8)).shape
    torch.Size([1, 3, 8, 8])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, gps: int = GROUPS, blocks: int = 19, *, normalize: bool = False) -> None:
        super().__init__()
        if gps != GROUPS:
            raise MclirError(f'FFANet: gps must be {GROUPS} (the network has no other form), but is {gps}.')
        if blocks < 1:
            raise MclirError(f'FFANet: blocks must be at least 1, but is {blocks}.')
        self.normalize = normalize
        self.g1 = Group(blocks)
        self.g2 = Group(blocks)
        self.g3 = Group(blocks)
        fused = GROUPS * CHANNELS
        self.ca = nn.Sequential(nn.AdaptiveAvgPool2d(1), *_gate(fused, CHANNELS // 16, fused))
        self.palayer = PixelAttention()
        self.pre = nn.Sequential(_conv3x3(3, CHANNELS))
        self.post = nn.Sequential(_conv3x3(CHANNELS, CHANNELS), _conv3x3(CHANNELS, 3))
        if normalize:
            self.register_buffer('mean', torch.tensor(HAZY_MEAN).view(1, 3, 1, 1), persistent=False)
            self.register_buffer('std', torch.tensor(HAZY_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Dehaze images.

        Args:
            x: (N, 3, H, W), H and W at least 1: RGB in [0, 1] with ``normalize``, otherwise normalised RGB.

        Returns:
            (N, 3, H, W), RGB in [0, 1] once trained; not clamped.
        """
        if self.normalize:
            x = (x - self.mean) / self.std
        first = self.g1(self.pre(x))
        second = self.g2(first)
        groups = [first, second, self.g3(second)]
        weights = rearrange(self.ca(torch.cat(groups, 1)), 'n (g c) h w -> g n c h w', g=GROUPS)
        fused = weights[0] * groups[0] + weights[1] * groups[1] + weights[2] * groups[2]
        return self.post(self.palayer(fused)) + x
