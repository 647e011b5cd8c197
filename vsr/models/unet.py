"""The denoising U-Net, inflated in time: one class for the embedded and the published networks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float, Int
from torch import Tensor, nn

from vsr.models.attention import Attention, AttentionContext, Text
from vsr.models.blocks import (
    CheckpointMixin,
    FrameConv2d,
    TemporalBlock,
    by_frames,
    end_stage,
    is_too_large_at_once,
)
from vsr.models.rope import rotary_frequencies
from vsr.models.unet_levels import Level, LevelSpec, MidBlock, UNetStyle, level_specs
from vsr.ops.attention import check_backend

Skip = Literal["concat", "add"]
_MAX_ROTARY_CHANNELS = 32


@dataclass(slots=True)
class UNetVideoOutput:
    """Output of `UNetVideoModel`."""

    sample: Float[Tensor, "b out t h w"]


class UNetVideoModel(CheckpointMixin, ModelMixin, ConfigMixin):
    """Predicts v, noise or a residual from noisy latents and the LR frames, at LR size.

    With its defaults it is the published Upscale-A-Video network (691 M parameters), with its keys.
    `attention` is the first attention of each level: "full" (over its frame), "window" (3-D windows
    of `window` tokens, shifted in every second layer), "text", or "none" for a level without
    transformers. `skip="concat"` concatenates every layer's map across the U, as in Stable
    Diffusion; `skip="add"` adds one map a level, so that lower levels can join an image network
    through outputs of any small size. `residual=False` makes a level a plain chain of
    convolutions. Temporal blocks precede the resampling if `temporal_block_first`, and follow it
    otherwise (published). `norm`: see `BlockStyle`.
    """

    _supports_gradient_checkpointing = True
    _no_split_modules: ClassVar[list[str]] = [
        "UNetVideoModel",
        "ResnetBlock",
        "VideoTransformer",
        "TemporalBlock",
    ]
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
        levels, style = level_specs(self.config), UNetStyle.from_config(self.config)
        width = levels[0].channels
        self.conv_in = FrameConv2d(in_channels, width, 3, padding=1)
        self.time_proj = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(width, style.time_channels)
        self.class_embedding = nn.Embedding(num_class_embeds, style.time_channels)
        self.temporal_rotary_emb = nn.Module()
        if temporal_attention:
            self.temporal_rotary_emb.register_buffer("freqs", _rotary(levels))
        self._build_down(style, levels)
        self._build_mid(style, levels[-1])
        self._build_up(style, levels)
        self.conv_norm_out = style.blocks.make_norm(width)
        self.conv_act_out = style.blocks.make_activation(width)
        self.conv_out = FrameConv2d(width, out_channels, 3, padding=1)
        self.ends_by_frames = style.blocks.norm != "clip"

    def _build_down(self, style: UNetStyle, levels: Sequence[LevelSpec]) -> None:
        self.down_blocks = nn.ModuleList()
        self.down_temp_blocks = nn.ModuleList()
        entering = levels[0].channels
        for spec in levels:
            inputs = [entering] + [spec.channels] * (spec.layers - 1)
            self.down_blocks.append(Level(style, spec, inputs, down=spec is not levels[-1]))
            self.down_temp_blocks.append(
                style.temporal_block(spec.channels) if spec.temporal_block else nn.Identity()
            )
            entering = spec.channels

    def _build_mid(self, style: UNetStyle, lowest: LevelSpec) -> None:
        self.mid_block = MidBlock(style, lowest)
        self.mid_temp_block = (
            style.temporal_block(lowest.channels)
            if self.config["mid_temporal_block"]
            else nn.Identity()
        )

    def _build_up(self, style: UNetStyle, levels: Sequence[LevelSpec]) -> None:
        self.up_blocks = nn.ModuleList()
        self.up_temp_blocks = nn.ModuleList()
        plan = _concat_channels if self.config["skip"] == "concat" else _add_channels
        for i, spec in reversed(list(enumerate(levels))):
            inputs, up = plan(levels, i)
            self.up_blocks.append(Level(style, spec, inputs, up=up))
            width = spec.channels if self.config["temporal_block_first"] or up is None else up
            self.up_temp_blocks.append(
                style.temporal_block(width) if spec.temporal_block else nn.Identity()
            )

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
        noise level of `low_res`, an integer. `encoder_hidden_states`: text embeddings, required if
        the config attends to text; a `TextMemory` of them spares work when they are used again.
        One entry with several texts gives a prediction for each text, and all layers before the
        first attention to text run once. `frame_window`: full attention sees windows of
        this many rows and columns of its map, an approximation; None: the whole frame.
        """
        time = self._embed_time(sample, timestep, class_labels)
        rotary = getattr(self.temporal_rotary_emb, "freqs", None)
        context = AttentionContext(encoder_hidden_states, rotary, frame_window)
        walk = self._walk_concat if self.config["skip"] == "concat" else self._walk_add
        # neither the first map nor the last has a name here, which would keep it until the end
        return UNetVideoOutput(self._output(walk(self._first_map(sample, low_res), time, context)))

    def set_attention_backend(self, backend: str) -> None:
        """Compute attention by `backend`, "sdpa" or "xformers", in every layer from now on."""
        check_backend(backend)
        for module in self.modules():
            if isinstance(module, Attention):
                module.backend = backend

    def _first_map(self, sample: Tensor, low_res: Tensor) -> Tensor:
        if sample.shape[2] > 1 and is_too_large_at_once(sample):
            return by_frames(self._first_map, sample, low_res)
        # both with channels innermost: maps of two formats take ten times as long to join
        maps = [x.to(sample.dtype, memory_format=torch.channels_last_3d) for x in (sample, low_res)]
        return self.conv_in(torch.cat(maps, dim=1))

    def _output(self, x: Tensor) -> Tensor:
        if self.ends_by_frames and x.shape[2] > 1 and is_too_large_at_once(x):
            return by_frames(self._output, x)
        return self.conv_out(self.conv_act_out(self.conv_norm_out(x)))

    def _embed_time(self, sample: Tensor, timestep: Tensor, class_labels: Tensor) -> Tensor:
        timestep = timestep.to(sample.device).expand(sample.shape[0])
        waves = self.time_proj(timestep).to(self.conv_in.weight.dtype)
        label = self.class_embedding(class_labels.to(sample.device))
        return self.time_embedding(waves) + label

    def _walk_concat(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        skips = [x]
        for level, temporal in self._down():
            for i in range(len(level.resnets)):
                x = level.layer(i, x, time, context)
                skips.append(x)
            if level.downsamplers is not None:
                x = level.downsamplers[0](x)
                skips.append(x)
            x = self._in_time(temporal, x, time)
        x = self._middle(x, time, context)
        for level, temporal in self._up():
            for i in range(len(level.resnets)):
                x = level.layer(i, _concatenated(x, skips.pop()), time, context)
            x = self._in_time(temporal, level.upsample(x, skips), time)
        return x

    def _walk_add(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        first = self.config["temporal_block_first"]
        skips: list[Tensor] = []
        for level, temporal in self._down():
            x = level(x, time, context)
            x = self._in_time(temporal, x, time) if first else x
            skips.append(x)
            x = x if level.downsamplers is None else level.downsamplers[0](x)
            x = x if first else self._in_time(temporal, x, time)
        x = self._middle(x, time, context)
        for level, temporal in self._up():
            x = _added(x, skips.pop())  # by name: an unnamed sum would keep the map before it
            x = level(x, time, context)
            x = self._in_time(temporal, x, time) if first else x
            if skips:
                end_stage(skips[-1])
            x = level.upsample(x, skips)
            x = x if first else self._in_time(temporal, x, time)
        return x

    def _middle(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        return self._in_time(self.mid_temp_block, self.mid_block(x, time, context), time)

    def _in_time(self, block: nn.Module, x: Tensor, time: Tensor) -> Tensor:
        return self.checkpointed(block)(x, time) if isinstance(block, TemporalBlock) else x

    def _down(self) -> Iterator[tuple[Level, nn.Module]]:
        return zip(cast("list[Level]", self.down_blocks), self.down_temp_blocks, strict=True)

    def _up(self) -> Iterator[tuple[Level, nn.Module]]:
        return zip(cast("list[Level]", self.up_blocks), self.up_temp_blocks, strict=True)


def _rotary(levels: Sequence[LevelSpec]) -> Float[Tensor, " f"]:
    """Frequencies for the smallest head among the levels that attend and the middle."""
    attending = [level for level in levels if level.attends] + [levels[-1]]
    smallest = min(level.channels // level.heads for level in attending)
    return rotary_frequencies(min(_MAX_ROTARY_CHANNELS, smallest))


def _concat_channels(levels: Sequence[LevelSpec], i: int) -> tuple[list[int], int | None]:
    """Input channels of the resnets on the way up, and output channels of the upsampling.

    As in Stable Diffusion there is one resnet more than on the way down, and each takes its own
    map beside one from the way down.
    """
    spec, last = levels[i], len(levels) - 1
    entering = [levels[min(i + 1, last)].channels] + [spec.channels] * spec.layers
    skips = [spec.channels] * spec.layers + [levels[max(i - 1, 0)].channels]
    inputs = [own + skip for own, skip in zip(entering, skips, strict=True)]
    return inputs, spec.channels if i > 0 else None


def _add_channels(levels: Sequence[LevelSpec], i: int) -> tuple[list[int], int | None]:
    """Like `_concat_channels`, where the level's map from the way down is added."""
    spec = levels[i]
    return [spec.channels] * spec.layers, levels[i - 1].channels if i > 0 else None


def _added(x: Tensor, skip: Tensor) -> Tensor:
    """The sum of both maps, in the memory of `x` where no gradients need it."""
    return x + skip if torch.is_grad_enabled() else x.add_(skip)


def _concatenated(x: Tensor, skip: Tensor) -> Tensor:
    """Both maps, channel by channel; a skip of one entry serves all texts."""
    skip = skip.expand(x.shape[0], *skip.shape[1:])
    return torch.cat([x, skip.contiguous(memory_format=torch.channels_last_3d)], dim=1)
