"""The video autoencoder of SeedVR: 8x8 in space, 4 in time, causal, so that a shot can stream."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.seedvr.causal_conv import CausalConv3d, StreamState, name_convolutions
from vsr.models.seedvr.vae_blocks import DownBlock, FrameNorm, MidBlock, UpBlock

FRAMES_PER_LATENT = 4
"""Frames of a latent; the first latent of a clip is one frame."""
PIXELS_PER_LATENT = 8
_LOG_VARIANCES = (-30.0, 20.0)
_CUBE = (3, 3, 3)
_PAST = 2
"""Earlier frames that a convolution of depth 3 sees."""
_OUT, _MID = _PAST, 4 * _PAST
"""Those that the last convolution, and the two residual blocks in the middle, see."""


@dataclass(frozen=True, slots=True)
class LatentDistribution:
    """The normal distribution of the latents of frames."""

    mean: Float[Tensor, "b c t h w"]
    log_variance: Float[Tensor, "b c t h w"]

    def sample(self, noise: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        """Returns the mean plus standard deviations of `noise`."""
        return self.mean + torch.exp(self.log_variance / 2) * noise.to(self.mean)


class VideoEncoder(nn.Module):
    """Frames to the moments of their latents."""

    def __init__(self, channels: Sequence[int], *, layers: int, groups: int, latent_channels: int):
        super().__init__()
        last = len(channels) - 1
        self.conv_in = CausalConv3d(3, channels[0], _CUBE)
        self.down_blocks = nn.ModuleList(
            DownBlock(
                inputs,
                outputs,
                layers=layers,
                groups=groups,
                temporal=None if i == last else i >= last - 2,
            )
            for i, (inputs, outputs) in enumerate(pairwise([channels[0], *channels]))
        )
        self.mid_block = MidBlock(channels[-1], groups)
        self.conv_norm_out = FrameNorm(groups, channels[-1])
        self.conv_out = CausalConv3d(channels[-1], 2 * latent_channels, _CUBE)

    def forward(
        self, frames: Float[Tensor, "b 3 t h w"], state: StreamState
    ) -> Float[Tensor, "b c2 t2 h2 w2"]:
        """Returns means and log-variances."""
        x = self.conv_in(frames, state)
        for block in self.down_blocks:
            x = block(x, state)
        x = self.mid_block(x, state)
        return self.conv_out(x, state, self.conv_norm_out.activated(x, state))


class VideoDecoder(nn.Module):
    """Latents to frames."""

    def __init__(self, channels: Sequence[int], *, layers: int, groups: int, latent_channels: int):
        super().__init__()
        rising = list(reversed(channels))
        last = len(channels) - 1
        self.conv_in = CausalConv3d(latent_channels, rising[0], _CUBE)
        self.up_blocks = nn.ModuleList(
            UpBlock(
                inputs,
                outputs,
                layers=layers + 1,
                groups=groups,
                temporal=None if i == last else i < 2,
            )
            for i, (inputs, outputs) in enumerate(pairwise([rising[0], *rising]))
        )
        self.mid_block = MidBlock(rising[0], groups)
        self.conv_norm_out = FrameNorm(groups, rising[-1])
        self.conv_out = CausalConv3d(rising[-1], 3, _CUBE)

    def forward(
        self, latents: Float[Tensor, "b c t h w"], state: StreamState
    ) -> Float[Tensor, "b 3 t2 h2 w2"]:
        """Returns the frames."""
        x = self.mid_block(self.conv_in(latents, state), state)
        for block in self.up_blocks:
            x = block(x, state)
        return self.conv_out(x, state, self.conv_norm_out.activated(x, state))


class CausalVideoVae(ModelMixin, ConfigMixin):
    """Frames to latents and back; the defaults are the published autoencoder.

    A clip of 4 n + 1 frames has n + 1 latents. `encode` and `decode` take a clip whole, or a stream
    of slices with one `StreamState`: the numbers are the same within rounding.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        layers_per_block: int = 2,
        norm_num_groups: int = 32,
        latent_channels: int = 16,
        scaling_factor: float = 0.9152,
    ):
        super().__init__()
        self.scaling_factor = scaling_factor
        self.encoder = VideoEncoder(
            block_out_channels,
            layers=layers_per_block,
            groups=norm_num_groups,
            latent_channels=latent_channels,
        )
        self.decoder = VideoDecoder(
            block_out_channels,
            layers=layers_per_block,
            groups=norm_num_groups,
            latent_channels=latent_channels,
        )
        name_convolutions(self)

    @property
    def encoder_reach(self) -> int:
        """Latents before a latent whose frames it depends on (28 in the published network)."""
        levels, layers = len(self.config["block_out_channels"]), self.config["layers_per_block"]
        frames = _OUT + _MID
        for i in reversed(range(levels)):
            if i < levels - 1 and i >= levels - 3:
                frames = 2 * frames + _PAST
            frames += 2 * _PAST * layers
        return ceil((frames + _PAST) / FRAMES_PER_LATENT)

    @property
    def decoder_reach(self) -> int:
        """Latents before a latent on which its frames depend (37 in the published network)."""
        levels, layers = len(self.config["block_out_channels"]), self.config["layers_per_block"]
        steps = _OUT
        for i in reversed(range(levels)):
            if i < levels - 1:
                steps += _PAST
            if i < 2:
                steps = ceil(steps / 2)
            steps += 2 * _PAST * (layers + 1)
        return steps + _MID + _PAST

    def encode(
        self, frames: Float[Tensor, "b 3 t h w"], state: StreamState | None = None
    ) -> LatentDistribution:
        """Returns the distribution of the latents of frames in [-1, 1], sides multiples of 8.

        4 n + 1 frames start a clip; with the `state` after them, 4 n more continue it.
        """
        moments = self.encoder(frames, StreamState() if state is None else state)
        mean, log_variance = moments.chunk(2, dim=1)
        return LatentDistribution(mean, log_variance.clamp(*_LOG_VARIANCES))

    def decode(
        self, latents: Float[Tensor, "b c t h w"], state: StreamState | None = None
    ) -> Float[Tensor, "b 3 t2 h2 w2"]:
        """Returns the frames of latents, not clamped; with a `state`, those that continue it."""
        return self.decoder(latents, StreamState() if state is None else state)

    def decode_slices(
        self, latents: Float[Tensor, "b c t h w"], state: StreamState | None = None
    ) -> Iterator[Float[Tensor, "b 3 _ h2 w2"]]:
        """Yields what `decode` returns, 4 frames at a time (5 at the start of a clip)."""
        state = StreamState() if state is None else state
        first, count = 1 if state.frames else 2, latents.shape[2]
        for start, stop in pairwise(sorted({0, *range(first, count), count})):
            yield self.decode(latents[:, :, start:stop], state)
