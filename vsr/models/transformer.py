"""The transformer of one U-Net level: spatial, windowed, text and temporal attention by choice."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from diffusers.models.attention import FeedForward
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vsr.models.blocks import (
    BlockStyle,
    FrameGroupNorm,
    TemporalResnetBlock,
    zero_parameters,
)
from vsr.ops.attention import attend
from vsr.ops.windows import merge, partition, window_groups

AttentionKind = Literal["none", "full", "window", "text"]


@dataclass(frozen=True, slots=True)
class TransformerStyle:
    """What the transformers of one U-Net share; see `UNetVideoModel` for each meaning."""

    cross_attention_dim: int | None
    window: tuple[int, int, int]
    temporal_attention: bool
    temporal_resnet: bool
    norm: Literal["frame", "none"]
    groups: int
    ff_mult: int


class TextMemory:
    """Text embeddings, with the keys and values that each attention makes of them: made once.

    Good for one run, while embeddings and weights stay as they are.
    """

    def __init__(self, embeddings: Float[Tensor, "b n d"]) -> None:
        self.embeddings = embeddings
        self._made: dict[Attention, tuple[Tensor, Tensor]] = {}

    def keys_values(
        self, layer: "Attention"
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b n c"]]:
        """The keys and values of that layer."""
        if layer not in self._made:
            self._made[layer] = layer.to_k(self.embeddings), layer.to_v(self.embeddings)
        return self._made[layer]


Text = Float[Tensor, "texts n d"] | TextMemory
"""Text embeddings, or a memory of them that computes keys and values once."""


@dataclass(frozen=True, slots=True)
class AttentionContext:
    """Inputs that all attention layers share in one forward call of the U-Net."""

    text: Text | None = None
    rotary: Float[Tensor, " f"] | None = None
    """Frequencies of the rotary positions in time."""
    frame_window: int | None = None
    """Rows and columns of the windows that replace full attention; None: the whole frame."""


_NO_CONTEXT = AttentionContext()


class VideoTransformer(nn.Module):
    """Temporal resnet, then attention and feed-forward layers on a residual branch.

    What mixes frames other than windows starts as nothing, so that an inflated image network still
    gives its own result. A map of one entry that looks at several texts becomes one for each: until
    then the work is done once for all of them.
    """

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        kind: AttentionKind,
        shifted: bool,
        style: TransformerStyle,
        block_style: BlockStyle,
    ):
        super().__init__()
        self.resblock_temporal = (
            TemporalResnetBlock(channels, style=block_style, kernels=(3, 3))
            if style.temporal_resnet
            else None
        )
        if self.resblock_temporal is not None:
            zero_parameters(self.resblock_temporal.conv2)
        self.norm = (
            FrameGroupNorm(style.groups, channels, eps=1e-6)
            if style.norm == "frame"
            else nn.Identity()
        )
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList(
            [TransformerBlock(channels, heads=heads, kind=kind, shifted=shifted, style=style)]
        )
        self.proj_out = nn.Linear(channels, channels)

    def forward(
        self,
        x: Float[Tensor, "b c t h w"],
        context: AttentionContext = _NO_CONTEXT,
    ) -> Float[Tensor, "texts c t h w"]:
        """The next map."""
        if self.resblock_temporal is not None:
            x = self.resblock_temporal(x)
        tokens = self.proj_in(rearrange(self.norm(x), "b c t h w -> b t h w c"))
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + rearrange(self.proj_out(tokens), "b t h w c -> b c t h w")


class TransformerBlock(nn.Module):
    """x += attn1, attn2 (text), attn_temporal, feed-forward, each of a layer norm of x."""

    def __init__(
        self,
        channels: int,
        *,
        heads: int,
        kind: AttentionKind,
        shifted: bool,
        style: TransformerStyle,
    ):
        super().__init__()
        text_dim = style.cross_attention_dim
        self.norm1 = nn.LayerNorm(channels)
        if kind == "window":
            self.attn1 = WindowAttention(channels, heads, window=style.window, shifted=shifted)
        elif kind == "text":
            self.attn1 = TextAttention(channels, heads, context_channels=text_dim or channels)
        else:
            self.attn1 = FrameAttention(channels, heads, shifted=shifted)
        self.norm2 = nn.LayerNorm(channels) if text_dim else None
        self.attn2 = TextAttention(channels, heads, context_channels=text_dim) if text_dim else None
        self.norm_temporal = nn.LayerNorm(channels) if style.temporal_attention else None
        self.attn_temporal = (
            TemporalAttention(channels, heads) if style.temporal_attention else None
        )
        if self.attn_temporal is not None:
            zero_parameters(self.attn_temporal.to_out[0])
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels, mult=style.ff_mult, activation_fn="geglu")

    def forward(
        self,
        x: Float[Tensor, "b t h w c"],
        context: AttentionContext,
    ) -> Float[Tensor, "texts t h w c"]:
        """The next tokens."""
        x = x + self.attn1(self.norm1(x), context)
        if self.attn2 is not None and self.norm2 is not None:
            x = x + self.attn2(self.norm2(x), context)
        if self.attn_temporal is not None and self.norm_temporal is not None:
            x = x + self.attn_temporal(self.norm_temporal(x), context)
        return x + self.ff(self.norm3(x))


class Attention(nn.Module):
    """The projections that every kind of attention has, under the field's names."""

    def __init__(self, channels: int, heads: int, *, context_channels: int | None = None):
        super().__init__()
        self.heads = heads
        self.backend = "sdpa"
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels or channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels or channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def attend(
        self,
        q: Float[Tensor, "n i c"],
        k: Float[Tensor, "n j c"],
        v: Float[Tensor, "n j c"],
        bias: Float[Tensor, "1 heads i j"] | None = None,
    ) -> Float[Tensor, "n i c"]:
        """Multi-head attention of projected tokens, before the output projection."""
        q, k, v = (
            rearrange(x, "n i (heads d) -> n heads i d", heads=self.heads) for x in (q, k, v)
        )
        y = attend(q, k, v, backend=self.backend, bias=bias)
        return rearrange(y, "n heads i d -> n i (heads d)")

    def attend_in_windows(
        self,
        q: Float[Tensor, "b t h w c"],
        k: Float[Tensor, "b t h w c"],
        v: Float[Tensor, "b t h w c"],
        *,
        window: tuple[int, int, int],
        shifted: bool,
    ) -> Float[Tensor, "b t h w c"]:
        """As `attend`, for the projected tokens of each window by themselves."""
        qkv = rearrange(torch.cat([q, k, v], dim=-1), "b t h w c -> b c t h w")
        _, _, t, h, w = qkv.shape
        groups = window_groups((t, h, w), window=window, shifted=shifted)
        parts = [self.attend(*part.chunk(3, dim=-1)) for part in partition(qkv, groups)]
        return rearrange(merge(parts, groups), "b c t h w -> b t h w c")


