"""Attention of SeedVR: the tokens of each window and all words attend to each other.

The text joins every window, and its result is the mean over the windows, whatever their size.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.seedvr.branches import Branches, RmsNorm
from vsr.models.seedvr.rope import RopeKind, WindowRope, turned
from vsr.ops.attention import attend
from vsr.ops.windows import Size3, WindowGroup, merge, partition

_QKV = 3


@dataclass(frozen=True, slots=True)
class _Heads:
    """Queries, keys and values of tokens, `... heads d` each."""

    q: Tensor
    k: Tensor
    v: Tensor

    def turned(self, angles: Tensor | None) -> "_Heads":
        return _Heads(turned(self.q, angles), turned(self.k, angles), self.v)

    def joined(self, text: "_Heads") -> "_Heads":
        """These tokens, and behind those of each window the words."""
        return _Heads(
            *(
                torch.cat([x, words.expand(x.shape[0], *words.shape)], dim=1)
                for x, words in ((self.q, text.q), (self.k, text.k), (self.v, text.v))
            )
        )


class JointWindowAttention(nn.Module):
    """Self-attention of video and text in windows.

    `keeps_text`: False for a last block whose text nobody reads; then its result is not computed.
    """

    def __init__(
        self,
        heads: int,
        head_dim: int,
        *,
        separate: bool,
        rope: RopeKind,
        keeps_text: bool = True,
    ):
        super().__init__()
        width = heads * head_dim
        self.heads = heads
        self.keeps_text = keeps_text
        self.backend = "sdpa"
        self.rope = WindowRope(rope, head_dim)
        self.proj_qkv = Branches(
            lambda: nn.Linear(width, _QKV * width, bias=False), separate=separate
        )
        self.proj_out = Branches(lambda: nn.Linear(width, width), separate=separate)
        self.norm_q = Branches(lambda: RmsNorm(head_dim), separate=separate)
        self.norm_k = Branches(lambda: RmsNorm(head_dim), separate=separate)

    def forward(
        self,
        video: Float[Tensor, "t h w c"],
        text: Float[Tensor, "words c"],
        groups: tuple[WindowGroup, ...],
    ) -> tuple[Float[Tensor, "t h w c"], Float[Tensor, "words c"] | None]:
        """Returns the result for the video and, unless nobody reads it, for the text."""
        words = self._text_heads(text)
        qkv = rearrange(self.proj_qkv.video(video), "t h w c -> 1 c t h w")
        boxes: list[Tensor] = []
        total: Tensor | None = None
        for group, tokens in zip(groups, partition(qkv, groups), strict=True):
            result = self._windows(tokens, words, group.size)
            boxes.append(result[:, : tokens.shape[1]])
            if self.keeps_text:
                part = result[:, tokens.shape[1] :].sum(dim=0, dtype=torch.float32)
                total = part if total is None else total + part
        merged = rearrange(merge(boxes, groups), "1 c t h w -> t h w c")
        out = self.proj_out.video(merged)
        if total is None:
            return out, None
        mean = total / sum(group.count for group in groups)
        return out, self.proj_out.text(mean.to(out.dtype))

    def _text_heads(self, text: Tensor) -> _Heads:
        q, k, v = rearrange(
            self.proj_qkv.text(text), "n (x heads d) -> x n heads d", x=_QKV, heads=self.heads
        )
        heads = _Heads(self.norm_q.text(q), self.norm_k.text(k), v)
        return heads.turned(self.rope.text(len(text), device=text.device))

    def _windows(self, qkv: Tensor, words: _Heads, size: Size3) -> Float[Tensor, "windows n c"]:
        """The result of equal windows: that of their tokens, then that of the words."""
        q, k, v = rearrange(qkv, "b n (x heads d) -> x b n heads d", x=_QKV, heads=self.heads)
        angles = self.rope.video(size, len(words.q), device=qkv.device)
        heads = _Heads(self.norm_q.video(q), self.norm_k.video(k), v).turned(angles)
        joined = heads.joined(words)
        queries = joined.q if self.keeps_text else heads.q
        by_head = (x.transpose(1, 2) for x in (queries, joined.k, joined.v))
        return rearrange(attend(*by_head, backend=self.backend), "b heads n d -> b n (heads d)")
