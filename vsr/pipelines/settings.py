"""SamplingConfig: every choice of a pipeline's call, made once when its model is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self

from vsr.config import Color
from vsr.errors import ConfigError
from vsr.ops.segments import BlendKind, WeightedSegment, blend_plan, fitted_length
from vsr.ops.tiles import Tile, plan_tiles
from vsr.option_values import nearest, parse_guides
from vsr.propagation.fusion import PropagationConfig

Prediction = Literal["epsilon", "v_prediction", "sample", "residual"]
SchedulerKind = Literal["own", "ddim", "dpm++"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """The choices of a pipeline's call: the model's, then a preset's, then the user's.

    The defaults of a model are stored in its `model_index.json`. `clean`: the small frames lost
    nothing but size, for models with weights for such frames. `start`: sampling begins at pure
    noise, or at the latents of the enlarged LR frames plus `start_strength` times noise.
    `scheduler`: the model's own, or another solver on its noise schedule. `guidance_interval`:
    guidance acts at timesteps in this part of the schedule (0 clean, 1 noise); elsewhere only the
    prompt is evaluated, which is half the work. `restore_detail`: after propagation each frame's
    fine detail gets its own energy back. `frame_window`: full attention is cut into windows of
    this many rows and columns of its map, which is an eighth of the frame in the published
    networks; None: no windows. `decode_frames` and `decode_context` replace those of the
    autoencoder. `tile`: size of spatial tiles in LR pixels; None: no tiles. `guide`: a list of
    guides as `colour=REF.png,structure:0.5`; see `vsr.pipelines.guides`.

    Raises ConfigError for a value that no model takes.
    """

    prediction: Prediction = "v_prediction"
    scheduler: SchedulerKind = "own"
    start: Literal["noise", "low_res"] = "noise"
    start_strength: float = 1.0
    num_inference_steps: int = 30
    guidance_scale: float = 6.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    noise_level: int = 120
    clean: bool = False
    seed: int = 0
    prompt: str = ""
    prompt_suffix: str = "best quality, extremely detailed"
    negative_prompt: str = "blur, worst quality"
    segment_length: int = 8
    segment_stride: int = 6
    blend: BlendKind = "crossfade"
    propagation_steps: tuple[int, ...] = ()
    propagation: PropagationConfig = field(default_factory=PropagationConfig)
    restore_detail: bool = False
    color: Color = "none"
    tile: int | None = None
    tile_overlap: int = 32
    frame_window: int | None = None
    decode_frames: int | None = None
    decode_context: int | None = None
    guide: str | None = None

    def __post_init__(self) -> None:
        parse_guides(self.guide)
        for name in ("num_inference_steps", "segment_length", "tile"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} = {value}; it must be at least 1")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Returns the config of a parsed JSON object. Raises ConfigError for an unknown key."""
        return cls().overridden(values)

    def overridden(self, values: Mapping[str, Any]) -> Self:
        """Returns this config with other values, as a preset or a call gives them.

        A `segment_length` without a `segment_stride` keeps the overlap. Propagation steps of this
        config at or beyond the number of steps are dropped; given ones must exist. Raises
        ConfigError for these, and for an unknown key.
        """
        _check_keys(values, type(self), "sampling")
        values = dict(values)
        if isinstance(propagation := values.get("propagation"), Mapping):
            _check_keys(propagation, PropagationConfig, "propagation")
            values["propagation"] = replace(self.propagation, **propagation)
        for key in ("propagation_steps", "guidance_interval"):
            if key in values:
                values[key] = tuple(values[key])
        if "segment_length" in values and "segment_stride" not in values:
            length = max(1, values["segment_length"])
            overlap = min(self.segment_length - self.segment_stride, length - 1)
            values["segment_stride"] = length - overlap
        result = replace(self, **values)
        if "propagation_steps" in values:
            _check_steps(result.propagation_steps, result.num_inference_steps)
            return result
        kept = tuple(s for s in result.propagation_steps if s < result.num_inference_steps)
        return replace(result, propagation_steps=kept)

    def segments(self, frames: int) -> tuple[WeightedSegment, ...]:
        """Returns the segments of a clip.

        Crossfaded ones are as short as their number allows; the published average keeps its length.
        """
        length, overlap = self.segment_length, self.segment_length - self.segment_stride
        if self.blend == "crossfade":
            length = fitted_length(frames, length=length, overlap=overlap)
            overlap = min(overlap, length - 1)
        return blend_plan(frames, length=length, stride=length - overlap, kind=self.blend)

    def tiles(self, h: int, w: int, *, enlarge: int = 1) -> tuple[Tile, ...]:
        """Returns the tiles of LR maps, or the same ones on maps `enlarge` times larger."""
        size = max(h, w) if self.tile is None else min(self.tile, max(h, w))
        overlap = min(self.tile_overlap, size // 2)
        return plan_tiles(enlarge * h, enlarge * w, tile=enlarge * size, overlap=enlarge * overlap)


def only_useful(
    chosen: Mapping[str, Any], settings: "SamplingConfig", *, used: Sequence[str], who: str
) -> None:
    """Raise ConfigError for a choice that differs from `settings` and of which `who` has no use.

    `used` are the names of those that it has a use for.
    """
    for key, value in chosen.items():
        if key not in used and getattr(settings, key, None) != value:
            raise ConfigError(f"{key} = {value}, but {who} has no use for it: leave it out")


def only_step_0(chosen: Mapping[str, Any], *, because: str) -> None:
    """Raise ConfigError, with the reason, for propagation after other steps than the first."""
    steps = tuple(chosen.get("propagation_steps", ()))
    if any(step != 0 for step in steps):
        raise ConfigError(
            f"propagation_steps = {','.join(map(str, steps))}, but {because}: it can be none or 0"
        )


def given(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the overrides that are given: None means the default."""
    return {key: value for key, value in overrides.items() if value is not None}


def _check_keys(values: Mapping[str, Any], kind: type, what: str) -> None:
    known = [field.name for field in fields(kind)]
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown {what} key {key}{nearest(key, known)}")


def _check_steps(propagation_steps: Sequence[int], steps: int) -> None:
    for step in propagation_steps:
        if not 0 <= step < steps:
            raise ConfigError(
                f"propagation_steps has {step}; with {steps} steps they can be 0 to {steps - 1}"
            )
