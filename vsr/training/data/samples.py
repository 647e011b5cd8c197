"""Training samples: good clips, their bad small versions, and the exact motion where it is known.

A sample is a pure function of (config, index): neither the order, nor the number of workers or
processes, nor a restart changes it. So position in the data is one integer, and a run goes on with
`DataLoader(clips, sampler=range(next_index, stop))`.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from vsr.degradation import DegradationConfig, degrade
from vsr.errors import ConfigError, InputError
from vsr.training.data.manifest import Split, read_manifest, require_rows
from vsr.training.data.motion import MotionConfig, MovingClip, detail_map, moving_clip
from vsr.training.data.random_access import Access
from vsr.training.data.sources import (
    PhotoLibrary,
    Shot,
    VideoLibrary,
    VideoSource,
    photo_files,
    video_files,
)

_log = logging.getLogger(__name__)
_SOURCE_TRIES = 32
_FLAT_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class TrainingClipsConfig:
    """What training clips are made from, and how.

    A `manifest` stands in the place of the folders `photos` and `videos`: its kept clips are taken,
    with their cut points. `split` takes one part of the material only: by the manifest's column of
    that name; of folders, every `held_out_every`-th photograph is for validation, and no video.
    `crop` is the side of the low-quality clip. `lead_in_frames` bounds how many frames are
    degraded and then thrown away before the first, so that it is not always the codec's key frame.
    Videos are reduced by `video_scale` (less where a crop would not fit), which makes them sharp;
    `video_parts` of two seconds of each are decoded into `cache` by `video_access`. `photo_memory`
    is in bytes. Most clips with a mean gradient below `min_detail` grey levels (sky, road) are
    drawn anew.
    """

    photos: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()
    manifest: Path | None = None
    split: Split | None = None
    held_out_every: int = 16
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
            raise ConfigError(f"{self.video_probability = } must lie between 0 and 1")
        if not 0 < self.video_scale <= 1:
            raise ConfigError(f"{self.video_scale = } must lie above 0 and not exceed 1")
        if self.lead_in_frames < 0:
            raise ConfigError(f"{self.lead_in_frames = } must not be negative")


class TrainingClips(Dataset[dict[str, Tensor]]):
    """Samples by number; photographs are read and videos decoded when it is made.

    A sample holds `lr` `3 t h w` and `hr` `3 t 4*h 4*w` in [-1, 1], `flow_backward`
    `2 t-1 4*h 4*w` (pixels of hr, frame k + 1 to k), `valid` `t-1 4*h 4*w` (1 where that motion is
    exact and its origin visible) and `has_flow` (0 for real clips, whose flow and valid are 0).
    Where the manifest has captions it holds `caption` too, a place in `captions`.
    """

    def __init__(self, config: TrainingClipsConfig, *, photos: PhotoLibrary | None = None) -> None:
        """`photos` may come from other clips of the same folders, so that they are held once."""
        self.config = config
        photo_captions, video_sources = _sources(config)
        self.photos = photos or PhotoLibrary([*photo_captions], memory=config.photo_memory)
        self.photos.preload()
        self.videos = VideoLibrary(
            video_sources,
            cache=config.cache,
            scale=config.video_scale,
            parts=config.video_parts,
            min_side=self._hr_size,
            min_frames=config.frames + config.lead_in_frames,
            access=config.video_access,
        )
        self._photo_captions = photo_captions
        texts = {*photo_captions.values(), *self.videos.captions} - {""}
        self.captions: tuple[str, ...] = ("", *sorted(texts)) if texts else ()
        if not len(self.photos) - len(self.photos.skipped) + len(self.videos):
            folders = ", ".join(map(str, (*config.photos, *config.videos)))
            raise ConfigError(
                f"nothing to train on in {config.manifest or folders}: {len(self.skipped)} files "
                f"skipped{''.join(f'; {reason}' for reason in [*self.skipped.values()][:1])}"
            )
        _log.info(
            "%d photographs and %d videos; %d files skipped",
            len(self.photos) - len(self.photos.skipped),
            len(self.videos),
            len(self.skipped),
        )

    @property
    def skipped(self) -> dict[Path, str]:
        """The sources that this process found unusable, with the reason of each."""
        return self.photos.skipped | self.videos.skipped

    def __len__(self) -> int:
        return self.config.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Sample `index`; sources that cannot be used are passed over, always in the same way."""
        if not 0 <= index < self.config.length:
            raise IndexError(f"{index = } of {self.config.length} samples")
        rng = np.random.default_rng([self.config.seed, index])
        for _ in range(_SOURCE_TRIES):
            try:
                return self._sample(rng)
            except InputError as error:
                _log.debug("sample %d: another source, since %s", index, error)
        raise InputError(f"{_SOURCE_TRIES} sources in a row cannot be used; see the log for names")

    @property
    def _hr_size(self) -> int:
        return self.config.crop * self.config.degradation.scale

    def _sample(self, rng: np.random.Generator) -> dict[str, Tensor]:
        lead = int(rng.integers(self.config.lead_in_frames + 1))
        from_video = rng.random() < self.config.video_probability
        has_flow = bool(len(self.photos)) and not (from_video and len(self.videos))
        draw = self._photo_clip if has_flow else self._video_clip
        clip, caption = draw(lead, rng)
        if (
            rng.random() > _FLAT_SHARE
            and detail_map(clip.frames[-1]).mean() < self.config.min_detail
        ):
            clip, caption = draw(lead, rng)
        good = clip.frames.astype(np.float32) / 255
        bad = degrade(good, config=self.config.degradation, rng=rng)
        sample = {
            "lr": _to_tensor(bad[lead:]),
            "hr": _to_tensor(clip.frames[lead:]),
            "flow_backward": torch.from_numpy(np.ascontiguousarray(clip.flow_backward[:, lead:])),
            "valid": torch.from_numpy(clip.valid[lead:].astype(np.float32)),
            "has_flow": torch.tensor(float(has_flow)),
        }
        if self.captions:
            sample["caption"] = torch.tensor(self.captions.index(caption))
        return sample

    def _photo_clip(self, lead: int, rng: np.random.Generator) -> tuple[MovingClip, str]:
        first, second = map(int, rng.integers(len(self.photos), size=2))
        other = first if rng.random() < 0.5 else second
        clip = moving_clip(
            self.photos[first],
            self.photos[other],
            frames=self.config.frames + lead,
            size=self._hr_size,
            config=self.config.motion,
            rng=rng,
        )
        return clip, self._photo_captions.get(self.photos.paths[first], "")

    def _video_clip(self, lead: int, rng: np.random.Generator) -> tuple[MovingClip, str]:
        video = int(rng.integers(len(self.videos)))
        run = self.videos.run(video, rng)
        frames = _random_frames(len(run), self.config.frames + lead, rng)
        if rng.random() < 0.5:
            frames = frames[::-1]
        clip = _textured_crop(run, frames, self._hr_size, self.config.motion.crop_tries, rng)
        shape = (len(clip) - 1, *clip.shape[1:3])
        still = MovingClip(clip, np.zeros((2, *shape), np.float32), np.zeros(shape, bool))
        return still, self.videos.captions[video]


