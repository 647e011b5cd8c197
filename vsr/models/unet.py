"""The denoising U-Net, inflated in time: one class for the embedded and the published networks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float, Int
from torch import Tensor, nn

from vsr.errors import ConfigError
from vsr.models.blocks import (
    BlockStyle,
    CheckpointMixin,
    Downsample,
    FrameConv2d,
    ResnetBlock,
    TemporalBlock,
    Upsample,
)
from vsr.models.transformer import (
    Attention,
    AttentionContext,
    AttentionKind,
    Text,
    TransformerStyle,
    VideoTransformer,
    rotary_frequencies,
)
from vsr.ops.attention import check_backend

Skip = Literal["concat", "add"]


@dataclass(slots=True)
class UNetVideoOutput:
    """What the U-Net predicts."""

    sample: Float[Tensor, "b out t h w"]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What every level is built from."""

    style: BlockStyle
    transformer: TransformerStyle
    time_channels: int
    temporal_kernels: tuple[int, int]
    temporal_spatial: bool

    def temporal_block(self, channels: int) -> TemporalBlock:
        return TemporalBlock(
            channels,
            style=self.style.with_eps(1e-6),
            kernels=self.temporal_kernels,
            time_channels=self.time_channels,
            spatial=self.temporal_spatial,
        )

    def attention(
        self, channels: int, *, heads: int, kind: AttentionKind, shifted: bool
    ) -> VideoTransformer:
        return VideoTransformer(
            channels,
            heads=heads,
            kind=kind,
            shifted=shifted,
            style=self.transformer,
            block_style=self.style.with_eps(1e-6),
        )

    def resnet(self, in_channels: int, out_channels: int, *, residual: bool = True) -> ResnetBlock:
        return ResnetBlock(
            in_channels,
            out_channels,
            style=self.style,
            time_channels=self.time_channels,
            residual=residual,
        )


