"""A block of SeedVR's transformer: modulated attention and feed-forward, for video and text."""

from typing import Literal, cast

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.seedvr.attention import JointWindowAttention
from vsr.models.seedvr.branches import EPS, Branches, GeluMlp, SwiGlu
from vsr.models.seedvr.modulation import BlockVectors, Modulation
from vsr.models.seedvr.rope import RopeKind
from vsr.ops.windows import WindowGroup

MlpKind = Literal["swiglu", "gelu"]


class TransformerBlock(nn.Module):
    """x <- x + gate attention(in(rms x)); x <- x + gate mlp(in(rms x)), for each branch.

    `keeps_text`: False for a last block that reads the text without modulating it, and drops it.
    """

    def __init__(
        self,
        heads: int,
        head_dim: int,
        *,
        separate: bool,
        mlp: MlpKind,
        rope: RopeKind,
        keeps_text: bool = True,
    ):
        super().__init__()
        width = heads * head_dim
        self.keeps_text = keeps_text
        self.attn = JointWindowAttention(
            heads, head_dim, separate=separate, rope=rope, keeps_text=keeps_text
        )
        feed_forward = SwiGlu if mlp == "swiglu" else GeluMlp
        self.mlp = Branches(lambda: feed_forward(width), separate=separate)
        self.ada = Branches(lambda: BlockVectors(width), separate=separate)

    def forward(
        self,
        video: Float[Tensor, "t h w c"],
        text: Float[Tensor, "words c"],
        time: Modulation,
        groups: tuple[WindowGroup, ...],
    ) -> tuple[Float[Tensor, "t h w c"], Float[Tensor, "words c"]]:
        """Returns video and text after the block."""
        on_video, on_text = (
            cast("BlockVectors", branch) for branch in (self.ada.video, self.ada.text)
        )
        words = _rms(text)
        if self.keeps_text:
            words = on_text.enter(words, time, "attn")
        seen, read = self.attn(on_video.enter(_rms(video), time, "attn"), words, groups)
        video = video + on_video.leave(seen, time, "attn")
        video = _fed(video, self.mlp.video, on_video, time)
        if read is not None:
            text = text + on_text.leave(read, time, "attn")
            text = _fed(text, self.mlp.text, on_text, time)
        return video, text


def _fed(x: Tensor, mlp: nn.Module, vectors: BlockVectors, time: Modulation) -> Tensor:
    return x + vectors.leave(mlp(vectors.enter(_rms(x), time, "mlp")), time, "mlp")


def _rms(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=EPS)
