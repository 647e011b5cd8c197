"""Rotary positions of SeedVR: places inside a window, as whole numbers or spread over [-1, 1].

Frequencies are computed here in float32 and never read from a file: rounded ones, as files of 16
and 8 bits hold them, change the picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Complex, Float
from torch import Tensor

from vsr.models.rope import angle_grid, as_turns, rotary_frequencies
from vsr.ops.windows import Size3, WindowGroup, merge

RopeKind = Literal["integer", "window"]
_AXES = 3
_HIGHEST = 128
"""The highest frequency of the "window" kind, in half turns over half a window."""


@dataclass(frozen=True, slots=True)
class WindowRope:
    """The rotary positions of a network.

    "integer" (3B): a token of a window has its row, column and frame, frames counted after the
    text; word j of the text is at (j, j, j). "window" (7B): the tokens of a window are spread
    evenly over [-1, 1] along each axis, and the text is not rotated.
    """

    kind: RopeKind
    head_dim: int

    @property
    def pairs(self) -> int:
        """Pairs of channels that turn, for each of the three axes."""
        dim = self.head_dim if self.kind == "integer" else self.head_dim // 2
        return dim // _AXES // 2

    def video(
        self, window: Size3, text_tokens: int, *, device: torch.device
    ) -> Float[Tensor, "tokens f"]:
        """Returns the angles of a window's tokens, ordered (t, h, w)."""
        starts = (text_tokens, 0, 0)
        places = (self._places(n, first) for n, first in zip(window, starts, strict=True))
        frequencies = self._frequencies()
        axes = [torch.outer(place, frequencies) for place in places]
        return rearrange(angle_grid(axes), "t h w f -> (t h w) f").to(device)

    def text(self, tokens: int, *, device: torch.device) -> Float[Tensor, "tokens f"] | None:
        """Returns the angles of the text; None: it is not rotated."""
        if self.kind == "window":
            return None
        angles = torch.outer(self._places(tokens, 0), self._frequencies())
        return angles.repeat(1, _AXES).to(device)

    def _places(self, count: int, first: int) -> Tensor:
        if self.kind == "integer":
            return torch.arange(first, first + count, dtype=torch.float32)
        return torch.linspace(-1, 1, count)  # a single one is at -1

    def _frequencies(self) -> Tensor:
        if self.kind == "integer":
            return rotary_frequencies(2 * self.pairs)
        return math.pi * torch.linspace(1, _HIGHEST, self.pairs)


@lru_cache(maxsize=2)  # plain and shifted windows of one size
def map_turns(
    rope: WindowRope, groups: Sequence[WindowGroup], text_tokens: int, *, device: torch.device
) -> Complex[Tensor, "t h w 1 f"]:
    """Returns the turns of all tokens of a map, each by its place in its window.

    All blocks of a network share them.
    """
    parts = [
        rope.video(group.size, text_tokens, device=device).expand(group.count, -1, -1)
        for group in groups
    ]
    return whole_turns(rearrange(merge(parts, groups), "1 f t h w -> t h w f"), rope.head_dim)


@lru_cache(maxsize=2)  # the text and the negative text
def text_turns(
    rope: WindowRope, tokens: int, *, device: torch.device
) -> Complex[Tensor, "tokens 1 f"] | None:
    """Returns the turns of the text, which all blocks share; None: it is not rotated."""
    angles = rope.text(tokens, device=device)
    return None if angles is None else whole_turns(angles, rope.head_dim)


def whole_turns(angles: Float[Tensor, "*n f"], head_dim: int) -> Complex[Tensor, "*n 1 f2"]:
    """Returns turns for all channel pairs of heads: those without an angle do not turn."""
    return as_turns(F.pad(angles, (0, head_dim // 2 - angles.shape[-1])))
