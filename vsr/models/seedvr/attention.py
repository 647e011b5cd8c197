"""Attention of SeedVR: the tokens of each window and all words attend to each other.

The text joins every window, and its result is the mean over the windows, whatever their size.
"""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.rope import turned
from vsr.models.seedvr.branches import Branches, RmsNorm, StoredLinear
from vsr.models.seedvr.rope import RopeKind, WindowRope, map_turns, text_turns
from vsr.ops.attention import attend
from vsr.ops.windows import WindowGroup, merge, partition

_QKV = 3


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
            lambda: StoredLinear(width, _QKV * width, bias=False), separate=separate
        )
        self.proj_out = Branches(lambda: StoredLinear(width, width), separate=separate)
        self.norm_q = Branches(lambda: RmsNorm(head_dim), separate=separate)
        self.norm_k = Branches(lambda: RmsNorm(head_dim), separate=separate)

    def forward(
        self,
        video: Float[Tensor, "t h w c"],
        text: Float[Tensor, "words c"],
        groups: tuple[WindowGroup, ...],
    ) -> tuple[Float[Tensor, "t h w c"], Float[Tensor, "words c"] | None]:
        """Returns the result for the video and, unless nobody reads it, for the text."""
        turns = text_turns(self.rope, len(text), device=text.device)
        words = self._heads(text, "text", turns)
        turns = map_turns(self.rope, groups, len(text), device=video.device)
        tokens = self._heads(video, "video", turns)
        shown, read = self._windows(tokens, words, groups)
        out = self.proj_out.video(shown)
        if not self.keeps_text:
            return out, None
        return out, self.proj_out.text(read.to(out.dtype))

    def _heads(
        self, x: Tensor, branch: Literal["video", "text"], turns: Tensor | None
    ) -> Float[Tensor, "*n x heads d"]:
        """Queries, keys and values of tokens; the first two are normalised and turned."""
        norm_q, norm_k, qkv = (
            getattr(layer, branch) for layer in (self.norm_q, self.norm_k, self.proj_qkv)
        )
        q, k, v = qkv(x).unflatten(-1, (_QKV, self.heads, -1)).unbind(-3)
        q, k = norm_q(q), norm_k(k)
        if turns is not None:
            q, k = turned(q, turns), turned(k, turns)
        return torch.stack([q, k, v], dim=-3)

    def _windows(
        self, tokens: Tensor, words: Tensor, groups: tuple[WindowGroup, ...]
    ) -> tuple[Float[Tensor, "t h w c"], Float[Tensor, "words c"]]:
        """The result of all windows, and the mean of theirs for the words."""
        boxes: list[Tensor] = []
        of_words = words.unbind(1)
        total = torch.zeros_like(of_words[0], dtype=torch.float32).flatten(1)
        for box in partition(rearrange(tokens, "t h w x heads d -> 1 (x heads d) t h w"), groups):
            n = box.shape[1]
            q, k, v = rearrange(box, "b n (x heads d) -> x b n heads d", x=_QKV, heads=self.heads)
            joined = [_joined(*pair) for pair in zip((q, k, v), of_words, strict=True)]
            queries = joined[0] if self.keeps_text else q
            by_head = (x.transpose(1, 2) for x in (queries, *joined[1:]))
            seen = rearrange(attend(*by_head, backend=self.backend), "b heads n d -> b n (heads d)")
            boxes.append(seen[:, :n])
            if self.keeps_text:
                total += seen[:, n:].sum(dim=0, dtype=torch.float32)
        shown = rearrange(merge(boxes, groups), "1 c t h w -> t h w c")
        return shown, total / sum(group.count for group in groups)


def _joined(
    tokens: Float[Tensor, "b n heads d"], words: Float[Tensor, "m heads d"]
) -> Float[Tensor, "b n2 heads d"]:
    """The tokens of windows, and behind those of each window the words."""
    return torch.cat([tokens, words.expand(tokens.shape[0], *words.shape)], dim=1)
