"""The blocks of SeedVR's video autoencoder: residual, attention, half and double size."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.seedvr.causal_conv import CausalConv3d, Enter, StreamState, stacked_rows
from vsr.ops.attention import attend

EPS = 1e-6
_GROUPED = "b (g c) t h w -> b g t (c h w)"
_CUBE = (3, 3, 3)
_POINT = (1, 1, 1)


class FrameNorm(nn.GroupNorm):
    """A group norm over each frame alone."""

    def __init__(self, groups: int, channels: int):
        super().__init__(groups, channels, eps=EPS)

    def forward(self, input: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """Returns the normalised frames."""
        frames = super().forward(rearrange(input, "b c t h w -> (b t) c h w"))
        return rearrange(frames, "(b t) c h w -> b c t h w", b=input.shape[0])

    def activated(self, x: Float[Tensor, "b c t h w"], state: StreamState) -> Enter:
        """Returns the function that takes rows of `x` to SiLU of the normalised frames."""
        if state.strip_rows(x) == x.shape[-2]:
            return lambda rows: F.silu(self(rows))
        scale, shift = self._affine(x, state.strip_rows(x))
        return lambda rows: F.silu((rows * scale + shift).to(rows.dtype))

    def _affine(self, x: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        """Scale and shift `b c t 1 1`, from the moments of strips (Chan et al. 1979)."""
        strips = x.split(rows, dim=-2)
        counts = x.new_tensor([strip.shape[-2] for strip in strips], dtype=torch.float32)
        shares = (counts / counts.sum()).view(-1, 1, 1, 1)
        moments = [
            torch.var_mean(rearrange(strip, _GROUPED, g=self.num_groups).float(), -1, correction=0)
            for strip in strips
        ]
        variances, means = (torch.stack(found) for found in zip(*moments, strict=True))
        mean = (shares * means).sum(0)
        variance = (shares * (variances + (means - mean) ** 2)).sum(0)
        width = x.shape[1] // self.num_groups
        inverse, centre = (
            found.repeat_interleave(width, 1)[..., None, None]
            for found in ((variance + self.eps).rsqrt(), mean)
        )
        scale = self.weight.view(-1, 1, 1, 1) * inverse
        return scale, self.bias.view(-1, 1, 1, 1) - centre * scale


class ResnetBlock(nn.Module):
    """Norm, SiLU, convolution, twice, plus the input."""

    def __init__(self, inputs: int, outputs: int, groups: int):
        super().__init__()
        self.norm1 = FrameNorm(groups, inputs)
        self.conv1 = CausalConv3d(inputs, outputs, _CUBE)
        self.norm2 = FrameNorm(groups, outputs)
        self.conv2 = CausalConv3d(outputs, outputs, _CUBE)
        self.conv_shortcut = None if inputs == outputs else CausalConv3d(inputs, outputs, _POINT)

    def forward(
        self, x: Float[Tensor, "b i t h w"], state: StreamState
    ) -> Float[Tensor, "b o t h w"]:
        """Returns the frames after the block."""
        y = self.conv1(x, state, self.norm1.activated(x, state))
        y = self.conv2(y, state, self.norm2.activated(y, state))
        return y + (x if self.conv_shortcut is None else self.conv_shortcut(x, state))


class SpatialAttention(nn.Module):
    """Full attention with one head inside each frame, plus the input."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.group_norm = FrameNorm(groups, channels)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """Returns the frames after attention."""
        b, _, _, h, w = x.shape
        tokens = rearrange(self.group_norm(x), "b c t h w -> (b t) 1 (h w) c")
        seen = attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        return x + rearrange(self.to_out[0](seen), "(b t) 1 (h w) c -> b c t h w", b=b, h=h, w=w)


class MidBlock(nn.Module):
    """A residual block, attention, a residual block."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.attentions = nn.ModuleList([SpatialAttention(channels, groups)])
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, groups) for _ in range(2))

    def forward(
        self, x: Float[Tensor, "b c t h w"], state: StreamState
    ) -> Float[Tensor, "b c t h w"]:
        """Returns the frames after the block."""
        return self.resnets[1](self.attentions[0](self.resnets[0](x, state)), state)


