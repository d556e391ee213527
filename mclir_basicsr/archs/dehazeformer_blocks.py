"""Building blocks of DehazeFormer: Song et al., Vision Transformers for Single Image Dehazing, IEEE TIP 2023."""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

MAX_WINDOWS = 65535  # CUDA's fused attention cannot start on a larger batch: the limit of an axis of a launch grid


class RLN(nn.Module):
    """Rescale layer norm: a norm over the whole image, and what its mean and deviation give back afterwards.

    Source: Song et al. (see ``DehazeFormer``). Statistics are taken in float32 at least.

    Args:
        dim: Channels C.
    """

    eps = 1e-5

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dim, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, dim, 1, 1))
        self.meta1 = nn.Conv2d(1, dim, 1)
        self.meta2 = nn.Conv2d(1, dim, 1)
        for meta, start in (self.meta1, 1.0), (self.meta2, 0.0):
            nn.init.trunc_normal_(meta.weight, std=0.02)
            nn.init.constant_(meta.bias, start)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalise x (N, C, H, W): the same shape, and factor and offset (N, C, 1, 1) for the branch's end."""
        dtype = self.weight.dtype  # float32 under autocast
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(x, (1, 2, 3), correction=0, keepdim=True)
        deviation = (variance + self.eps).sqrt()
        out = ((x - mean) / deviation).to(dtype) * self.weight + self.bias
        return out, self.meta1(deviation.to(dtype)), self.meta2(mean.to(dtype))


def window_padding(length: int, window: int, shift: int) -> tuple[int, int]:
    """Pixels to add before and after a side so that windows, moved up or left by shift, cover all of it."""
    return shift, (-length - shift) % window


class WindowAttention(nn.Module):
    """Multi-head attention in square windows, with a bias that a small network makes of log-distances.

    Windows that stick out see the map reflected. Source: Song et al. (see ``DehazeFormer``).

    Args:
        dim: Channels C, a multiple of heads.
        heads: Number of heads.
        window: Side of a window in pixels.
        shift: Pixels by which the windows are moved up and left.
    """

    relative_positions: Tensor

    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        tokens = torch.cartesian_prod(*[torch.arange(window, dtype=torch.float32)] * 2)
        offsets = tokens[:, None] - tokens[None]  # query minus key, rows first
        self.register_buffer('relative_positions', offsets.sign() * offsets.abs().log1p())
        self.meta = nn.Sequential(nn.Linear(2, 256), nn.ReLU(), nn.Linear(256, heads))

    def forward(self, qkv: Tensor) -> Tensor:
        """Attend: queries, keys and values side by side in (N, 3 C, H, W) to (N, C, H, W)."""
        height, width = qkv.shape[-2:]
        top, bottom = window_padding(height, self.window, self.shift)
        left, right = window_padding(width, self.window, self.shift)
        qkv = F.pad(qkv, (left, right, top, bottom), mode='reflect')
        windows = rearrange(
            qkv,
            'n (qkv heads d) (rows y) (columns x) -> qkv (n rows columns) heads (y x) d',
            qkv=3, heads=self.heads, y=self.window, x=self.window,
        )  # fmt: skip
        bias = rearrange(self.meta(self.relative_positions), 'i j heads -> 1 heads i j').contiguous()
        parts = [F.scaled_dot_product_attention(q, k, v, bias) for q, k, v in windows.split(MAX_WINDOWS, 1)]
        out = rearrange(
            torch.cat(parts),
            '(n rows columns) heads (y x) d -> n (heads d) (rows y) (columns x)',
            rows=qkv.shape[-2] // self.window, columns=qkv.shape[-1] // self.window, y=self.window,
        )  # fmt: skip
        return out[..., top : top + height, left : left + width]


class Mixer(nn.Module):
    """The spatial half of a block: convs on the values, window attention, or their sum.

    Args:
        dim: Channels C.
        attention: Window attention, or None for a block without.
        conv_type: ``DWConv``: one 5x5 depthwise conv; ``Conv``: two 3x3 convs; None: attention alone.
    """

    def __init__(self, dim: int, attention: WindowAttention | None, conv_type: str | None) -> None:
        super().__init__()
        self.conv: nn.Module | None = None
        if conv_type == 'DWConv':
            self.conv = nn.Conv2d(dim, dim, 5, padding=2, groups=dim, padding_mode='reflect')
        elif conv_type == 'Conv':
            first, second = (nn.Conv2d(dim, dim, 3, padding=1, padding_mode='reflect') for _ in range(2))
            self.conv = nn.Sequential(first, nn.ReLU(), second)
        self.bare = attention is None and conv_type == 'Conv'
        if not self.bare:
            self.V = nn.Conv2d(dim, dim, 1)
            self.proj = nn.Conv2d(dim, dim, 1)
        if attention is not None:
            self.QK = nn.Conv2d(dim, 2 * dim, 1)
        self.attn = attention

    def forward(self, x: Tensor) -> Tensor:
        """Mix pixels: (N, C, H, W), same shape out."""
        values = x if self.bare else self.V(x)
        terms = []
        if self.conv is not None:
            terms.append(self.conv(values))
        if self.attn is not None:
            terms.append(self.attn(torch.cat([self.QK(x), values], 1)))
        return terms[0] if self.bare else self.proj(sum(terms))


class MLP(nn.Module):
    """Two 1x1 convs with a ReLU between them.

    Args:
        dim: Channels C.
        hidden: Channels between the two.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Mix channels: (N, C, H, W), same shape out."""
        return self.mlp(x)


class Block(nn.Module):
    """Mixer and MLP, each with a skip; only a block that attends has a norm, and only before its mixer.

    Args:
        mixer: The spatial half.
        dim: Channels C.
        mlp_ratio: Hidden channels of the MLP over C.
    """

    def __init__(self, mixer: Mixer, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = RLN(dim) if mixer.attn is not None else None
        self.attn = mixer
        self.mlp = MLP(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Run the block: (N, C, H, W), same shape out."""
        if self.norm1 is None:
            x = x + self.attn(x)
        else:
            normed, factor, offset = self.norm1(x)
            x = x + (self.attn(normed) * factor + offset)
        return x + self.mlp(x)


def start_convs(block: Block, gain: float) -> None:
    """Start the convs of a block as its authors do: truncated normal with a Xavier deviation, no bias.

    Args:
        block: Block to start, in place. Its norm and its attention's bias network stay as they are.
        gain: Factor on the deviation ``sqrt(2 / (fan_in + fan_out))``; queries and keys have 1 instead.
    """
    for name, conv in block.named_modules():
        if isinstance(conv, nn.Conv2d) and not name.startswith('norm1.'):
            fans = sum(conv.weight.shape[:2]) * conv.weight[0, 0].numel()
            factor = 1 if name == 'attn.QK' else gain
            nn.init.trunc_normal_(conv.weight, std=factor * math.sqrt(2 / fans))
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
