"""DehazeFormer: a U-Net of window attention for single image dehazing."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from mclir_basicsr.archs.dehazeformer_blocks import Block, Mixer, WindowAttention, start_convs, window_padding
from mclir_basicsr.errors import MclirError

DOWNSCALE = 4  # the third stage sees the image at a quarter of its size
STAGES = 5
CONV_TYPES = ('DWConv', 'Conv', None)


class Variant(NamedTuple):
    """What sets the published variants apart; five entries, one per stage."""

    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]
    attn_ratio: tuple[float, ...]
    conv_type: tuple[str | None, ...]


_NARROW, _WIDE = (24, 48, 96, 48, 24), (48, 96, 192, 96, 48)
_QUARTERS = (1 / 4, 1 / 2, 3 / 4, 0, 0)
VARIANTS = {
    't': Variant(_NARROW, (4, 4, 4, 2, 2), (0, 1 / 2, 1, 0, 0), ('DWConv',) * 5),
    's': Variant(_NARROW, (8, 8, 8, 4, 4), _QUARTERS, ('DWConv',) * 5),
    'b': Variant(_NARROW, (16, 16, 16, 8, 8), _QUARTERS, ('DWConv',) * 5),
    'd': Variant(_NARROW, (32, 32, 32, 16, 16), _QUARTERS, ('DWConv',) * 5),
    'w': Variant(_WIDE, (16, 16, 16, 8, 8), _QUARTERS, ('DWConv',) * 5),
    'm': Variant(_NARROW, (12, 12, 12, 6, 6), _QUARTERS, ('Conv',) * 5),
    'l': Variant(_WIDE, (16, 16, 16, 12, 12), _QUARTERS, ('Conv',) * 5),
}


class StagePlan(NamedTuple):
    """One stage of the U.

    Attributes:
        width: Channels.
        depth: Blocks, at least 1.
        heads: Heads of the blocks that attend; divides width.
        mlp_ratio: Hidden channels of the MLPs over width.
        attn_ratio: Share of the blocks that attend, in [0, 1].
        conv: ``DWConv``, ``Conv``, or None where all blocks attend.
    """

    width: int
    depth: int
    heads: int
    mlp_ratio: float
    attn_ratio: float
    conv: str | None

    def attends(self, index: int) -> bool:
        """Whether the block of this index does: the last ones do."""
        return index >= self.depth - self.attn_ratio * self.depth

    def check(self) -> None:
        """Raise MclirError for values outside those above."""
        if self.depth < 1:
            raise MclirError(f'DehazeFormer: depths must be at least 1, but one is {self.depth}.')
        if not 0 <= self.attn_ratio <= 1:
            raise MclirError(f'DehazeFormer: attn_ratio must be in [0, 1], but one is {self.attn_ratio}.')
        if self.heads < 1 or self.width % self.heads:
            raise MclirError(
                f'DehazeFormer: each of embed_dims must be a multiple of its entry in num_heads, but {self.width} is '
                f'no multiple of {self.heads}.'
            )
        if self.conv not in CONV_TYPES or (self.conv is None and not self.attends(0)):
            raise MclirError(
                'DehazeFormer: conv_type must be DWConv, Conv, or null (~) where attn_ratio is 1, but one is '
                f'{self.conv!r} with an attn_ratio of {self.attn_ratio}.'
            )


class SKFusion(nn.Module):
    """Sum of two maps, weighted per channel by gates that come from the means of both; the two gates add up to 1.

    Args:
        dim: Channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        squeezed = max(dim // 8, 4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mlp = nn.Sequential(
            nn.Conv2d(dim, squeezed, 1, bias=False), nn.ReLU(), nn.Conv2d(squeezed, 2 * dim, 1, bias=False)
        )

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Fuse two maps (N, C, H, W); the same shape."""
        logits = self.mlp(self.pool(a + b))
        gates = rearrange(logits, 'n (maps c) h w -> maps n c h w', maps=2).softmax(0)
        return gates[0] * a + gates[1] * b


class DehazeFormer(nn.Module):
    """DehazeFormer: five stages of window attention in a U, and a soft reconstruction ``K x - B + x``.

    Source: Song et al., Vision Transformers for Single Image Dehazing, IEEE Transactions on Image Processing 32, 2023,
    https://arxiv.org/abs/2204.03883. Keys of the state dict are those of the published checkpoints
    (``param_key_g: state_dict``).

    An option file names a variant, ``network_g: {type: DehazeFormer, variant: t, normalize: true}``, or gives the
    lists. Sides need not be multiples of anything: the network continues the image itself, to multiples of 4. Do not
    pad to more, and do not cut into tiles: its norms take statistics over the whole image, so either changes the
    result everywhere. Train and eval mode are the same function.

    Args:
        in_chans: Channels of the images.
        out_chans: ``in_chans + 1``: one for K, the others for B.
        window_size: Side of an attention window, in pixels of the stage's map.
        embed_dims: Channels of the five stages, the same in the first and last and in the second and fourth. None
            (here and below) for those of the variant.
        mlp_ratios: Hidden channels of each stage's MLPs over its channels.
        depths: Blocks in each stage.
        num_heads: Attention heads in each stage.
        attn_ratio: Share of each stage's blocks that attend, in [0, 1]: the last ones.
        conv_type: Conv in each stage's blocks: ``DWConv``, ``Conv``, or None where all of them attend.
        variant: ``t``, ``s``, ``b``, ``d``, ``w``, ``m`` or ``l``: where lists that are not given come from.
        normalize: Take and give RGB in [0, 1]. The network works in [-1, 1], and without it so do its input and
            output. Adds nothing to the state dict.

    Attributes:
        min_side: Smallest height and width of an image (25 with windows of 8): below, some window has nothing to
            reflect.
        pad_multiple: 1: callers need not pad. Padding to multiples of the window would change the result.
        sees_whole_image: True: so would tiles.

    Raises:
        MclirError: Values outside these, or that do not go together.

    >>> import torch
    >>> DehazeFormer(variant='t', normalize=True)(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 3, 32, 32])
    """

    pad_multiple = 1
    sees_whole_image = True

    def __init__(
        self,
        in_chans: int = 3,
        out_chans: int = 4,
        window_size: int = 8,
        embed_dims: Sequence[int] | None = None,
        mlp_ratios: Sequence[float] = (2.0, 4.0, 4.0, 2.0, 2.0),
        depths: Sequence[int] | None = None,
        num_heads: Sequence[int] = (2, 4, 6, 1, 1),
        attn_ratio: Sequence[float] | None = None,
        conv_type: Sequence[str | None] | None = None,
        *,
        variant: str = 'b',
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise MclirError(f'DehazeFormer: variant must be one of {", ".join(VARIANTS)}, but is {variant!r}.')
        named = VARIANTS[variant]
        plans = _plan_stages(
            embed_dims=named.embed_dims if embed_dims is None else embed_dims,
            depths=named.depths if depths is None else depths,
            num_heads=num_heads,
            mlp_ratios=mlp_ratios,
            attn_ratio=named.attn_ratio if attn_ratio is None else attn_ratio,
            conv_type=named.conv_type if conv_type is None else conv_type,
        )
        _check_numbers(in_chans, out_chans, window_size, plans)
        self.normalize = normalize
        self.min_side = _min_side(window_size)
        self._build(in_chans, out_chans, plans, window_size)

    def _build(self, in_chans: int, out_chans: int, plans: Sequence[StagePlan], window: int) -> None:
        """Make the modules, in the order of the published state dict."""
        gain = (8 * sum(plan.depth for plan in plans)) ** -0.25
        stages = [_stage(plan, window, gain) for plan in plans]
        full, half, quarter = (plan.width for plan in plans[:3])
        self.patch_embed = _named_proj(_reflecting_conv(in_chans, full))
        self.layer1 = stages[0]
        self.patch_merge1 = _named_proj(nn.Conv2d(full, half, 2, stride=2))
        self.skip1 = nn.Conv2d(full, full, 1)
        self.layer2 = stages[1]
        self.patch_merge2 = _named_proj(nn.Conv2d(half, quarter, 2, stride=2))
        self.skip2 = nn.Conv2d(half, half, 1)
        self.layer3 = stages[2]
        self.patch_split1 = _named_proj(nn.Sequential(nn.Conv2d(quarter, 4 * half, 1), nn.PixelShuffle(2)))
        self.fusion1 = SKFusion(half)
        self.layer4 = stages[3]
        self.patch_split2 = _named_proj(nn.Sequential(nn.Conv2d(half, 4 * full, 1), nn.PixelShuffle(2)))
        self.fusion2 = SKFusion(full)
        self.layer5 = stages[4]
        self.patch_unembed = _named_proj(nn.Sequential(_reflecting_conv(full, out_chans)))

    def forward(self, x: Tensor) -> Tensor:
        """Dehaze images.

        Args:
            x: (N, in_chans, H, W), H and W at least ``min_side``: RGB in [-1, 1], or in [0, 1] with ``normalize``.

        Returns:
            The same shape and range once trained; not clamped.

        Raises:
            MclirError: A smaller image.
        """
        height, width = x.shape[-2:]
        if min(height, width) < self.min_side:
            raise MclirError(
                f'DehazeFormer: images must have at least {self.min_side} pixels in height and width, but got '
                f'{height}x{width} (height x width). Pad them, or train on larger crops (gt_size).'
            )
        if self.normalize:
            x = 2 * x - 1
        x = F.pad(x, (0, -width % DOWNSCALE, 0, -height % DOWNSCALE), mode='reflect')
        full = self.layer1(self.patch_embed(x))
        half = self.layer2(self.patch_merge1(full))
        deep = self.patch_split1(self.layer3(self.patch_merge2(half)))
        deep = self.layer4(self.fusion1(deep, self.skip2(half)) + deep)
        deep = self.patch_split2(deep)
        deep = self.layer5(self.fusion2(deep, self.skip1(full)) + deep)
        gain, offset = self.patch_unembed(deep).tensor_split([1], dim=1)
        out = (gain * x - offset + x)[..., :height, :width]
        return (out + 1) / 2 if self.normalize else out


def _reflecting_conv(channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, padding=1, padding_mode='reflect')


def _named_proj(module: nn.Module) -> nn.Module:
    """The module, under the key ``proj``."""
    return nn.Sequential(OrderedDict(proj=module))


def _stage(plan: StagePlan, window: int, gain: float) -> nn.Module:
    """Blocks in series under the key ``blocks``; every other one moves its windows by half a window."""
    blocks = nn.Sequential()
    for i in range(plan.depth):
        attention = None
        if plan.attends(i):
            attention = WindowAttention(plan.width, plan.heads, window, shift=i % 2 * (window // 2))
        block = Block(Mixer(plan.width, attention, plan.conv), plan.width, plan.mlp_ratio)
        start_convs(block, gain)
        blocks.append(block)
    return nn.Sequential(OrderedDict(blocks=blocks))


def _min_side(window: int) -> int:
    """Smallest side of an image from which on the deepest stage has enough to reflect into every window."""
    too_small = [
        side
        for side in range(1, window + 1)
        if any(max(window_padding(side, window, shift)) >= side for shift in (0, window // 2))
    ]
    return DOWNSCALE * max(too_small, default=0) + 1


def _plan_stages(**lists: Sequence[Any]) -> list[StagePlan]:
    """Turn lists with one entry per stage, in the order of StagePlan's fields, into stages."""
    for name, entries in lists.items():
        if len(entries) != STAGES:
            raise MclirError(f'DehazeFormer: {name} must have {STAGES} entries, one per stage, but is {entries!r}.')
    return [StagePlan(*entries) for entries in zip(*lists.values(), strict=True)]


def _check_numbers(in_chans: int, out_chans: int, window: int, plans: Sequence[StagePlan]) -> None:
    """Raise MclirError for numbers that make no network."""
    widths = [plan.width for plan in plans]
    if out_chans != in_chans + 1:
        raise MclirError(
            f'DehazeFormer: out_chans must be in_chans + 1 (one channel for K, the others for B), but in_chans is '
            f'{in_chans} and out_chans is {out_chans}.'
        )
    if window < 1:
        raise MclirError(f'DehazeFormer: window_size must be at least 1, but is {window}.')
    if widths[:2] != widths[:2:-1]:
        raise MclirError(
            'DehazeFormer: embed_dims must be the same in the first and last stage, and in the second and fourth, '
            f'whose maps are added, but is {widths}.'
        )
    for plan in plans:
        plan.check()
