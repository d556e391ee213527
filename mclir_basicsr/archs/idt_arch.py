"""IDT, the Image De-raining Transformer."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from mclir_basicsr.archs.idt_blocks import PATCH, Attention, SpatialBlock, WindowBlock
from mclir_basicsr.errors import MclirError
from mclir_basicsr.inference import FixedTile

WINDOW_BLOCKS = (3, 3, 2, 2, 1, 1, 2, 2, 3)  # of each stage: four of the encoder, the bottleneck, four of the decoder
BOTTLE = 4  # which stage the bottleneck is
WINDOW_REACH = 8  # of the window blocks' attention, whatever win_size is
PUBLISHED_OVERLAP = 20  # of the tiles of the published results
SPATIAL_REACH = 16  # of the spatial blocks' attention at the first stage, halved from stage to stage


class StagePlan(NamedTuple):
    """One stage of the U.

    Attributes:
        level: How often the image was halved: 0 to 4.
        resolution: Side of the map.
        channels: Channels of the map.
        heads: Heads, in both kinds of blocks.
        window: Side of a window of the window blocks.
        window_blocks: How many of them.
        window_drop: Their drop path rate.
        spatial_drop: Drop path rate of the spatial block; None where there is none.
    """

    level: int
    resolution: int
    channels: int
    heads: int
    window: int
    window_blocks: int
    window_drop: float
    spatial_drop: float | None


class Stage(nn.Module):
    """Window blocks, and then (but for the bottleneck) one spatial block.

    Args:
        plan: Sizes and rates.
        mlp_ratio: Hidden by input channels of the LeFF.
        qkv_bias: See :class:`Attention`.
        qk_scale: See :class:`Attention`.
    """

    def __init__(self, plan: StagePlan, mlp_ratio: float, qkv_bias: bool, qk_scale: float | None) -> None:
        super().__init__()
        width = plan.channels
        self.blocks = nn.Sequential()
        for _ in range(plan.window_blocks):
            attn = Attention(width, plan.window, plan.heads, WINDOW_REACH, qkv_bias, qk_scale)
            self.blocks.append(WindowBlock(width, attn, int(width * mlp_ratio), plan.window_drop))
        if plan.spatial_drop is not None:
            # The reach fits img_size 128 and stays the same for others; the hidden channels go by the window's pixels,
            # not by the map's width.
            side, reach = plan.resolution // PATCH, SPATIAL_REACH >> plan.level
            attn = Attention(PATCH**2, side, plan.heads, reach, qkv_bias, qk_scale)
            self.blocks.append(SpatialBlock(width, attn, int(PATCH**2 * mlp_ratio), plan.spatial_drop))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, H) to (B, C, H, H)."""
        return rearrange(self.blocks(rearrange(x, 'b c h w -> b h w c')), 'b h w c -> b c h w')