class Level(CheckpointMixin, nn.Module):
    """Resnets of one resolution, each followed by a transformer where the level attends."""

    def __init__(self, parts: _Parts, resnets: Sequence[ResnetBlock], channels: int, **place: Any):
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        kind, heads = place["kind"], place["heads"]
        self.attentions = (
            nn.ModuleList(
                parts.attention(channels, heads=heads, kind=kind, shifted=bool(i % 2))
                for i in range(len(resnets))
            )
            if kind != "none"
            else None
        )
        self.downsamplers = nn.ModuleList([Downsample(channels)]) if place.get("down") else None
        up = place.get("up")
        self.upsamplers = nn.ModuleList([Upsample(channels, up)]) if up else None

    def layer(self, index: int, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        """The map after resnet `index` and the transformer behind it."""
        x = self.run_layer(self.resnets[index], x, time)
        if self.attentions is None:
            return x
        return self.run_layer(self.attentions[index], x, context)


class MidBlock(CheckpointMixin, nn.Module):
    """Resnet, transformer, resnet at the lowest resolution."""

    def __init__(self, parts: _Parts, channels: int, *, heads: int, kind: AttentionKind):
        super().__init__()
        self.resnets = nn.ModuleList([parts.resnet(channels, channels) for _ in range(2)])
        self.attentions = nn.ModuleList(
            [parts.attention(channels, heads=heads, kind=kind, shifted=True)]
        )

    def forward(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        """The next map."""
        x = self.run_layer(self.resnets[0], x, time)
        x = self.run_layer(self.attentions[0], x, context)
        return self.run_layer(self.resnets[1], x, time)


class UNetVideoModel(CheckpointMixin, ModelMixin, ConfigMixin):
    """Predicts from noisy latents beside the LR frames, at LR size, segment by segment.

    With its defaults it is the published Upscale-A-Video network (691 M parameters), whose keys it
    keeps. `attention` names for each level what its first attention sees: "full" (its frame),
    "window" (3-D windows of `window` tokens, shifted in every second layer), "text", or "none" for
    a level without transformers. `skip="concat"` hands every layer's map across the U, as in
    Stable Diffusion; `skip="add"` adds one map a level, so that lower levels can join an image
    network through outputs as small as one likes. `residual=False` makes a level a plain chain of
    convolutions. Temporal blocks stand before the resampling where `temporal_block_first`, behind
    it otherwise (published). `norm`: see `BlockStyle`.
    """

    _supports_gradient_checkpointing = True
    _repeated_blocks: ClassVar[list[str]] = ["ResnetBlock", "TemporalResnetBlock", "FeedForward"]

    @register_to_config
    def __init__(
        self,
        in_channels: int = 7,
        out_channels: int = 4,
        block_out_channels: Sequence[int] = (256, 512, 512, 1024),
        layers_per_block: Sequence[int] = (2, 2, 2, 2),
        num_heads: Sequence[int] = (8, 8, 8, 8),
        attention: Sequence[str] = ("none", "text", "text", "full"),
        cross_attention_dim: int | None = 1024,
        window: Sequence[int] = (8, 8, 8),
        ff_mult: int = 4,
        residual: Sequence[bool] = (True, True, True, True),
        skip: Skip = "concat",
        temporal_attention: bool = True,
        temporal_resnet: bool = True,
        temporal_blocks: Sequence[bool] = (True, True, True, True),
        mid_temporal_block: bool = True,
        temporal_block_first: bool = False,
        temporal_block_spatial: bool = True,
        temporal_kernels: Sequence[int] = (5, 3),
        norm: str = "clip",
        attention_norm: str = "frame",
        norm_groups: int = 32,
        norm_eps: float = 1e-5,
        activation: str = "silu",
        time_embedding_channels: int | None = None,
        num_class_embeds: int = 1000,
        max_noise_level: int = 350,
    ):
        super().__init__()
        channels = tuple(block_out_channels)
        for name, values in (
            ("layers_per_block", layers_per_block),
            ("num_heads", num_heads),
            ("attention", attention),
            ("residual", residual),
            ("temporal_blocks", temporal_blocks),
        ):
            if len(values) != len(channels):
                raise ConfigError(
                    f"{name} needs a value for each of {len(channels)} levels, found {len(values)}"
                )
        kinds = cast("tuple[AttentionKind, ...]", tuple(attention))
        time_channels = time_embedding_channels or 4 * channels[0]
        style = BlockStyle(
            norm=cast(Any, norm), groups=norm_groups, eps=norm_eps, activation=cast(Any, activation)
        )
        parts = _Parts(
            style=style,
            transformer=TransformerStyle(
                cross_attention_dim=cross_attention_dim,
                window=cast("tuple[int, int, int]", tuple(window)),
                temporal_attention=temporal_attention,
                temporal_resnet=temporal_resnet,
                norm=cast(Any, attention_norm),
                groups=norm_groups,
                ff_mult=ff_mult,
            ),
            time_channels=time_channels,
            temporal_kernels=cast("tuple[int, int]", tuple(temporal_kernels)),
            temporal_spatial=temporal_block_spatial,
        )

        self.conv_in = FrameConv2d(in_channels, channels[0], 3, padding=1)
        self.time_proj = Timesteps(channels[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(channels[0], time_channels)
        self.class_embedding = nn.Embedding(num_class_embeds, time_channels)
        self.temporal_rotary_emb = nn.Module()
        if temporal_attention:
            attending = zip(channels, num_heads, kinds, strict=True)
            head_dims = [c // h for c, h, kind in attending if kind != "none"]
            rotary = rotary_frequencies(min(32, *head_dims, channels[-1] // num_heads[-1]))
            self.temporal_rotary_emb.register_buffer("freqs", rotary)

        self.down_blocks = nn.ModuleList()
        self.down_temp_blocks = nn.ModuleList()
        last = len(channels) - 1
        previous = channels[0]
        for i, width in enumerate(channels):
            widths = [previous] + [width] * (layers_per_block[i] - 1)
            resnets = [parts.resnet(w, width, residual=residual[i]) for w in widths]
            place = {"kind": kinds[i], "heads": num_heads[i], "down": i < last}
            self.down_blocks.append(Level(parts, resnets, width, **place))
            self.down_temp_blocks.append(
                parts.temporal_block(width) if temporal_blocks[i] else nn.Identity()
            )
            previous = width

        mid_kind = kinds[-1] if kinds[-1] != "none" else "full"
        self.mid_block = MidBlock(parts, channels[-1], heads=num_heads[-1], kind=mid_kind)
        self.mid_temp_block = (
            parts.temporal_block(channels[-1]) if mid_temporal_block else nn.Identity()
        )

        self.up_blocks = nn.ModuleList()
        self.up_temp_blocks = nn.ModuleList()
        for i in reversed(range(len(channels))):
            width = channels[i]
            if skip == "concat":
                entering = [channels[min(i + 1, last)]] + [width] * layers_per_block[i]
                skips = [width] * layers_per_block[i] + [channels[max(i - 1, 0)]]
                widths = [a + b for a, b in zip(entering, skips, strict=True)]
                up = width if i > 0 else None
            else:
                widths = [width] * layers_per_block[i]
                up = channels[i - 1] if i > 0 else None
            resnets = [parts.resnet(w, width, residual=residual[i]) for w in widths]
            place = {"kind": kinds[i], "heads": num_heads[i], "up": up}
            self.up_blocks.append(Level(parts, resnets, width, **place))
            temporal_width = width if temporal_block_first or up is None else up
            self.up_temp_blocks.append(
                parts.temporal_block(temporal_width) if temporal_blocks[i] else nn.Identity()
            )

        self.conv_norm_out = style.make_norm(channels[0])
        self.conv_act_out = style.make_activation(channels[0])
        self.conv_out = FrameConv2d(channels[0], out_channels, 3, padding=1)

    def forward(
        self,
        sample: Float[Tensor, "b c t h w"],
        timestep: Tensor,
        *,
        low_res: Float[Tensor, "b 3 t h w"],
        class_labels: Int[Tensor, "#b"],
        encoder_hidden_states: Text | None = None,
        frame_window: int | None = None,
    ) -> UNetVideoOutput:
        """The prediction for every latent of the segment.

        `timestep`: of the scheduler, a scalar or one for each batch entry. `class_labels`: the
        noise level of `low_res`, an integer. `encoder_hidden_states`: text embeddings, where the
        config attends to text; a `TextMemory` of them spares work where they are seen again. For
        one entry and several texts there is a prediction for each text, and what lies before the
        first attention to text is computed once. `frame_window`: full attention sees windows of
        this many rows and columns of its map, an approximation; None: the whole frame.
        """
        time = self._embed_time(sample, timestep, class_labels)
        rotary = getattr(self.temporal_rotary_emb, "freqs", None)
        context = AttentionContext(encoder_hidden_states, rotary, frame_window)
        x = torch.cat([sample, low_res.to(sample.dtype)], dim=1)
        x = self.conv_in(x.contiguous(memory_format=torch.channels_last_3d))
        walk = self._walk_concat if self.config["skip"] == "concat" else self._walk_add
        x = walk(x, time, context)
        return UNetVideoOutput(self.conv_out(self.conv_act_out(self.conv_norm_out(x))))

    def set_attention_backend(self, backend: str) -> None:
        """Attend by `backend` ("sdpa" or "xformers") in every layer from now on."""
        check_backend(backend)
        for module in self.modules():
            if isinstance(module, Attention):
                module.backend = backend

    def _embed_time(self, sample: Tensor, timestep: Tensor, class_labels: Tensor) -> Tensor:
        timestep = timestep.to(sample.device).expand(sample.shape[0])
        waves = self.time_proj(timestep).to(self.conv_in.weight.dtype)
        label = self.class_embedding(class_labels.to(sample.device))
        return self.time_embedding(waves) + label

    def _walk_concat(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        skips = [x]
        for level, temporal in zip(self._down(), self.down_temp_blocks, strict=True):
            for i in range(len(level.resnets)):
                x = level.layer(i, x, time, context)
                skips.append(x)
            if level.downsamplers is not None:
                x = level.downsamplers[0](x)
                skips.append(x)
            x = self._in_time(temporal, x, time)
        x = self._middle(x, time, context)
        for level, temporal in zip(self._up(), self.up_temp_blocks, strict=True):
            for i in range(len(level.resnets)):
                x = level.layer(i, _beside(x, skips.pop()), time, context)
            if level.upsamplers is not None:
                x = level.upsamplers[0](x, skips[-1].shape[-2:])
            x = self._in_time(temporal, x, time)
        return x

    def _walk_add(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        first = self.config["temporal_block_first"]
        skips: list[Tensor] = []
        for level, temporal in zip(self._down(), self.down_temp_blocks, strict=True):
            for i in range(len(level.resnets)):
                x = level.layer(i, x, time, context)
            if first:
                x = self._in_time(temporal, x, time)
            skips.append(x)
            if level.downsamplers is not None:
                x = level.downsamplers[0](x)
            if not first:
                x = self._in_time(temporal, x, time)
        x = self._middle(x, time, context)
        for level, temporal in zip(self._up(), self.up_temp_blocks, strict=True):
            x = x + skips.pop()
            for i in range(len(level.resnets)):
                x = level.layer(i, x, time, context)
            if first:
                x = self._in_time(temporal, x, time)
            if level.upsamplers is not None:
                x = level.upsamplers[0](x, skips[-1].shape[-2:])
            if not first:
                x = self._in_time(temporal, x, time)
        return x

    def _middle(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        return self._in_time(self.mid_temp_block, self.mid_block(x, time, context), time)

    def _in_time(self, block: nn.Module, x: Tensor, time: Tensor) -> Tensor:
        return self.run_layer(block, x, time) if isinstance(block, TemporalBlock) else x

    def _down(self) -> list[Level]:
        return cast("list[Level]", list(self.down_blocks))

    def _up(self) -> list[Level]:
        return cast("list[Level]", list(self.up_blocks))


def _beside(x: Tensor, skip: Tensor) -> Tensor:
    """Both maps, channel by channel; a skip from before the texts parted serves each of them."""
    skip = skip.expand(x.shape[0], *skip.shape[1:])
    return torch.cat([x, skip.contiguous(memory_format=torch.channels_last_3d)], dim=1)
