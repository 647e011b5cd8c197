"""Layers for two kinds of tokens, video and text: with weights of their own, or shared ones."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EPS = 1e-5


class Branches(nn.Module):
    """A layer for the video and one for the text, under the published names.

    `separate`: `vid` and `txt` have weights of their own; else both are `all`.
    """

    def __init__(self, make: Callable[[], nn.Module], *, separate: bool):
        super().__init__()
        for name in ("vid", "txt") if separate else ("all",):
            self.add_module(name, make())
        self.separate = separate

    @property
    def video(self) -> nn.Module:
        """The layer of the video."""
        return self.get_submodule("vid" if self.separate else "all")

    @property
    def text(self) -> nn.Module:
        """The layer of the text."""
        return self.get_submodule("txt" if self.separate else "all")


class RmsNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) times a weight (Zhang & Sennrich 2019), over the last axis."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "*n dim"]) -> Float[Tensor, "*n dim"]:
        """Returns the normalised tensor."""
        return F.rms_norm(x, self.weight.shape, self.weight, EPS)


class StoredLinear(nn.Linear):
    """A linear layer whose weight may lie in a shorter number format than it computes in."""

    def forward(self, input: Float[Tensor, "*n i"]) -> Float[Tensor, "*n o"]:
        """Returns the layer's output; its weight is cast for this call."""
        return F.linear(input, self.weight.to(input.dtype), self.bias)


class SwiGlu(nn.Module):
    """A gated feed-forward layer (Shazeer 2020), two thirds as wide, without biases."""

    def __init__(self, width: int):
        super().__init__()
        hidden = 256 * -(-(8 * width // 3) // 256)
        self.proj_in_gate = StoredLinear(width, hidden, bias=False)
        self.proj_out = StoredLinear(hidden, width, bias=False)
        self.proj_in = StoredLinear(width, hidden, bias=False)

    def forward(self, x: Float[Tensor, "*n w"]) -> Float[Tensor, "*n w"]:
        """Returns proj_out(silu(gate x) * in x)."""
        return self.proj_out(F.silu(self.proj_in_gate(x)) * self.proj_in(x))


class GeluMlp(nn.Module):
    """A feed-forward layer four times as wide, with GELU in its tanh form."""

    def __init__(self, width: int):
        super().__init__()
        self.proj_in = StoredLinear(width, 4 * width)
        self.proj_out = StoredLinear(4 * width, width)

    def forward(self, x: Float[Tensor, "*n w"]) -> Float[Tensor, "*n w"]:
        """Returns proj_out(gelu(proj_in x))."""
        return self.proj_out(F.gelu(self.proj_in(x), approximate="tanh"))
