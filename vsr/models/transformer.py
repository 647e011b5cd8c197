"""The transformer of one U-Net level: spatial, windowed, text and temporal attention by choice."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.attention import (
    NO_CONTEXT,
    AttentionContext,
    FrameAttention,
    TemporalAttention,
    TextAttention,
    WindowAttention,
)
from vsr.models.blocks import (
    BlockStyle,
    FrameGroupNorm,
    TemporalResnetBlock,
    by_strips,
    is_too_large_at_once,
    zero_parameters,
)
from vsr.models.feed_forward import FeedForward
from vsr.ops.windows import strips

AttentionKind = Literal["none", "full", "window", "text"]

_TOKEN_MAPS = 8
"""Attention and feed-forward layers hold about so many maps more than a chain of convolutions."""
_STRIPS = 24


@dataclass(frozen=True, slots=True)
class TransformerStyle:
    """Style that all transformers of one U-Net share; see `UNetVideoModel`."""

    cross_attention_dim: int | None
    window: tuple[int, int, int]
    temporal_attention: bool
    temporal_resnet: bool
    norm: Literal["frame", "none"]
    groups: int
    ff_mult: int


class VideoTransformer(nn.Module):
    """Temporal resnet, then attention and feed-forward layers on a residual branch.

    The temporal layers add nothing at first, so that an inflated image network keeps its result. A
    batch of one that attends to several texts becomes one entry per text; the layers before the
    first attention to text run once for all of them.
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
        self.sees_windows_alone = kind == "window" and style.norm == block_style.norm == "none"
        self.window_rows, self.shifted = style.window[1], shifted

    def forward(
        self,
        x: Float[Tensor, "b c t h w"],
        context: AttentionContext = NO_CONTEXT,
    ) -> Float[Tensor, "texts c t h w"]:
        """The next map."""
        whole = self.sees_windows_alone and not context.is_strip
        if whole and is_too_large_at_once(x, maps=_TOKEN_MAPS):
            return self._by_strips(x, replace(context, is_strip=True))
        if self.resblock_temporal is not None:
            x = self.resblock_temporal(x)
        tokens = self.proj_in(rearrange(self.norm(x), "b c t h w -> b t h w c"))
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return x + rearrange(self.proj_out(tokens), "b t h w c -> b c t h w")

    def _by_strips(self, x: Tensor, context: AttentionContext) -> Tensor:
        rows = x.shape[3]
        longest = -(-rows // _STRIPS)
        heights = strips(rows, window=self.window_rows, shifted=self.shifted, longest=longest)
        return by_strips(partial(self.forward, context=context), x, heights)


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
        self.ff = FeedForward(channels, style.ff_mult)

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
