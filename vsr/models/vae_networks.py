"""The encoder and the decoder of the autoencoder, on maps `b c t h w`."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.blocks import (
    BlockStyle,
    CheckpointMixin,
    FrameConv2d,
    ResnetBlock,
    fold_time,
    unfold_time,
)
from vsr.models.resampling import Downsample, Upsample
from vsr.ops.attention import attend


@dataclass(frozen=True, slots=True)
class VaeStyle:
    """Shape of the encoder and the decoder; see `AutoencoderKLVideo`."""

    channels: tuple[int, ...]
    layers: int
    block: BlockStyle
    attention: bool
    temporal_kernel: tuple[int, int, int] | None
    condition_channels: int | None


class VaeEncoder(nn.Module):
    """Frames to the moments of their latents, frame by frame."""

    def __init__(self, in_channels: int, latent_channels: int, style: VaeStyle):
        super().__init__()
        channels = style.channels
        self.conv_in = FrameConv2d(in_channels, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            Stage(
                channels[max(i - 1, 0)],
                width,
                layers=style.layers,
                style=style.block,
                down=i < len(channels) - 1,
            )
            for i, width in enumerate(channels)
        )
        self.mid_block = Middle(channels[-1], style.block, attention=style.attention, kernel=None)
        self.conv_norm_out = style.block.make_norm(channels[-1])
        self.conv_act_out = style.block.make_activation(channels[-1])
        self.conv_out = FrameConv2d(channels[-1], 2 * latent_channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "b 3 t h4 w4"]) -> Float[Tensor, "b c t h w"]:
        """Mean and log variance, concatenated."""
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(self.conv_act_out(self.conv_norm_out(self.mid_block(x))))


class VaeDecoder(nn.Module):
    """Latents to frames, conditioned on the LR frames after the first convolution if configured."""

    def __init__(self, latent_channels: int, out_channels: int, style: VaeStyle):
        super().__init__()
        channels = style.channels[::-1]
        kernel = style.temporal_kernel
        self.conv_in = FrameConv2d(latent_channels, channels[0], 3, padding=1)
        condition = style.condition_channels
        self.condition_in = self.condition_fuse = None
        if condition is not None:
            self.condition_in = nn.ModuleList(
                ResnetBlock(width, condition, style=style.block, temporal_kernel=kernel)
                for width in (3, condition)
            )
            self.condition_fuse = ConditionFuse(condition, channels[0], style.block)
        self.mid_block = Middle(channels[0], style.block, attention=style.attention, kernel=kernel)
        self.up_blocks = nn.ModuleList(
            Stage(
                channels[max(i - 1, 0)],
                width,
                layers=style.layers + 1,
                style=style.block,
                kernel=kernel,
                up=i < len(channels) - 1,
            )
            for i, width in enumerate(channels)
        )
        self.conv_norm_out = style.block.make_norm(channels[-1])
        self.conv_act_out = style.block.make_activation(channels[-1])
        self.conv_out = FrameConv2d(channels[-1], out_channels, 3, padding=1)

    def forward(
        self, x: Float[Tensor, "b c t h w"], low_res: Float[Tensor, "b 3 t h w"]
    ) -> Float[Tensor, "b out t h2 w2"]:
        """The last map: frames, or the residual of packed latents."""
        x = self.conv_in(x)
        if self.condition_in is not None and self.condition_fuse is not None:
            condition = low_res
            for block in self.condition_in:
                condition = block(condition)
            x = self.condition_fuse(condition, x)
        x = self.mid_block(x)
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(self.conv_act_out(self.conv_norm_out(x)))


class ConditionFuse(nn.Module):
    """x + x * scale + shift, both computed from the condition and x (SFT, Wang et al. 2018)."""

    def __init__(self, condition_channels: int, channels: int, style: BlockStyle):
        super().__init__()
        self.shared = nn.ModuleList(
            ResnetBlock(width, channels, style=style)
            for width in (condition_channels + channels, channels)
        )
        self.scale = FrameConv2d(channels, channels, 3, padding=1)
        self.shift = FrameConv2d(channels, channels, 3, padding=1)

    def forward(
        self, condition: Float[Tensor, "b k t h w"], x: Float[Tensor, "b c t h w"]
    ) -> Float[Tensor, "b c t h w"]:
        """The modulated map."""
        y = torch.cat([condition, x], dim=1)
        for block in self.shared:
            y = block(y)
        return x + (x * self.scale(y) + self.shift(y))


class Middle(CheckpointMixin, nn.Module):
    """Resnet, attention within each frame if configured, resnet."""

    def __init__(
        self,
        channels: int,
        style: BlockStyle,
        *,
        attention: bool,
        kernel: tuple[int, int, int] | None,
    ):
        super().__init__()
        self.resnets = nn.ModuleList(
            ResnetBlock(channels, channels, style=style, temporal_kernel=kernel) for _ in range(2)
        )
        self.attentions = nn.ModuleList(
            [PixelAttention(channels, style.groups)] if attention else []
        )

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """The next map."""
        for layer in (self.resnets[0], *self.attentions, self.resnets[1]):
            x = self.checkpointed(layer)(x)
        return x


class PixelAttention(nn.Module):
    """Single-head attention within each frame, on a residual branch."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """The attended map."""
        frames = fold_time(x)
        tokens = rearrange(self.group_norm(frames), "n c h w -> n 1 (h w) c")
        y = self.to_out[0](attend(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens)))
        y = rearrange(y, "n 1 (h w) c -> n c h w", h=x.shape[-2])
        return x + unfold_time(y, x.shape[2])


class Stage(CheckpointMixin, nn.Module):
    """Resnets of one resolution, then a change of resolution if configured."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        layers: int,
        style: BlockStyle,
        kernel: tuple[int, int, int] | None = None,
        down: bool = False,
        up: bool = False,
    ):
        super().__init__()
        widths = [in_channels] + [channels] * (layers - 1)
        self.resnets = nn.ModuleList(
            ResnetBlock(width, channels, style=style, temporal_kernel=kernel) for width in widths
        )
        self.downsamplers = (
            nn.ModuleList([Downsample(channels, pad_end_only=True)]) if down else None
        )
        self.upsamplers = nn.ModuleList([Upsample(channels)]) if up else None

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t h2 w2"]:
        """The next map."""
        for block in self.resnets:
            x = self.checkpointed(block)(x)
        for resample in (self.downsamplers, self.upsamplers):
            if resample is not None:
                x = resample[0](x)
        return x
