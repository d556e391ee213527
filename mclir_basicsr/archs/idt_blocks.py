"""Building blocks of IDT: attention on a grid of tokens, feed-forward, window block, spatial block."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

PATCH = 8  # side of the windows between which a spatial block attends


class Attention(nn.Module):
    """Multi-head attention on a square grid of tokens, with a learned bias by distance and a position-only branch.

    ``softmax(q k^T * scale + bias) v`` plus convolutions of a fourth projection of the input, r, over the grid.

    Args:
        dim: Channels D of a token, a multiple of heads.
        side: Side of the grid; N = side ** 2 tokens in raster order.
        heads: Number of heads.
        reach: The bias tells distances of -(reach - 1)..reach - 1 rows and columns apart; larger ones share the
            outermost entry.
        qkv_bias: Give the projections to q, k, v and r a bias.
        qk_scale: Factor on the logits; None for ``(dim / heads) ** -0.5``.
    """

    bias_index: Tensor

    def __init__(self, dim: int, side: int, heads: int, reach: int, qkv_bias: bool, qk_scale: float | None) -> None:
        super().__init__()
        self.side = side
        self.heads = heads
        self.scale = qk_scale
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * reach - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        # persistent=False: the published state dict has no buffers
        self.register_buffer('bias_index', _bias_index(side, reach), persistent=False)
        margin = min(side - 1, 2)
        self.Position_Extract = nn.Sequential(
            nn.Conv2d(dim, dim, 2 * margin + 1, padding=margin, groups=dim), nn.Conv2d(dim, dim, 1, groups=heads)
        )
        self.qkv = nn.ModuleDict(
            {'to_q': nn.Linear(dim, dim, bias=qkv_bias), 'to_kv': nn.Linear(dim, 3 * dim, bias=qkv_bias)}
        )
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each of B grids: (B, N, D) to (B, N, D)."""
        q = rearrange(self.qkv['to_q'](x), 'b n (h d) -> b h n d', h=self.heads)
        keys_values, r = self.qkv['to_kv'](x).split([2 * x.shape[-1], x.shape[-1]], dim=-1)
        k, v = rearrange(keys_values, 'b n (two h d) -> two b h n d', two=2, h=self.heads)
        bias = rearrange(self.relative_position_bias_table[self.bias_index], 'n m h -> 1 h n m').to(q.dtype)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=self.scale)
        position = self.Position_Extract(rearrange(r, 'b (y x) d -> b d y x', y=self.side))
        return self.proj(rearrange(attended, 'b h n d -> b n (h d)') + rearrange(position, 'b d y x -> b (y x) d'))


def _bias_index(side: int, reach: int) -> Tensor:
    """Row of the bias table for each pair of tokens: (N, N), query first, N = side ** 2."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing='ij')
    place = torch.stack([rows.flatten(), columns.flatten()])
    down, right = (place[:, :, None] - place[:, None, :]).clamp(1 - reach, reach - 1) + reach - 1
    return down * (2 * reach - 1) + right


class FeedForward(nn.Module):
    """Locally enhanced feed-forward network (LeFF): two linear layers around a depthwise convolution with a residual.

    Args:
        dim: Channels C of input and output.
        hidden: Channels between.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Sequential(nn.Linear(dim, hidden), nn.GELU())
        self.dwconv = nn.Sequential(nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden), nn.GELU())
        self.linear2 = nn.Sequential(nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        """Mix channels and neighbours over a whole map: (B, H, W, C) to (B, H, W, C)."""
        t = rearrange(self.linear1(x), 'b h w c -> b c h w')
        t = self.dwconv(t) + t
        return self.linear2(rearrange(t, 'b c h w -> b h w c'))


class WindowBlock(nn.Module):
    """Attention between the pixels of each window of a map, then LeFF; windows are never shifted.

    Args:
        dim: Channels C.
        attn: Attention over C channels; its side is the window's.
        hidden: Hidden channels of the LeFF.
        drop: Drop path rate.
    """

    def __init__(self, dim: int, attn: Attention, hidden: int, drop: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, hidden)
        self.drop_path = StochasticDepth(drop, 'row')

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C); H and W are multiples of the window's side."""
        x = x + self.drop_path(self._attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor) -> Tensor:
        side = self.attn.side
        windows = rearrange(x, 'b (y i) (x j) c -> (b y x) (i j) c', i=side, j=side)
        inverse = '(b y x) (i j) c -> b (y i) (x j) c'
        return rearrange(self.attn(windows), inverse, b=x.shape[0], y=x.shape[1] // side, i=side)


class SpatialBlock(nn.Module):
    """Attention between the 8x8 windows of a map, each channel by itself, then LeFF.

    Args:
        dim: Channels C.
        attn: Attention over 64 channels, the pixels of a window; its side is the number of windows along the map's.
        hidden: Hidden channels of the LeFF.
        drop: Drop path rate.
    """

    def __init__(self, dim: int, attn: Attention, hidden: int, drop: float) -> None:
        super().__init__()
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, hidden)
        self.drop_path = StochasticDepth(drop, 'row')

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, H, C) to (B, H, H, C), H being 8 times the attention's side."""
        x = x + self.drop_path(self._attend(x))  # no norm before this attention
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor) -> Tensor:
        windows = self.attn(rearrange(x, 'b (y i) (x j) c -> (b c) (y x) (i j)', i=PATCH, j=PATCH))
        # The pixels stay in window-major order and are read as a raster, not put back into their places: this is
        # how the published weights were trained.
        return rearrange(windows, '(b c) k p -> b (k p) c', c=x.shape[-1]).reshape(x.shape)
