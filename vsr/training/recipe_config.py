"""What single recipes add to the config of a run."""

from dataclasses import dataclass
from typing import Literal

from vsr.errors import ConfigError


@dataclass(frozen=True, slots=True)
class VaeDecoderConfig:
    """What the recipe `vae_decoder` adds to a decoder, and on what it trains."""

    temporal_kernel: tuple[int, int, int] | None = None
    """Frames, rows and columns that the convolutions added to its resnets span; null: those that
    it has. (3, 3, 3) is the published video decoder."""
    condition_channels: int | None = None
    """Channels of the branch that looks at the small frames; null: as it is. Published: 128."""
    decode_frames: int | None = None
    """Frames that the exported decoder makes at once; null: as it is."""
    decode_context: int | None = None
    """Frames that it looks at on each side of these; null: as it is."""
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
class DistillConfig:
    """How the student of the recipe `distill` samples, and how its teacher does."""

    steps: int = 1
    """The student's steps, 1 to 4."""
    teacher_steps: int | None = None
    """The teacher's steps; null: its own default."""
    guidance_scale: float | None = None
    """How strongly the prompt steers the teacher, which the student learns too, so that it needs
    no guidance; null: the teacher's own default."""
    prompt: str = ""
    """What both are told of every clip, before the teacher's own suffix (models with text)."""
    space: Literal["pixel", "latent"] = "pixel"
    """What the critic judges: decoded frames, or latents."""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 4:
            raise ConfigError(f"distill.steps is {self.steps}; it must be 1 to 4")
        if self.teacher_steps is not None and self.teacher_steps < 1:
            raise ConfigError(f"distill.teacher_steps is {self.teacher_steps}; at least 1")
