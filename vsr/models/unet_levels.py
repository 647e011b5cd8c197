"""The levels of the U-Net: their frozen specs, the style they share, and their modules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, get_args

from torch import Tensor, nn

from vsr.errors import ConfigError
from vsr.models.attention import AttentionContext
from vsr.models.blocks import (
    BlockStyle,
    CheckpointMixin,
    ResnetBlock,
    TemporalBlock,
    by_frames,
    is_too_large_at_once,
)
from vsr.models.resampling import Downsample, Upsample
from vsr.models.transformer import AttentionKind, TransformerStyle, VideoTransformer
from vsr.option_values import nearest

# Fields of a level, and the list of the U-Net's config that holds their values.
_PER_LEVEL = {
    "channels": "block_out_channels",
    "layers": "layers_per_block",
    "heads": "num_heads",
    "attention": "attention",
    "residual": "residual",
    "temporal_block": "temporal_blocks",
}
_TEMPORAL_EPS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSpec:
    """One resolution of the U-Net, the same on the way down and on the way up."""

    channels: int
    layers: int
    """Resnets on the way down."""
    heads: int
    attention: AttentionKind
    residual: bool
    temporal_block: bool

    @property
    def attends(self) -> bool:
        """True if a transformer follows each resnet."""
        return self.attention != "none"


def level_specs(config: Mapping[str, Any]) -> tuple[LevelSpec, ...]:
    """The levels of a `UNetVideoModel`'s config, largest maps first.

    Raises ConfigError for an unknown attention, and for a list that has another length than
    `block_out_channels`.
    """
    count = len(config["block_out_channels"])
    for name in _PER_LEVEL.values():
        if len(config[name]) != count:
            raise ConfigError(
                f"{name} needs a value for each of {count} levels, found {len(config[name])}"
            )
    kinds = get_args(AttentionKind)
    for kind in config["attention"]:
        if kind not in kinds:
            allowed = f"{', '.join(kinds)}{nearest(kind, kinds)}"
            raise ConfigError(f"attention = {kind!r} is not known; allowed are {allowed}")
    return tuple(
        LevelSpec(**{field: config[name][i] for field, name in _PER_LEVEL.items()})
        for i in range(count)
    )


@dataclass(frozen=True, slots=True)
class UNetStyle:
    """Settings that all levels of one U-Net share."""

    blocks: BlockStyle
    transformers: TransformerStyle
    time_channels: int
    temporal_kernels: tuple[int, int]
    temporal_spatial: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The style of a `UNetVideoModel`'s config."""
        first, second = config["temporal_kernels"]
        return cls(
            blocks=BlockStyle(
                norm=config["norm"],
                groups=config["norm_groups"],
                eps=config["norm_eps"],
                activation=config["activation"],
            ),
            transformers=_transformer_style(config),
            time_channels=config["time_embedding_channels"] or 4 * config["block_out_channels"][0],
            temporal_kernels=(first, second),
            temporal_spatial=config["temporal_block_spatial"],
        )

    def resnet(self, in_channels: int, out_channels: int, *, residual: bool = True) -> ResnetBlock:
        """A new resnet."""
        return ResnetBlock(
            in_channels,
            out_channels,
            style=self.blocks,
            time_channels=self.time_channels,
            residual=residual,
        )

    def transformer(self, level: LevelSpec, *, shifted: bool) -> VideoTransformer:
        """A new transformer; `shifted`: its windows begin half a window earlier."""
        return VideoTransformer(
            level.channels,
            heads=level.heads,
            kind=level.attention,
            shifted=shifted,
            style=self.transformers,
            block_style=self.blocks.with_eps(_TEMPORAL_EPS),
        )

    def temporal_block(self, channels: int) -> TemporalBlock:
        """A new temporal block."""
        return TemporalBlock(
            channels,
            style=self.blocks.with_eps(_TEMPORAL_EPS),
            kernels=self.temporal_kernels,
            time_channels=self.time_channels,
            spatial=self.temporal_spatial,
        )


class Level(CheckpointMixin, nn.Module):
    """Resnets of one resolution, each followed by a transformer if the level attends.

    `inputs`: input channels of each resnet. `down`: a convolution that halves the map ends the
    level; `up`: output channels of one that enlarges it.
    """

    def __init__(
        self,
        style: UNetStyle,
        spec: LevelSpec,
        inputs: Sequence[int],
        *,
        down: bool = False,
        up: int | None = None,
    ):
        super().__init__()
        self.resnets = nn.ModuleList(
            style.resnet(width, spec.channels, residual=spec.residual) for width in inputs
        )
        self.attentions = (
            nn.ModuleList(style.transformer(spec, shifted=i % 2 == 1) for i in range(len(inputs)))
            if spec.attends
            else None
        )
        self.sees_frames_alone = not spec.attends and style.blocks.norm in ("none", "frame")
        self.downsamplers = nn.ModuleList([Downsample(spec.channels)]) if down else None
        self.upsamplers = nn.ModuleList([Upsample(spec.channels, up)]) if up else None

    def forward(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        """The map after all layers, before it is resampled."""
        if self.sees_frames_alone and x.shape[2] > 1 and is_too_large_at_once(x):
            return by_frames(partial(self.forward, time=time, context=context), x)
        for index, resnet in enumerate(self.resnets):
            x = self.checkpointed(resnet)(x, time)
            if self.attentions is not None:
                x = self.checkpointed(self.attentions[index])(x, context)
        return x

    def layer(self, index: int, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        """The map after resnet `index` and its transformer."""
        x = self.checkpointed(self.resnets[index])(x, time)
        if self.attentions is None:
            return x
        return self.checkpointed(self.attentions[index])(x, context)

    def upsample(self, x: Tensor, like: Sequence[Tensor]) -> Tensor:
        """The map at the size of the last one of `like`; unchanged if the level ends the U."""
        return x if self.upsamplers is None else self.upsamplers[0](x, like[-1].shape[-2:])


class MidBlock(CheckpointMixin, nn.Module):
    """Resnet, transformer, resnet at the lowest resolution, whatever attention the level has."""

    def __init__(self, style: UNetStyle, lowest: LevelSpec):
        super().__init__()
        spec = lowest if lowest.attends else replace(lowest, attention="full")
        width = spec.channels
        self.resnets = nn.ModuleList([style.resnet(width, width) for _ in range(2)])
        self.attentions = nn.ModuleList([style.transformer(spec, shifted=True)])

    def forward(self, x: Tensor, time: Tensor, context: AttentionContext) -> Tensor:
        """The next map."""
        x = self.checkpointed(self.resnets[0])(x, time)
        x = self.checkpointed(self.attentions[0])(x, context)
        return self.checkpointed(self.resnets[1])(x, time)


def _transformer_style(config: Mapping[str, Any]) -> TransformerStyle:
    t, h, w = config["window"]
    return TransformerStyle(
        cross_attention_dim=config["cross_attention_dim"],
        window=(t, h, w),
        temporal_attention=config["temporal_attention"],
        temporal_resnet=config["temporal_resnet"],
        norm=config["attention_norm"],
        groups=config["norm_groups"],
        ff_mult=config["ff_mult"],
    )
