"""Options of single recipes."""

from dataclasses import dataclass, field
from typing import Any, Literal

from vsr.errors import ConfigError


@dataclass(frozen=True, slots=True)
class VaeDecoderConfig:
    """Options of the recipe `vae_decoder`: added layers, and noise on the latents."""

    temporal_kernel: tuple[int, int, int] | None = None
    """Frames, rows and columns of the convolutions added to its resnets; null: unchanged. (3, 3,
    3) is the published video decoder."""
    condition_channels: int | None = None
    """Channels of the branch that sees the small frames; null: unchanged. Published: 128."""
    decode_frames: int | None = None
    """Frames that the exported decoder makes at once; null: unchanged."""
    decode_context: int | None = None
    """Frames of context on each side of these; null: unchanged."""
    latent_error: float = 0.1
    """The largest standard deviation of the noise on the latents, scaled as the U-Net's are."""

    def __post_init__(self) -> None:
        if self.latent_error < 0:
            raise ConfigError(
                f"vae_decoder.latent_error is {self.latent_error}; it must be at least 0"
            )
        if self.temporal_kernel and any(size < 1 or size % 2 == 0 for size in self.temporal_kernel):
            raise ConfigError(
                f"vae_decoder.temporal_kernel is {self.temporal_kernel}; its sizes must be odd"
            )


@dataclass(frozen=True, slots=True)
class JoinConfig:
    """The samples and the network of the recipe `join`, which learns from keyed shards."""

    shards: str = "data/shards/train"
    """A folder that `vsr data shards` makes."""
    held_out: str = "data/shards/validation"
    """The same of photographs that are held out."""
    no_keys: float = 0.2
    """Share of the samples without keys."""
    one_key: float = 0.1
    """Share of the samples with one key."""
    cutoff_sigma: float = 1.5
    """Sigma, in pixels of large frames, below which the target has the tones of the truth."""
    strong_share: float = 1.0
    """Share of the strong network's fine detail in the target, against that of the truth."""
    base: str = "realesr-general-x4v3"
    """The image network whose frames, blended with interpolated ones at random shares, are the
    base: an embedded one or a file."""
    network: dict[str, Any] = field(default_factory=dict[str, Any])
    """Shape of the network, as `JoinNetwork` takes it."""


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """Sampling of the student and of the teacher in the recipe `distill`."""

    steps: int = 1
    """The student's steps, 1 to 4."""
    teacher_steps: int | None = None
    """The teacher's steps; null: its own default."""
    guidance_scale: float | None = None
    """Guidance scale of the teacher, whose effect the student learns, so that it needs no guidance
    itself; null: the teacher's default."""
    prompt: str = ""
    """Prompt of all clips, followed by the teacher's own suffix (models with text)."""
    space: Literal["pixel", "latent"] = "pixel"
    """Input of the critic: decoded frames, or latents."""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 4:
            raise ConfigError(f"distill.steps is {self.steps}; it must be 1 to 4")
        if self.teacher_steps is not None and self.teacher_steps < 1:
            raise ConfigError(f"distill.teacher_steps is {self.teacher_steps}; at least 1")
