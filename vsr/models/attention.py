"""The kinds of attention of the U-Net, on tokens `b t h w c`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from vsr.models.rope import as_turns, axis_angles, rotate, rotate_by
from vsr.ops.attention import attend
from vsr.ops.windows import WindowGroup, merge, partition, window_groups


class TextMemory:
    """Text embeddings with a cache of the keys and values of each attention layer.

    Valid as long as the weights do not change.
    """

    def __init__(self, embeddings: Float[Tensor, "b n d"]) -> None:
        self.embeddings = embeddings
        self._cache: dict[Attention, tuple[Tensor, Tensor]] = {}

    def keys_values(
        self, layer: "Attention"
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b n c"]]:
        """The keys and values of `layer`."""
        if layer not in self._cache:
            self._cache[layer] = layer.to_k(self.embeddings), layer.to_v(self.embeddings)
        return self._cache[layer]


Text = Float[Tensor, "texts n d"] | TextMemory
"""Text embeddings, or a `TextMemory` that computes keys and values once."""


@dataclass(frozen=True, slots=True)
class AttentionContext:
    """Inputs that all attention layers share in one forward call of the U-Net."""

    text: Text | None = None
    rotary: Float[Tensor, " f"] | None = None
    """Frequencies of the rotary positions in time."""
    frame_window: int | None = None
    """Rows and columns of the windows that replace full attention; None: the whole frame."""
    is_strip: bool = False
    """True for a strip of a map that begins and ends where windows do."""


NO_CONTEXT = AttentionContext()


class Attention(nn.Module):
    """The projections that all kinds of attention share."""

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

    def in_windows(
        self,
        q: Float[Tensor, "b t h w c"],
        k: Float[Tensor, "b t h w c"],
        v: Float[Tensor, "b t h w c"],
        groups: Sequence[WindowGroup],
    ) -> list[Float[Tensor, "3 _ heads _ d"]]:
        """Queries, keys and values of each group of windows, by heads."""
        qkv = rearrange(torch.cat([q, k, v], dim=-1), "b t h w c -> b c t h w")
        return [
            rearrange(part, "n i (p heads d) -> p n heads i d", p=3, heads=self.heads)
            for part in partition(qkv, groups)
        ]

    def from_windows(
        self, parts: Sequence[Float[Tensor, "_ heads _ d"]], groups: Sequence[WindowGroup]
    ) -> Float[Tensor, "b t h w c"]:
        """The map of attended windows, after the output projection."""
        tokens = [rearrange(part, "n heads i d -> n i (heads d)") for part in parts]
        return self.to_out[0](rearrange(merge(tokens, groups), "b c t h w -> b t h w c"))


class FrameAttention(Attention):
    """Each token attends to all tokens of its own frame, or of its window of the frame.

    `context.frame_window` is an approximation for large frames: the cost of full attention grows
    with the square of a frame's tokens.
    """

    def __init__(self, channels: int, heads: int, *, shifted: bool = False):
        super().__init__(channels, heads)
        self.shifted = shifted

    def forward(
        self, x: Float[Tensor, "b t h w c"], context: AttentionContext = NO_CONTEXT
    ) -> Float[Tensor, "b t h w c"]:
        """The attended tokens."""
        _, t, h, w, _ = x.shape
        if context.frame_window is not None:
            window = (1, context.frame_window, context.frame_window)
            groups = window_groups((t, h, w), window=window, shifted=self.shifted)
            parts: list[Tensor] = []
            for q, k, v in self.in_windows(self.to_q(x), self.to_k(x), self.to_v(x), groups):
                parts.append(attend(q, k, v, backend=self.backend))
            return self.from_windows(parts, groups)
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

    Positions count over the whole map: rotary attention depends on differences only (Su et al.
    2021), so the result equals that of positions within the window. A head's channel pairs are
    divided among the three axes, time with the smallest share.
    """

    def __init__(self, channels: int, heads: int, *, window: tuple[int, int, int], shifted: bool):
        super().__init__(channels, heads)
        self.window = window
        self.shifted = shifted

    def forward(
        self, x: Float[Tensor, "b t h w c"], context: AttentionContext = NO_CONTEXT
    ) -> Float[Tensor, "b t h w c"]:
        """The attended tokens."""
        _, t, h, w, _ = x.shape
        turns = as_turns(axis_angles(t, h, w, x.shape[-1] // self.heads, device=x.device))
        q, k = (self._rotate(p, turns) for p in (self.to_q(x), self.to_k(x)))
        groups = window_groups(
            (t, h, w), window=self.window, shifted=self.shifted, is_strip=context.is_strip
        )
        parts: list[Tensor] = []
        for queries, keys, values in self.in_windows(q, k, self.to_v(x), groups):
            parts.append(attend(queries, keys, values, backend=self.backend))
        return self.from_windows(parts, groups)

    def _rotate(self, x: Tensor, turns: Tensor) -> Tensor:
        x = rearrange(x, "b t h w (heads d) -> b t h w heads d", heads=self.heads)
        return rearrange(rotate_by(x, turns), "b t h w heads d -> b t h w (heads d)")


class TemporalAttention(Attention):
    """Each token attends to the tokens at its place in all frames of the segment.

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
