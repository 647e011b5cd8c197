"""Discriminators of generated and true frames: by pixel of single frames, or by patch of clips."""

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from vsr.models.blocks import FrameConv2d, unfold_time

DiscriminatorKind = Literal["frame", "temporal"]

SLOPE = 0.2
"""Of the leaky rectifiers."""


class DiscriminatorOutput(NamedTuple):
    """Output of a discriminator."""

    scores: Float[Tensor, "b 1 t h2 w2"]
    """One score a place, higher where the frames look true; not squashed."""
    maps: list[Tensor]
    """The maps after each resolution, finest first: what feature matching compares."""


class FrameDiscriminator(nn.Module):
    """A U-Net with spectral norms that judges every pixel of every frame by itself.

    The shape of Real-ESRGAN's (Wang et al. 2021, section 3.3): with 3 input channels, 64 channels
    and depth 3 it has 4.4 M parameters, and a score looks at 64 x 64 pixels. Frames of any size.
    """

    def __init__(self, in_channels: int, channels: int, depth: int):
        super().__init__()
        widths = [channels << level for level in range(depth + 1)]
        self.conv_in = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False))
            for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            spectral_norm(nn.Conv2d(b, a, 3, padding=1, bias=False))
            for b, a in pairwise(widths[::-1])
        )
        self.tail = nn.ModuleList(
            spectral_norm(nn.Conv2d(channels, channels, 3, padding=1, bias=False)) for _ in range(2)
        )
        self.conv_out = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, frames: Float[Tensor, "b c t h w"]) -> DiscriminatorOutput:
        """Scores of every pixel; frames in [-1, 1] or latents."""
        with parametrize.cached():
            _norm_weights(self)
            x = rearrange(frames, "b c t h w -> (b t) c h w")
            x = _leaky(self.conv_in(x.contiguous(memory_format=torch.channels_last)))
            skips: list[Tensor] = []
            for conv in self.down:
                skips.append(x)
                x = _leaky(conv(x))
            maps = [*skips, x]
            for conv in self.up:
                skip = skips.pop()
                size = (skip.shape[-2], skip.shape[-1])
                enlarged = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
                x = _leaky(conv(enlarged)) + skip
            for conv in self.tail:
                x = _leaky(conv(x))
            scores = self.conv_out(x)
        time = frames.shape[2]
        return DiscriminatorOutput(unfold_time(scores, time), [unfold_time(m, time) for m in maps])


class TemporalDiscriminator(nn.Module):
    """Temporal PatchGAN: halvings of each frame, each followed by a convolution over three frames.

    After Chang et al. 2019 (section 3.4), its 3-D kernels split into space and time, the latter on
    a residual branch; it takes clips of any length. With 64 channels and depth 3 it has 0.9 M
    parameters, and a score looks at 38 x 38 pixels in 7 frames. Height and width: 2^depth or more.
    """

    def __init__(self, in_channels: int, channels: int, depth: int):
        super().__init__()
        widths = [in_channels, *(channels << level for level in range(depth))]
        self.space = nn.ModuleList(
            spectral_norm(FrameConv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(widths)
        )
        self.time = nn.ModuleList(spectral_norm(_TimeConv(width)) for width in widths[1:])
        self.conv_out = FrameConv2d(widths[-1], 1, 3, padding=1)

    def forward(self, frames: Float[Tensor, "b c t h w"]) -> DiscriminatorOutput:
        """Scores of overlapping patches, a row of them for each frame."""
        with parametrize.cached():
            _norm_weights(self)
            x, maps = frames.contiguous(memory_format=torch.channels_last_3d), list[Tensor]()
            for space, time in zip(self.space, self.time, strict=True):
                x = _leaky(space(x))
                x = x + _leaky(time(x))
                maps.append(x)
            return DiscriminatorOutput(self.conv_out(x), maps)


def make_discriminator(
    kind: DiscriminatorKind, *, in_channels: int, channels: int, depth: int
) -> nn.Module:
    """A discriminator with fresh weights, drawn from torch's generator."""
    shape = FrameDiscriminator if kind == "frame" else TemporalDiscriminator
    return shape(in_channels, channels, depth)


class _TimeConv(nn.Conv2d):
    """A convolution over three frames, by a 2-D kernel on maps whose places lie in a row.

    oneDNN's 3-D form gives wrong gradients of its weights for clips of two frames in bf16.
    """

    def __init__(self, channels: int):
        super().__init__(channels, channels, (3, 1), padding=(1, 0))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(3)).unflatten(3, input.shape[-2:])


def _norm_weights(module: nn.Module) -> None:
    """Compute all normed weights now, in full precision, for the `parametrize.cached` around.

    Under autocast the power iteration would mix number formats, and it is too coarse there.
    """
    with torch.autocast(next(module.parameters()).device.type, enabled=False):
        for part in module.modules():
            if isinstance(part, nn.Conv2d) and parametrize.is_parametrized(part):
                _ = part.weight


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
