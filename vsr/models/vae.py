"""The autoencoder between frames and latents, four times apart; its decoder sees the LR frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils.accelerate_utils import apply_forward_hook
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vsr.models.blocks import (
    BlockStyle,
    FrameConv2d,
    fold_time,
    is_too_large_at_once,
    unfold_time,
    zero_parameters,
)
from vsr.models.vae_networks import VaeDecoder, VaeEncoder, VaeStyle

PATCH = 4
_STRIPS = 4
"""Large packed latents are decoded in so many strips of rows."""
LatentKind = Literal["kl", "unshuffle"]


@dataclass(slots=True)
class EncoderOutput:
    """Distribution of the latents of frames."""

    latent_dist: DiagonalGaussianDistribution


@dataclass(slots=True)
class DecoderOutput:
    """Decoded frames in [-1, 1], not clamped."""

    sample: Float[Tensor, "b 3 t h4 w4"]


class AutoencoderKLVideo(ModelMixin, ConfigMixin):
    """Latents at LR size for frames four times larger.

    With its defaults it is the Stable Diffusion x4 upscaler's autoencoder (55 M parameters) applied
    to each frame; `temporal_kernel=(3, 3, 3)` and `condition_channels=128` make it the published
    video decoder. `latents="unshuffle"` has no encoder network: a latent is the 4x4 pixels of its
    place (48 channels, exactly invertible), which the decoder refines by a residual.
    `decode_frames` frames are decoded at once, with `decode_context` more as input on each side;
    (3, 0) is the published way, with seams between groups.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        latent_channels: int = 4,
        latents: LatentKind = "kl",
        block_out_channels: Sequence[int] = (128, 256, 512),
        layers_per_block: int = 2,
        norm: str = "clip",
        norm_groups: int = 32,
        activation: str = "silu",
        mid_attention: bool = True,
        temporal_kernel: Sequence[int] | None = None,
        condition_channels: int | None = None,
        scaling_factor: float = 0.08333,
        decode_frames: int = 3,
        decode_context: int = 0,
    ):
        super().__init__()
        block = BlockStyle(
            norm=cast(Any, norm), groups=norm_groups, eps=1e-6, activation=cast(Any, activation)
        )
        style = VaeStyle(
            channels=tuple(block_out_channels),
            layers=layers_per_block,
            block=block,
            attention=mid_attention,
            temporal_kernel=cast(Any, tuple(temporal_kernel)) if temporal_kernel else None,
            condition_channels=condition_channels,
        )
        if latents == "kl":
            self.encoder = VaeEncoder(in_channels, latent_channels, style)
            self.quant_conv = FrameConv2d(2 * latent_channels, 2 * latent_channels, 1)
            self.post_quant_conv = FrameConv2d(latent_channels, latent_channels, 1)
            self.decoder = VaeDecoder(latent_channels, out_channels, style)
        else:
            self.encoder = None
            self.decoder = VaeDecoder(latent_channels, latent_channels, style)
            zero_parameters(self.decoder.conv_out)
        self._reach = 0
        if self.packed and norm == "none" and not mid_attention:
            convs = [m for m in self.decoder.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d))]
            self._reach = sum(conv.kernel_size[-2] // 2 for conv in convs)

    @property
    def packed(self) -> bool:
        """True if a latent is the 4x4 pixels of its place."""
        return self.config["latents"] == "unshuffle"

    @property
    def latent_scale(self) -> float:
        """Scaled latents, as the U-Net sees them, are this factor times those of `encode`."""
        return 1.0 if self.packed else self.config["scaling_factor"]

    @apply_forward_hook
    def encode(self, frames: Float[Tensor, "b 3 t h4 w4"]) -> EncoderOutput:
        """The distribution of the unscaled latents of frames in [-1, 1], sizes divisible by 4."""
        if self.encoder is None:
            mean = pack(frames)
            moments = torch.cat([mean, torch.zeros_like(mean)], dim=1)
            return EncoderOutput(DiagonalGaussianDistribution(moments, deterministic=True))
        moments = self.quant_conv(self.encoder(_channels_last(frames)))
        return EncoderOutput(DiagonalGaussianDistribution(moments))

    def encode_scaled(self, frames: Float[Tensor, "b 3 t h4 w4"]) -> Float[Tensor, "b c t h w"]:
        """The most likely scaled latents of frames in [-1, 1]."""
        if self.packed:
            return pack(frames)
        return self.encode(frames).latent_dist.mode() * self.latent_scale

    def encode_enlarged(self, low_res: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b c t h w"]:
        """The scaled latents of LR frames enlarged four times, by repetition if packed, or bicubic.

        Packed latents keep the type of `low_res`, others have that of the network.
        """
        if self.packed:
            return enlarged_latents(low_res)
        large = F.interpolate(fold_time(low_res), scale_factor=PATCH, mode="bicubic")
        return self.encode_scaled(unfold_time(large, low_res.shape[2]).to(self.dtype))

    @apply_forward_hook
    def decode(
        self, latents: Float[Tensor, "b c t h w"], low_res: Float[Tensor, "b 3 t h w"]
    ) -> DecoderOutput:
        """The frames of unscaled latents, all in one call.

        `low_res`: clean LR frames in [-1, 1]; a decoder without condition ignores them. The
        networks compute in their own dtype; packed latents keep theirs.
        """
        if self.packed:
            return DecoderOutput(unpack(latents + self.residual(latents, low_res)))
        seen, low_res = (_channels_last(x.to(self.dtype)) for x in (latents, low_res))
        return DecoderOutput(self.decoder(self.post_quant_conv(seen), low_res))

    @apply_forward_hook
    def residual(
        self, latents: Float[Tensor, "b c t h w"], low_res: Float[Tensor, "b 3 t h w"]
    ) -> Float[Tensor, "b c t h w"]:
        """The decoder's change of packed latents, in the type of the network.

        Large ones are computed in strips of rows, with the rows around that the layers see.
        """
        if not self._reach or not is_too_large_at_once(latents):
            return self._change(latents, low_res)
        rows = latents.shape[3]
        height = -(-rows // _STRIPS)
        change = torch.empty_like(latents, dtype=self.dtype)
        for start in range(0, rows, height):
            first, stop = max(0, start - self._reach), min(rows, start + height)
            seen = slice(first, min(rows, stop + self._reach))
            part = self._change(latents[..., seen, :], low_res[..., seen, :])
            change[..., start:stop, :] = part[..., start - first : stop - first, :]
        return change

    def _change(self, latents: Tensor, low_res: Tensor) -> Tensor:
        return self.decoder(*(_channels_last(x.to(self.dtype)) for x in (latents, low_res)))

    def decode_scaled(
        self, latents: Float[Tensor, "b c t h w"], low_res: Float[Tensor, "b 3 t h w"]
    ) -> Float[Tensor, "b 3 t h4 w4"]:
        """The frames of scaled latents, all in one call and not clamped; see `decode`."""
        return self.decode(latents / self.latent_scale, low_res).sample

    def decode_frames(
        self,
        latents: Float[Tensor, "b c t h w"],
        low_res: Float[Tensor, "b 3 t h w"],
        *,
        frames: int | None = None,
        context: int | None = None,
    ) -> Float[Tensor, "b 3 t h4 w4"]:
        """The frames of scaled latents, clamped to [-1, 1], decoded by a sliding window in time.

        `frames` and `context` of the window; None: those of the config.
        """
        stream = self.decode_stream(latents, low_res, frames=frames, context=context)
        return torch.cat(list(stream), dim=2)

    def decode_stream(
        self,
        latents: Float[Tensor, "b c t h w"],
        low_res: Float[Tensor, "b 3 t h w"],
        *,
        frames: int | None = None,
        context: int | None = None,
    ) -> Iterator[Float[Tensor, "b 3 _ h4 w4"]]:
        """The frames of `decode_frames` in groups, so that few large frames exist at once."""
        for seen, kept in self._groups(latents.shape[2], frames, context):
            group = self.decode_scaled(latents[:, :, seen], low_res[:, :, seen])
            yield group[:, :, kept].clamp(-1, 1)

    def decode_singly(
        self,
        latents: Float[Tensor, "b c t h w"],
        low_res: Float[Tensor, "b 3 t h w"],
        *,
        frames: int | None = None,
        context: int | None = None,
    ) -> Iterator[Float[Tensor, "b 3 1 h4 w4"]]:
        """The frames of `decode_frames` one by one.

        Of a group of packed latents the network's change alone is made at once, in its own type: of
        16 frames of 1280x720 that is 1.4 GB, where the decoded group takes 9 GB on the way.
        """
        if not self.packed:
            for group in self.decode_stream(latents, low_res, frames=frames, context=context):
                yield from group.split(1, dim=2)
            return
        for seen, kept in self._groups(latents.shape[2], frames, context):
            change = self.residual(latents[:, :, seen], low_res[:, :, seen])[:, :, kept]
            own = latents[:, :, seen][:, :, kept]
            for one, its_change in zip(own.split(1, dim=2), change.split(1, dim=2), strict=True):
                yield unpack(one + its_change).clamp(-1, 1)

    def _groups(
        self, count: int, frames: int | None, context: int | None
    ) -> Iterator[tuple[slice, slice]]:
        return sliding(
            count,
            step=self.config["decode_frames"] if frames is None else frames,
            context=self.config["decode_context"] if context is None else context,
        )

    def warpable(self, latents: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t h2 w2"]:
        """The latents as maps that flow can warp: packed ones as their pixels, others unchanged."""
        return unpack(latents) if self.packed else latents

    def from_warpable(self, maps: Float[Tensor, "b c2 t h2 w2"]) -> Float[Tensor, "b c t h w"]:
        """The inverse of `warpable`."""
        return pack(maps) if self.packed else maps


@dataclass(frozen=True, slots=True)
class WarpableFrames:
    """The frames of latents as maps that flow can warp, made anew each time they are asked for."""

    latents: Float[Tensor, "1 c t h w"]
    vae: AutoencoderKLVideo

    def __iter__(self) -> Iterator[Float[Tensor, "1 c2 h2 w2"]]:
        return (self.vae.warpable(one)[:, :, 0] for one in self.latents.split(1, dim=2))


def pack(frames: Float[Tensor, "b c t h4 w4"]) -> Float[Tensor, "b c16 t h w"]:
    """Each 4x4 block of pixels as the channels of one latent, colour slowest."""
    return rearrange(frames, "b c t (h i) (w j) -> b (c i j) t h w", i=PATCH, j=PATCH)


def unpack(latents: Float[Tensor, "b c16 t h w"]) -> Float[Tensor, "b c t h4 w4"]:
    """The inverse of `pack`."""
    return rearrange(latents, "b (c i j) t h w -> b c t (h i) (w j)", i=PATCH, j=PATCH)


def enlarged_latents(low_res: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 48 t h w"]:
    """The packed latents of LR frames enlarged four times by pixel repetition."""
    return low_res.repeat_interleave(PATCH * PATCH, dim=1)


def sliding(frames: int, *, step: int, context: int) -> Iterator[tuple[slice, slice]]:
    """For each group of `step` frames: the slice to decode, and the part of the result to keep."""
    for start in range(0, frames, step):
        stop = min(frames, start + step)
        first, last = max(0, start - context), min(frames, stop + context)
        yield slice(first, last), slice(start - first, stop - first)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last_3d)
