"""The config of training samples."""

from dataclasses import dataclass, field
from pathlib import Path

from vsr.degradation import DegradationConfig
from vsr.errors import ConfigError
from vsr.training.data.clip_row import Split
from vsr.training.data.motion import MotionConfig
from vsr.training.data.random_access import Access


@dataclass(frozen=True, slots=True)
class TrainingClipsConfig:
    """The material of training clips and the way in which they are made.

    A `manifest` replaces the folders `photos` and `videos`: its kept clips are used, with their cut
    points. `split` selects a part of the material: by the manifest's column of that name, or of
    folders every `held_out_every`-th photograph for validation, and no video. Files whose name
    without suffix matches a pattern in `exclude` are left out.
    `crop` is the side of the low-quality clip in pixels. Up to `lead_in_frames` frames are degraded
    and dropped before the first one, so that it is not always the codec's keyframe.
    Videos are reduced by `video_scale` (less if a crop would not fit), which makes them sharp.
    `video_parts` parts of two seconds of each are decoded into `cache` by `video_access`.
    `photo_memory` is in bytes. Most clips with a mean gradient below `min_detail` grey levels (sky,
    road) are drawn a second time.
    """

    photos: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    manifest: Path | None = None
    split: Split | None = None
    held_out_every: int = 16
    exclude: tuple[str, ...] = ()
    crop: int = 48
    frames: int = 5
    seed: int = 0
    length: int = 1 << 30
    video_probability: float = 0.25
    video_scale: float = 0.5
    video_access: Access = "decord"
    video_parts: int = 5
    lead_in_frames: int = 3
    min_detail: float = 15.0
    photo_memory: int = 1 << 30
    cache: Path = Path("~/.cache/vsr/training")
    motion: MotionConfig = field(default_factory=MotionConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)

    def __post_init__(self) -> None:
        if not self.photos and not self.videos and self.manifest is None:
            raise ConfigError(
                "training needs folders of photographs (`photos`) or of `videos`, or a `manifest`"
            )
        if self.held_out_every < 2:
            raise ConfigError(f"{self.held_out_every = } must be at least 2")
        if self.crop < 1 or self.frames < 1 or self.length < 1 or self.video_parts < 1:
            raise ConfigError(
                f"{self.crop = }, {self.frames = }, {self.length = } and {self.video_parts = } "
                "must be at least 1"
            )
        if not 0 <= self.video_probability <= 1:
            raise ConfigError(f"{self.video_probability = } must be 0 to 1")
        if not 0 < self.video_scale <= 1:
            raise ConfigError(f"{self.video_scale = } must be above 0 and at most 1")
        if self.lead_in_frames < 0:
            raise ConfigError(f"{self.lead_in_frames = } must not be negative")