def _sources(config: TrainingClipsConfig) -> tuple[dict[Path, str], list[VideoSource]]:
    """Photographs with their captions, and videos."""
    if config.manifest is not None:
        return _manifest_sources(config.manifest, config.split)
    photos = photo_files(config.photos)
    videos = [VideoSource(path) for path in video_files(config.videos)]
    every = config.held_out_every
    held_out = [path for i, path in enumerate(photos) if i % every == every - 1]
    if config.split == "train":
        photos = [path for path in photos if path not in set(held_out)]
    elif config.split is not None:
        photos, videos = held_out, []
    return dict.fromkeys(photos, ""), videos


def _manifest_sources(path: Path, split: Split | None) -> tuple[dict[Path, str], list[VideoSource]]:
    """Shots of a video that have captions of their own count as videos of their own."""
    manifest = read_manifest(path)
    rows = manifest.select(split=split)
    require_rows(rows, path, f"of the split {split!r}" if split else "at all")
    shots: dict[tuple[Path, str], list[Shot]] = {}
    for row in rows:
        if row.kind == "video":
            shot = Shot(row.start, row.end, row.bars)
            shots.setdefault((manifest.path(row), row.caption or ""), []).append(shot)
    videos = [VideoSource(file, tuple(found), text) for (file, text), found in shots.items()]
    photos = {manifest.path(row): row.caption or "" for row in rows if row.kind == "image"}
    return photos, videos


def _random_frames(available: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    longest = max(1, (available - 1) // max(1, wanted - 1))
    stride = 2 if longest >= 2 and rng.random() < 0.25 else 1
    start = rng.integers(available - (wanted - 1) * stride)
    return start + stride * np.arange(wanted)


def _textured_crop(
    run: np.ndarray, frames: np.ndarray, size: int, tries: int, rng: np.random.Generator
) -> np.ndarray:
    height, width = run.shape[1:3]
    tries = tries if rng.random() < 0.8 else 1
    corners = rng.integers((0, 0), (height - size + 1, width - size + 1), (tries, 2))
    middle = run[frames[len(frames) // 2]]
    details = [detail_map(middle[y : y + size, x : x + size]).mean() for y, x in corners]
    y, x = corners[int(np.argmax(details))]
    clip = run[np.sort(frames)][:, y : y + size, x : x + size]
    if frames[0] > frames[-1]:
        clip = clip[::-1]
    if rng.random() < 0.5:
        clip = clip[:, :, ::-1]
    if rng.random() < 0.5:
        clip = clip.swapaxes(1, 2)
    return np.ascontiguousarray(clip)


def _to_tensor(frames: np.ndarray) -> Float[Tensor, "3 t h w"]:
    pixels = torch.from_numpy(np.ascontiguousarray(frames)).float() / 127.5 - 1
    return rearrange(pixels, "t h w c -> c t h w").contiguous()