class FrameAttention(Attention):
    """Each token attends to all tokens of its own frame, or of its window of the frame.

    `context.frame_window` is an approximation for large frames: the cost of full attention grows
    with the square of a frame's tokens.
    """

    def __init__(self, channels: int, heads: int, *, shifted: bool = False):
        super().__init__(channels, heads)
        self.shifted = shifted

    def forward(
        self, x: Float[Tensor, "b t h w c"], context: AttentionContext = _NO_CONTEXT
    ) -> Float[Tensor, "b t h w c"]:
        """The attended tokens."""
        if context.frame_window is not None:
            window = (1, context.frame_window, context.frame_window)
            projected = self.to_q(x), self.to_k(x), self.to_v(x)
            return self.to_out[0](
                self.attend_in_windows(*projected, window=window, shifted=self.shifted)
            )
        _, t, h, _, _ = x.shape
        tokens = rearrange(x, "b t h w c -> (b t) (h w) c")
        y = self.attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        return self.to_out[0](rearrange(y, "(b t) (h w) c -> b t h w c", t=t, h=h))


class TextAttention(Attention):
    """Each token attends to the words; keys and values are computed once for all frames."""

    def forward(
        self, x: Float[Tensor, "b t h w c"], context: AttentionContext
    ) -> Float[Tensor, "texts t h w c"]:
        """The attended tokens, for every text."""
        text = context.text
        assert text is not None, "this level attends to text embeddings"
        _, t, h, w, _ = x.shape
        q = self.to_q(rearrange(x, "b t h w c -> b (t h w) c"))
        memory = text if isinstance(text, TextMemory) else TextMemory(text)
        k, v = memory.keys_values(self)
        y = self.attend(q.expand(len(k), -1, -1), k, v)
        return self.to_out[0](rearrange(y, "b (t h w) c -> b t h w c", t=t, h=h, w=w))


