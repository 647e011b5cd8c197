"""Convolutional building blocks of the U-Net and the autoencoder, on maps `b c t h w`.

Maps are kept with channels innermost in memory (`torch.channels_last_3d`), so that folding time
into the batch for a per-frame layer is a view, never a copy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.runtime.memory import release_freed_memory

M = TypeVar("M", bound=nn.Module)

Norm = Literal["clip", "frame", "none"]
Activation = Literal["silu", "prelu"]

_LARGEST_AT_ONCE = 1 << 21
"""Maps of more places are computed by frames or strips, where layers allow it: two frames of
1280x720 or nine of 640x360. At 64 channels in bfloat16 each map takes 270 MB there."""
_STRIPS = 8
_RESNET_MAPS = 4
"""A residual block holds its map, two results and a residual at once."""
_CACHED_VALUES = 1 << 20
"""Values of a strip with which a CPU's cache holds the maps of a temporal block."""
_CACHES = 16
"""Maps of more values than so many strips are read from memory for each layer."""


@dataclass(frozen=True, slots=True)
class BlockStyle:
    """Style that all blocks of one network share: their norms and activations.

    `norm`: "clip" pools a group over t, h and w together (the published networks), "frame" over
    h and w, "none" leaves norms out (results then do not depend on tiles and clip lengths).
    """

    norm: Norm = "clip"
    groups: int = 32
    eps: float = 1e-5
    activation: Activation = "silu"

    def with_eps(self, eps: float) -> "BlockStyle":
        """The same style with another epsilon in its norms."""
        return replace(self, eps=eps)

    def make_norm(self, channels: int) -> nn.Module:
        """A new norm; maps of fewer channels than groups get one group per channel."""
        if self.norm == "none":
            return nn.Identity()
        kind = nn.GroupNorm if self.norm == "clip" else FrameGroupNorm
        return kind(min(self.groups, channels), channels, eps=self.eps)

    def make_activation(self, channels: int) -> nn.Module:
        """A new activation; PReLU has a slope for each channel."""
        return nn.PReLU(channels) if self.activation == "prelu" else nn.SiLU()


class CheckpointMixin:
    """Runs layers with gradient checkpointing: activations are recomputed in the backward pass.

    `enable_gradient_checkpointing()` of a diffusers model sets the attributes of these names.
    """

    gradient_checkpointing: bool = False
    _gradient_checkpointing_func: Callable[..., Tensor]

    def checkpointed(self, layer: nn.Module) -> Callable[..., Tensor]:
        """Returns the layer, or a call of it that is checkpointed if that is enabled."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return partial(self._gradient_checkpointing_func, layer)
        return layer


class FrameGroupNorm(nn.GroupNorm):
    """Group norm with statistics per frame."""

    def forward(self, input: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """The normalised map."""
        return unfold_time(super().forward(fold_time(input)), input.shape[2])


class FrameConv2d(nn.Conv2d):
    """A 2-D convolution of every frame, with the weights of an image network."""

    def forward(self, input: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b out t h2 w2"]:
        """The convolved map; h2 and w2 follow from the stride."""
        return self.biased(input, self.bias)

    def biased(
        self, input: Float[Tensor, "b c t h w"], bias: Float[Tensor, " out"] | None
    ) -> Float[Tensor, "b out t h2 w2"]:
        """The convolved map, with another bias than the layer's own."""
        frames = self._conv_forward(fold_time(input), self.weight, bias)
        return unfold_time(frames, input.shape[2])