class IDT(nn.Module):
    """Image De-raining Transformer: a U-Net of window attention and of attention between windows, for square images.

    Xiao, Fu, Liu, Wu, Zha, "Image De-raining Transformer", IEEE TPAMI 2022,
    https://ieeexplore.ieee.org/document/9798773. State-dict keys are those of the published weights (their file has
    ``module.`` before each, which BasicSR strips; ``param_key_g: ~``), which need ``img_size`` 128. HistoryModel
    validates larger images in tiles, by the attribute ``tiling``.

    Args:
        img_size: Side S of the images, the only size that the network takes. With ``win_size`` 8: 64 or a multiple
            of 128.
        in_chans: Channels of the images.
        embed_dim: Channels of the first stage.
        depths: For each of the nine stages, how many drop path rates are dealt to it. Nothing else: the number of
            blocks is fixed.
        num_heads: Heads of each stage. Each divides the stage's channels (``embed_dim`` times 1, 2, 4, 8, 16, 16, 8,
            4, 2) and, but for the bottleneck (the fifth), 64.
        win_size: Side of the windows of the window blocks; smaller maps are one window.
        mlp_ratio: Hidden by input channels of the feed-forward parts.
        qkv_bias: Give the attention's input projections a bias.
        qk_scale: Factor on the attention's logits; None for one by the square root of a head's channels.
        drop_path_rate: Highest drop path rate, in [0, 1); it grows towards the bottleneck. Above 0, training mode is
            random.

    Raises:
        MclirError: Values outside these ranges.

    >>> net = IDT(img_size=64, embed_dim=8, num_heads=(1,) * 9)
    >>> net(torch.rand(1, 3, 64, 64)).shape, net.tiling.size
    (torch.Size([1, 3, 64, 64]), 64)
    """

    def __init__(
        self,
        img_size: int = 128,
        in_chans: int = 3,
        embed_dim: int = 32,
        depths: Sequence[int] = (3, 3, 2, 2, 1, 1, 2, 2, 3),
        num_heads: Sequence[int] = (1, 2, 4, 8, 16, 16, 8, 4, 2),
        win_size: int = 8,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_path_rate: float = 0.1,
    ) -> None:
        super().__init__()
        plans = _stage_plans(img_size, embed_dim, depths, num_heads, win_size, drop_path_rate)
        self.img_size = img_size
        self.tiling = FixedTile(img_size, PUBLISHED_OVERLAP)  # how HistoryModel validates it
        self.in_chans = in_chans
        self.input_proj = _named('proj', nn.Conv2d(in_chans, embed_dim, 3, padding=1), nn.LeakyReLU())
        self.output_proj = _named('proj', nn.Conv2d(2 * embed_dim, in_chans, 3, padding=1))
        stages = [Stage(plan, mlp_ratio, qkv_bias, qk_scale) for plan in plans]
        for i in range(BOTTLE):
            width = plans[i].channels
            self.add_module(f'encoderlayer_{i}', stages[i])
            # sic: the published keys lack the n
            self.add_module(f'dowsample_{i}', _named('conv', nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)))
        self.bottle = stages[BOTTLE]
        for i, (below, here) in enumerate(pairwise(plans[BOTTLE:])):
            # the other half of a decoder stage's channels comes from the encoder
            up = nn.ConvTranspose2d(below.channels, here.channels // 2, 2, stride=2)
            self.add_module(f'upsample_{i}', _named('deconv', up))
            self.add_module(f'decoderlayer_{i}', stages[BOTTLE + 1 + i])
        self.apply(_initialise_linear)

    def forward(self, x: Tensor) -> Tensor:
        """Remove rain: RGB in [0, 1] (N, in_chans, S, S) to the same; not clamped.

        Raises:
            MclirError: Images of any other shape.
        """
        if x.shape[1:] != (self.in_chans, self.img_size, self.img_size):
            raise MclirError(
                f'This IDT takes images of shape (N, {self.in_chans}, {self.img_size}, {self.img_size}), but got '
                f'{tuple(x.shape)}. Restore larger images in tiles (val: tile), or set img_size of network_g.'
            )
        t, skips = self.input_proj(x), []
        for i in range(BOTTLE):
            t = self.get_submodule(f'encoderlayer_{i}')(t)
            skips.append(t)
            t = self.get_submodule(f'dowsample_{i}')(t)
        t = self.bottle(t)
        for i in range(BOTTLE):
            t = torch.cat([self.get_submodule(f'upsample_{i}')(t), skips.pop()], dim=1)
            t = self.get_submodule(f'decoderlayer_{i}')(t)
        return x + self.output_proj(t)


def _named(name: str, *layers: nn.Module) -> nn.Module:
    """The layers in sequence, their state-dict keys starting with ``name``."""
    return nn.Sequential(OrderedDict([(name, nn.Sequential(*layers))]))


def _initialise_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _stage_plans(
    img_size: int,
    embed_dim: int,
    depths: Sequence[int],
    num_heads: Sequence[int],
    win_size: int,
    drop_path_rate: float,
) -> list[StagePlan]:
    """Work out the nine stages, and check the arguments on the way."""
    for name, value in {'depths': depths, 'num_heads': num_heads}.items():
        if len(value) != len(WINDOW_BLOCKS) or min(value) < 1:
            raise MclirError(f'IDT: {name} must be nine numbers of 1 or more, one per stage, but is {list(value)}.')
    rates = _drop_path_rates(depths, drop_path_rate)
    plans = []
    for i, (heads, blocks, (window_drop, spatial_drop)) in enumerate(zip(num_heads, WINDOW_BLOCKS, rates, strict=True)):
        level = min(i, len(WINDOW_BLOCKS) - 1 - i)
        resolution = img_size >> level
        channels = embed_dim << level + (i > BOTTLE)
        window = min(win_size, resolution)
        spatial = None if i == BOTTLE else spatial_drop
        plan = StagePlan(level, resolution, channels, heads, window, blocks, window_drop, spatial)
        _check_stage(plan, i, img_size, win_size)
        plans.append(plan)
    return plans


def _check_stage(plan: StagePlan, index: int, img_size: int, win_size: int) -> None:
    """Raise MclirError if the map is no whole number of windows, or the heads do not divide the channels."""
    spatial = plan.spatial_drop is not None
    parts = [plan.window, PATCH] if spatial else [plan.window]
    if win_size < 1 or img_size % 2**plan.level or any(part < 1 or plan.resolution % part for part in parts):
        raise MclirError(
            f'IDT: img_size {img_size} does not fit win_size {win_size}. Each of img_size, img_size / 2, ... / 16 must '
            'be a multiple of win_size (or smaller than it), and all but the last of 8. With win_size 8, img_size is '
            '64 or a multiple of 128.'
        )
    divided = [plan.channels, PATCH**2] if spatial else [plan.channels]
    if any(channels % plan.heads for channels in divided):
        raise MclirError(
            f'IDT: num_heads[{index}] must divide {" and ".join(str(channels) for channels in divided)}, the channels '
            f'between which its stage attends, but is {plan.heads}.'
        )


def _drop_path_rates(depths: Sequence[int], highest: float) -> list[tuple[float, float]]:
    """Rates of the window blocks and of the spatial block of each stage.

    As many rates as the encoder's depths add up to rise evenly from 0 to the highest. They are dealt to the encoder's
    stages, and in reverse order to the decoder's; of its share, a stage uses the first and the last.
    """
    count = sum(depths[:BOTTLE])
    if not 0 <= highest < 1:
        raise MclirError(f'IDT: drop_path_rate must be in [0, 1), but is {highest}.')
    if sum(depths[BOTTLE + 1 :]) > count:
        raise MclirError(
            'IDT: the last four depths must not add up to more than the first four, whose drop path rates they '
            f'use again, but depths is {list(depths)}.'
        )
    rising = [highest * i / max(count - 1, 1) for i in range(count)]
    encoder, decoder = iter(rising), reversed(rising)
    shares = [list(islice(encoder, depth)) for depth in depths[:BOTTLE]]
    shares.append([highest])
    shares += [list(islice(decoder, depth)) for depth in depths[BOTTLE + 1 :]]
    return [(share[0], share[-1]) for share in shares]