class WindowAttention(Attention):
    """Each token attends to the tokens of its 3-D window, with rotary positions on t, h and w.

    Positions are those of the whole map: rotary attention sees differences only (Su et al. 2021),
    so that they equal positions within the window. A head's channels are shared out to the three
    axes in even numbers, time first in taking the smallest part.
    """

    def __init__(self, channels: int, heads: int, *, window: tuple[int, int, int], shifted: bool):
        super().__init__(channels, heads)
        self.window = window
        self.shifted = shifted

    def forward(
        self, x: Float[Tensor, "b t h w c"], context: AttentionContext = _NO_CONTEXT
    ) -> Float[Tensor, "b t h w c"]:
        """The attended tokens; `context` is not used."""
        _, t, h, w, _ = x.shape
        angles = _axis_angles(t, h, w, x.shape[-1] // self.heads, device=x.device)
        q, k = (self._rotate(p, angles) for p in (self.to_q(x), self.to_k(x)))
        return self.to_out[0](
            self.attend_in_windows(q, k, self.to_v(x), window=self.window, shifted=self.shifted)
        )

    def _rotate(self, x: Tensor, angles: Tensor) -> Tensor:
        x = rearrange(x, "b t h w (heads d) -> b t h w heads d", heads=self.heads)
        return rearrange(rotate(x, angles), "b t h w heads d -> b t h w (heads d)")


class TemporalAttention(Attention):
    """Each token attends to its own place in every frame of the segment.

    Rotary positions act on the first 32 channels of a head, and a T5 relative bias (Raffel et al.
    2020; 32 buckets) is added to the logits.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__(channels, heads)
        self.time_rel_pos_bias = RelativePositionBias(heads)

    def forward(
        self, x: Float[Tensor, "b t h w c"], context: AttentionContext
    ) -> Float[Tensor, "b t h w c"]:
        """The attended tokens."""
        _, t, h, w, _ = x.shape
        tokens = rearrange(x, "b t h w c -> (b h w) t c")
        q, k, v = self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)
        if context.rotary is not None:
            angles = torch.arange(t, device=x.device)[:, None] * context.rotary.float()
            q, k = (self._rotate(p, angles) for p in (q, k))
        y = self.attend(q, k, v, bias=self.time_rel_pos_bias(t))
        return self.to_out[0](rearrange(y, "(b h w) t c -> b t h w c", h=h, w=w))

    def _rotate(self, x: Tensor, angles: Tensor) -> Tensor:
        x = rearrange(x, "n t (heads d) -> n t heads d", heads=self.heads)
        return rearrange(rotate(x, angles), "n t heads d -> n t (heads d)")


class RelativePositionBias(nn.Module):
    """A learned logit for every head and bucket of distance in time."""

    def __init__(self, heads: int, *, buckets: int = 32, max_distance: int = 32):
        super().__init__()
        self.max_distance = max_distance
        self.relative_attention_bias = nn.Embedding(buckets, heads)

    def forward(self, frames: int) -> Float[Tensor, "1 heads t t"]:
        """The bias [0, head, i, j] of query i and key j."""
        weight = self.relative_attention_bias.weight
        place = torch.arange(frames, device=weight.device)
        bucket = relative_buckets(
            place[None, :] - place[:, None],
            buckets=weight.shape[0],
            max_distance=self.max_distance,
        )
        return rearrange(self.relative_attention_bias(bucket), "i j heads -> 1 heads i j")


def relative_buckets(
    distance: Int[Tensor, "i j"], *, buckets: int, max_distance: int
) -> Int[Tensor, "i j"]:
    """T5's bidirectional bucket of each signed distance j - i (Raffel et al. 2020, section 2.1).

    Half of the buckets are for keys that come later; of each half, one half is exact and the other
    logarithmic up to `max_distance`.
    """
    half = buckets // 2
    exact = half // 2
    size = distance.abs()
    log = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    coarse = (exact + (log * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(size < exact, size, coarse) + half * (distance > 0).long()


def rotary_frequencies(dim: int, *, theta: float = 10000.0) -> Float[Tensor, " f"]:
    """theta^(-2k / dim) for the dim / 2 channel pairs (Su et al. 2021)."""
    return theta ** (-torch.arange(0, dim, 2).float() / dim)


def rotate(x: Float[Tensor, "*n heads d"], angles: Float[Tensor, "*p f"]) -> Tensor:
    """Turn the first f neighbouring channel pairs of each head by their angles; the rest stays."""
    turned, rest = x[..., : 2 * angles.shape[-1]], x[..., 2 * angles.shape[-1] :]
    cos = angles.cos().repeat_interleave(2, dim=-1).to(x.dtype).unsqueeze(-2)
    sin = angles.sin().repeat_interleave(2, dim=-1).to(x.dtype).unsqueeze(-2)
    even, odd = turned[..., 0::2], turned[..., 1::2]
    across = torch.stack([-odd, even], dim=-1).flatten(-2)
    turned = turned * cos + across * sin
    return turned if rest.shape[-1] == 0 else torch.cat([turned, rest], dim=-1)


def _axis_angles(t: int, h: int, w: int, head_dim: int, *, device: torch.device) -> Tensor:
    """Angles `t h w f` of the channel pairs, theta 100: windows are a few tokens wide."""
    pairs = head_dim // 2
    shares = (pairs - 2 * (pairs * 3 // 8), pairs * 3 // 8, pairs * 3 // 8)
    axes = []
    for axis, (size, share) in enumerate(zip((t, h, w), shares, strict=True)):
        frequencies = rotary_frequencies(2 * share, theta=100.0).to(device)
        angle = torch.arange(size, device=device)[:, None] * frequencies
        shape = [1, 1, 1, share]
        shape[axis] = size
        axes.append(angle.reshape(shape).expand(t, h, w, share))
    return torch.cat(axes, dim=-1)