class Downsample(nn.Module):
    """Half the rows and columns, and half the frames if `temporal`."""

    def __init__(self, channels: int, *, temporal: bool):
        super().__init__()
        depth, stride = (3, 2) if temporal else (1, 1)
        self.conv = CausalConv3d(channels, channels, (depth, 3, 3), stride=(stride, 2, 2))

    def forward(
        self, x: Float[Tensor, "b c t h w"], state: StreamState
    ) -> Float[Tensor, "b c t2 h2 w2"]:
        """Returns the smaller frames."""
        return self.conv(x, state)


class Upsample(nn.Module):
    """Twice the rows and columns, and twice the frames if `temporal`, by a pixel shuffle.

    The first frame of a clip stays one: 2 frames become 3, and 4 more become 8 more.
    """

    def __init__(self, channels: int, *, temporal: bool):
        super().__init__()
        self.times = 2 if temporal else 1
        self.upscale_conv = CausalConv3d(channels, channels * 4 * self.times, _POINT)
        self.conv = CausalConv3d(channels, channels, _CUBE)

    def forward(
        self, x: Float[Tensor, "b c t h w"], state: StreamState
    ) -> Float[Tensor, "b c t2 h2 w2"]:
        """Returns the larger frames."""
        starts = self.conv.name not in state.frames
        strips = x.split(state.strip_rows(x), dim=-2)
        parts = (self._shuffled(strip, state) for strip in strips)
        x = next(parts) if len(strips) == 1 else stacked_rows(parts, 2 * x.shape[-2])
        if starts and self.times == 2:
            x = x[:, :, [0, *range(2, x.shape[2])]]
        return self.conv(x, state)

    def _shuffled(self, rows: Tensor, state: StreamState) -> Tensor:
        values = self.upscale_conv(rows, state)
        return rearrange(
            values, "b (y x z c) t h w -> b c (t z) (h y) (w x)", y=2, x=2, z=self.times
        )


class DownBlock(nn.Module):
    """Residual blocks, then half the size; `temporal` None: the size stays."""

    def __init__(
        self, inputs: int, outputs: int, *, layers: int, groups: int, temporal: bool | None
    ):
        super().__init__()
        self.resnets = _resnets(inputs, outputs, layers, groups)
        self.downsamplers = (
            None if temporal is None else nn.ModuleList([Downsample(outputs, temporal=temporal)])
        )

    def forward(
        self, x: Float[Tensor, "b i t h w"], state: StreamState
    ) -> Float[Tensor, "b o t2 h2 w2"]:
        """Returns the frames after the block."""
        return _run((*self.resnets, *(self.downsamplers or ())), x, state)


class UpBlock(nn.Module):
    """Residual blocks, then twice the size; `temporal` None: the size stays."""

    def __init__(
        self, inputs: int, outputs: int, *, layers: int, groups: int, temporal: bool | None
    ):
        super().__init__()
        self.resnets = _resnets(inputs, outputs, layers, groups)
        self.upsamplers = (
            None if temporal is None else nn.ModuleList([Upsample(outputs, temporal=temporal)])
        )

    def forward(
        self, x: Float[Tensor, "b i t h w"], state: StreamState
    ) -> Float[Tensor, "b o t2 h2 w2"]:
        """Returns the frames after the block."""
        return _run((*self.resnets, *(self.upsamplers or ())), x, state)


def _resnets(inputs: int, outputs: int, layers: int, groups: int) -> nn.ModuleList:
    return nn.ModuleList(
        ResnetBlock(inputs if i == 0 else outputs, outputs, groups) for i in range(layers)
    )


def _run(layers: tuple[nn.Module, ...], x: Tensor, state: StreamState) -> Tensor:
    for layer in layers:
        x = layer(x, state)
    return x