class TimeConv3d(nn.Conv3d):
    """A convolution along time alone over `kernel` frames, zero-padded at both ends.

    It runs as a 2-D convolution over (t, h w), a view of the map: on a CPU, 3-D convolutions in
    float32 have only a generic kernel, at half the speed, that returns channels outermost.
    """

    def __init__(self, channels: int, kernel: int):
        super().__init__(channels, channels, (kernel, 1, 1), padding=(kernel // 2, 0, 0))

    def forward(self, input: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b out t h w"]:
        """The convolved map."""
        return self.biased(input, self.bias)

    def biased(
        self, input: Float[Tensor, "b c t h w"], bias: Float[Tensor, " out"] | None
    ) -> Float[Tensor, "b out t h w"]:
        """The convolved map, with another bias than the layer's own."""
        if _exceeds_cache(input):
            return by_rows(partial(self._convolved, bias=bias), input)
        return self._convolved(input, bias)

    def _convolved(self, input: Tensor, bias: Tensor | None) -> Tensor:
        rows = rearrange(input, "b c t h w -> b c t (h w)")
        weight = rearrange(self.weight, "out c t 1 1 -> out c t 1")
        convolved = F.conv2d(rows, weight, bias, padding=(self.weight.shape[2] // 2, 0))
        return rearrange(convolved, "b c t (h w) -> b c t h w", h=input.shape[3])


class ResnetBlock(nn.Module):
    """norm, activation, conv, + time embedding, norm, activation, conv, + shortcut; every frame.

    Without `residual` the block is a plain chain of two layers, as in SRVGG (Wang et al. 2021).
    `temporal_kernel` adds conv3d(SiLU(norm3d(y))) to the result y: the "plus" block of the
    published video decoder.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        style: BlockStyle,
        time_channels: int | None = None,
        residual: bool = True,
        temporal_kernel: tuple[int, int, int] | None = None,
    ):
        super().__init__()
        self.norm1 = style.make_norm(in_channels)
        self.act1 = style.make_activation(in_channels)
        self.conv1 = FrameConv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(time_channels, out_channels) if time_channels else None
        self.norm2 = style.make_norm(out_channels)
        self.act2 = style.make_activation(out_channels)
        self.conv2 = FrameConv2d(out_channels, out_channels, 3, padding=1)
        self.residual = residual
        self.sees_frames_alone = style.norm != "clip" and temporal_kernel is None
        self.conv_shortcut = (
            FrameConv2d(in_channels, out_channels, 1)
            if residual and in_channels != out_channels
            else None
        )
        self.norm_3d = style.make_norm(out_channels) if temporal_kernel else None
        self.conv_3d = _centred_conv3d(out_channels, temporal_kernel) if temporal_kernel else None
        if self.conv_3d is not None:
            zero_parameters(self.conv_3d)

    def forward(
        self, x: Float[Tensor, "b c t h w"], time_embedding: Float[Tensor, "#b e"] | None = None
    ) -> Float[Tensor, "b out t h w"]:
        """The next map; `time_embedding` is required if the block has `time_channels`."""
        alone = self.sees_frames_alone and x.shape[2] > 1
        if alone and is_too_large_at_once(x, maps=_RESNET_MAPS):
            return by_frames(partial(self.forward, time_embedding=time_embedding), x)
        y = _timed(self.conv1, self.act1(self.norm1(x)), self.time_emb_proj, time_embedding)
        y = self.conv2(self.act2(self.norm2(y)))
        if self.residual:
            y = y + (x if self.conv_shortcut is None else self.conv_shortcut(x))
        if self.conv_3d is not None and self.norm_3d is not None:
            y = y + self.conv_3d(F.silu(self.norm_3d(y)))
        return y


class TemporalResnetBlock(nn.Module):
    """A residual block of two convolutions along time alone."""

    def __init__(
        self,
        channels: int,
        *,
        style: BlockStyle,
        kernels: tuple[int, int],
        time_channels: int | None = None,
    ):
        super().__init__()
        self.norm1 = style.make_norm(channels)
        self.act1 = style.make_activation(channels)
        self.conv1 = TimeConv3d(channels, kernels[0])
        self.time_emb_proj = nn.Linear(time_channels, channels) if time_channels else None
        self.norm2 = style.make_norm(channels)
        self.act2 = style.make_activation(channels)
        self.conv2 = TimeConv3d(channels, kernels[1])

    def forward(
        self, x: Float[Tensor, "b c t h w"], time_embedding: Float[Tensor, "#b e"] | None = None
    ) -> Float[Tensor, "b c t h w"]:
        """The next map; frames beyond the ends of the segment count as zero."""
        y = _timed(self.conv1, self.act1(self.norm1(x)), self.time_emb_proj, time_embedding)
        return x + self.conv2(self.act2(self.norm2(y)))


class TemporalBlock(nn.Module):
    """x + shift_conv(spatial(temporal(x))): the block that inflates a 2-D level in time.

    `shift_conv` starts at zero, as in the published networks, so that an inflated image network
    keeps its result.
    """

    def __init__(
        self,
        channels: int,
        *,
        style: BlockStyle,
        kernels: tuple[int, int],
        time_channels: int,
        spatial: bool,
    ):
        super().__init__()
        self.resblocks_3d_temporal = TemporalResnetBlock(
            channels, style=style, kernels=kernels, time_channels=time_channels
        )
        self.resblocks_3d_spatial = (
            ResnetBlock(channels, channels, style=style, time_channels=time_channels)
            if spatial
            else None
        )
        self.shift_conv = FrameConv2d(channels, channels, 1)
        self.sees_places_alone = not spatial and style.norm == "none"
        zero_parameters(self.shift_conv)

    def forward(
        self, x: Float[Tensor, "b c t h w"], time_embedding: Float[Tensor, "#b e"]
    ) -> Float[Tensor, "b c t h w"]:
        """The map plus the contribution of its neighbours in time."""
        if self.sees_places_alone and (is_too_large_at_once(x) or _exceeds_cache(x)):
            return by_rows(partial(self._moved, time_embedding=time_embedding), x)
        return self._moved(x, time_embedding)

    def _moved(self, x: Tensor, time_embedding: Tensor) -> Tensor:
        y = self.resblocks_3d_temporal(x, time_embedding)
        if self.resblocks_3d_spatial is not None:
            y = self.resblocks_3d_spatial(y, time_embedding)
        return x + self.shift_conv(y)


def fold_time(x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "bt c h w"]:
    """Every frame as a batch entry."""
    return rearrange(x, "b c t h w -> (b t) c h w")


def unfold_time(x: Float[Tensor, "bt c h w"], frames: int) -> Float[Tensor, "b c t h w"]:
    """The inverse of `fold_time` for segments of `frames`."""
    return rearrange(x, "(b t) c h w -> b c t h w", t=frames)


def is_too_large_at_once(x: Float[Tensor, "b c t h w"], *, maps: int = 1) -> bool:
    """True for maps whose layers would fill memory with maps of the whole clip, in inference.

    The layers need as much memory as `maps` maps would that are convolved.
    """
    return x.shape[0] * x[0, 0].numel() > _LARGEST_AT_ONCE / maps and not torch.is_grad_enabled()


def end_stage(x: Float[Tensor, "b c t h w"]) -> None:
    """Release what a stage has freed, where the next one needs memory for a large clip on a CPU."""
    if x.device.type == "cpu" and is_too_large_at_once(x):
        release_freed_memory()


def _exceeds_cache(x: Tensor) -> bool:
    """True for maps that a CPU reads from memory for each layer, in inference."""
    is_large = x.numel() > _CACHES * _CACHED_VALUES
    return x.device.type == "cpu" and is_large and not torch.is_grad_enabled()


def by_frames(
    layer: Callable[..., Tensor], *maps: Float[Tensor, "b _ t h w"]
) -> Float[Tensor, "b out t h2 w2"]:
    """`layer(*maps)` frame by frame, for layers that see each frame alone."""
    return _in_parts(layer, *maps, dim=2, step=1)


def by_rows(
    layer: Callable[[Tensor], Tensor], x: Float[Tensor, "b c t h w"]
) -> Float[Tensor, "b out t h w"]:
    """`layer(x)` by strips of rows, for layers that see each place alone.

    Strips that stay in a CPU's cache take three quarters of the time there: 5.5 instead of 7.5 ms
    a frame for a temporal block on 16 frames of 180x144.
    """
    rows = x.shape[3]
    step = max(1, rows * _CACHED_VALUES // x.numel()) if _exceeds_cache(x) else -(-rows // _STRIPS)
    return _in_parts(layer, x, dim=3, step=step)


def by_strips(
    layer: Callable[[Tensor], Tensor], x: Float[Tensor, "b c t h w"], heights: list[int]
) -> Float[Tensor, "b out t h w"]:
    """`layer(x)` by strips of these heights, for layers that see none from another."""
    return _in_parts(layer, x, dim=3, step=heights)


def _in_parts(
    layer: Callable[..., Tensor], *maps: Tensor, dim: int, step: int | list[int]
) -> Tensor:
    out: Tensor | None = None
    start = 0
    for parts in zip(*(x.split(step, dim=dim) for x in maps), strict=True):
        y = layer(*parts)
        if out is None:
            shape = list(y.shape)
            shape[dim] = maps[0].shape[dim]
            out = torch.empty(
                shape, dtype=y.dtype, device=y.device, memory_format=torch.channels_last_3d
            )
        out.narrow(dim, start, y.shape[dim]).copy_(y)
        start += y.shape[dim]
    assert out is not None, "a map has at least one frame and one row"
    return out


def channels_innermost(module: M) -> M:
    """Store the kernels of `module` with channels innermost, like its maps, and return it."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in module.parameters():
        if parameter.ndim in formats:
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
    return module


def zero_parameters(module: nn.Module) -> None:
    """Set every parameter of `module` to zero, so that its branch adds nothing at first."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def _centred_conv3d(channels: int, kernel: tuple[int, int, int]) -> nn.Conv3d:
    """A zero-padded convolution that keeps the size of its map."""
    t, h, w = kernel
    if h == w == 1:
        return TimeConv3d(channels, t)
    return nn.Conv3d(channels, channels, kernel, padding=(t // 2, h // 2, w // 2))


def _timed(
    conv: FrameConv2d | TimeConv3d,
    x: Tensor,
    projection: nn.Linear | None,
    time_embedding: Tensor | None,
) -> Tensor:
    """conv(x) + projection(SiLU(time embedding)).

    For a batch of one the second term is added to the bias of the convolution, which saves a pass
    over the map: 11 % of the embedded U-Net's time on a CPU.
    """
    if projection is None:
        return conv(x)
    assert time_embedding is not None, "this block needs a time embedding"
    shift = projection(F.silu(time_embedding))
    if len(shift) == 1 and conv.bias is not None:
        return conv.biased(x, conv.bias + shift[0])
    return conv(x) + rearrange(shift, "b c -> b c 1 1 1")
