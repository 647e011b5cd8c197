"""The feed-forward layer of a transformer block."""

from typing import Any, cast

import torch
import torch.nn.functional as F
from diffusers.models import attention
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class FeedForward(attention.FeedForward):
    """linear(a * gelu(g)) of a, g = linear(x): GEGLU (Shazeer 2020), in the layers of diffusers."""

    def __init__(self, channels: int, mult: int):
        super().__init__(channels, mult=mult, activation_fn="geglu")

    def forward(
        self, hidden_states: Float[Tensor, "*n c"], *args: Any, **kwargs: Any
    ) -> Float[Tensor, "*n c"]:
        """The next tokens."""
        first: Any = cast("Any", self.net[0]).proj
        last: Any = self.net[2]
        if not _suits_convolutions(hidden_states, first, last):
            return super().forward(hidden_states, *args, **kwargs)
        (values, gates), (shift, gate_shift) = first.weight.chunk(2), first.bias.chunk(2)
        gated = F.gelu(_linear(hidden_states, gates, gate_shift))
        gated.mul_(_linear(hidden_states, values, shift))
        return _linear(gated, last.weight, last.bias)


def _suits_convolutions(x: Tensor, *layers: Any) -> bool:
    """True for tokens `b t h w c` in inference in bfloat16 on a CPU, with plain layers.

    Adapters have a way of their own.
    """
    if x.device.type != "cpu" or x.dtype != torch.bfloat16 or torch.is_grad_enabled():
        return False
    return x.ndim == 5 and all(type(layer) is nn.Linear for layer in layers)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.linear` as a convolution of one place, with values and gates in maps of their own.

    There `F.linear` first fills its result with the bias, and GELU is slow on half of a map: the
    layer took 6.1 ms on 90x72 tokens of 128 channels and takes 3.7 ms.
    """
    frames = rearrange(x, "b t h w c -> (b t) c h w")
    convolved = F.conv2d(frames, rearrange(weight, "out c -> out c 1 1"), bias)
    return rearrange(convolved, "(b t) c h w -> b t h w c", t=x.shape[1])
