"""Makes shards for the keyed recipe (`vsr.training.data.keyed_shards`) from photographs and videos.

A shard is a function of the settings and its number alone: runs may be broken off, go on in any
order, or make different shards on different machines.
"""

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from safetensors.numpy import save_file

from vsr.degradation import DegradationConfig, degrade, generated_config, old_film_config
from vsr.degradation.film_config import (
    DustConfig,
    FadingConfig,
    FilmConfig,
    FlickerConfig,
    HairConfig,
    HalationConfig,
    ScratchConfig,
    WeaveConfig,
)
from vsr.errors import ConfigError, InputError, OutputError
from vsr.models.image import ImageNetwork
from vsr.training.data.keyed_shards import (
    AFTER,
    ANCHORS,
    BEFORE,
    INDEX,
    PAIRS,
    KeyedIndex,
    KeyedSample,
    encode,
    read_index,
    shard_name,
)
from vsr.training.data.motion import MotionConfig, MovingClip, detail_map, moving_clip
from vsr.training.data.photos import PhotoLibrary
from vsr.training.data.samples import textured_crop
from vsr.training.data.samples_config import TrainingClipsConfig
from vsr.training.data.selection import select_sources
from vsr.training.data.videos import VideoLibrary

_log = logging.getLogger(__name__)
_SOURCE_TRIES = 32
_FLAT_SHARE = 0.15
_FLOW_ERROR = 0.05
"""Pixels by which enlarged motion may miss the exact one where it counts as valid."""


@dataclass(frozen=True, slots=True)
class DegradationShare:
    """A degradation and the share of the samples that it gets, relative to the others."""

    weight: float
    config: DegradationConfig


def _film() -> DegradationConfig:
    """Grain, flicker and dust: the wear that leaves each thing in its place and its colour."""
    film = FilmConfig(
        halation=HalationConfig(probability=0.0),
        fading=FadingConfig(probability=0.0),
        dust=DustConfig(per_megapixel=(2.0, 20.0)),
        weave=WeaveConfig(probability=0.0),
        scratches=ScratchConfig(probability=0.0),
        hairs=HairConfig(probability=0.0),
        flicker=FlickerConfig(strength=(0.005, 0.04), local=(0.0, 0.01)),
    )
    return dataclasses.replace(old_film_config(), film=film)


def _shares() -> tuple[DegradationShare, ...]:
    """A fifth is only reduced, a quarter has the mesh of generated clips, little is old film."""
    return (
        DegradationShare(0.20, DegradationConfig(clean_probability=1.0)),
        DegradationShare(0.47, DegradationConfig(clean_probability=0.0)),
        DegradationShare(0.25, generated_config()),
        DegradationShare(0.08, _film()),
    )


def _motion() -> MotionConfig:
    """Slower than that of short clips, since it goes on for tens of frames."""
    return MotionConfig(
        pan=(0.05, 8.0), zoom=0.003, rotation=0.15, perspective=0.002, layer_probability=0.6
    )


@dataclass(frozen=True, slots=True)
class KeyedShardConfig:
    """The material of the shards and their samples.

    `crop` is the side of the small frames; `distance` bounds the frames between neighbouring
    anchors. `split` takes the material for training or, with no videos, photographs held out. Files
    whose names without suffix match a pattern of `exclude` are not used.
    """

    photos: tuple[Path, ...]
    videos: tuple[Path, ...] = ()
    exclude: tuple[str, ...] = ()
    split: Literal["train", "validation"] = "train"
    held_out_every: int = 16
    crop: int = 64
    shard_samples: int = 16
    distance: tuple[int, int] = (1, 24)
    video_probability: float = 0.2
    video_scale: float = 0.5
    min_detail: float = 15.0
    seed: int = 0
    photo_memory: int = 1 << 30
    cache: Path = Path("~/.cache/vsr/training")
    motion: MotionConfig = field(default_factory=_motion)
    degradations: tuple[DegradationShare, ...] = field(default_factory=_shares)

    def __post_init__(self) -> None:
        if not 1 <= self.distance[0] <= self.distance[1]:
            raise ConfigError(f"{self.distance = } must be two rising numbers of at least 1")
        if not sum(share.weight for share in self.degradations) > 0:
            raise ConfigError("the shares of degradations must have a sum above 0")
        if self.crop < 1 or self.shard_samples < 1:
            raise ConfigError(f"{self.crop = } and {self.shard_samples = } must be at least 1")


class ShotSource:
    """Shots by sample number: their large frames, small frames, anchors and exact motion."""

    def __init__(self, config: KeyedShardConfig) -> None:
        self.config = config
        photos, videos = select_sources(_selection(config))
        self.photos = PhotoLibrary([*photos], memory=config.photo_memory)
        self.videos = VideoLibrary(
            videos,
            cache=config.cache,
            scale=config.video_scale,
            parts=5,
            min_side=4 * config.crop,
            min_frames=BEFORE + AFTER + 1 + (ANCHORS - 1) * config.distance[0],
        )

    def __call__(self, number: int, network: ImageNetwork) -> KeyedSample:
        """Return sample `number`; sources that cannot be used are passed over."""
        rng = np.random.default_rng([self.config.seed, number])
        for _ in range(_SOURCE_TRIES):
            try:
                clip, anchors = self._clip(rng)
            except InputError as error:
                _log.debug("sample %d: another source, since %s", number, error)
            else:
                return self._sample(clip, anchors, network, rng)
        raise InputError(f"{_SOURCE_TRIES} sources in a row cannot be used; see the log for names")

    def _sample(
        self,
        clip: MovingClip,
        anchors: Int[np.ndarray, "anchors"],
        network: ImageNetwork,
        rng: np.random.Generator,
    ) -> KeyedSample:
        weights = np.array([share.weight for share in self.config.degradations])
        share = int(rng.choice(len(weights), p=weights / weights.sum()))
        config = self.config.degradations[share].config
        small = degrade(clip.frames.astype(np.float32) / 255, config=config, rng=rng)
        size = small.shape[1]
        near = clip.flow_backward[:, anchors].swapaxes(0, 1), clip.valid[anchors]
        flow, valid = stored_flow(*near, size=size)
        far_flow, far_valid = stored_flow(*far_motion(clip, anchors), size=size)
        return KeyedSample(
            small=np.stack([small[a - BEFORE : a + AFTER + 1] for a in anchors]),
            strong=strong_frames(small[anchors], network),
            truth=np.stack([clip.frames[a : a + 2] for a in anchors]),
            flow=flow,
            valid=valid,
            far_flow=far_flow,
            far_valid=far_valid,
            frames=anchors,
        )

    def _clip(self, rng: np.random.Generator) -> tuple[MovingClip, Int[np.ndarray, "anchors"]]:
        from_video = len(self.videos) and rng.random() < self.config.video_probability
        draw = self._video_clip if from_video else self._photo_clip
        clip, anchors = draw(rng)
        flat = detail_map(clip.frames[anchors[1]]).mean() < self.config.min_detail
        return draw(rng) if flat and rng.random() > _FLAT_SHARE else (clip, anchors)

    def _photo_clip(
        self, rng: np.random.Generator
    ) -> tuple[MovingClip, Int[np.ndarray, "anchors"]]:
        anchors = draw_anchors(self.config.distance, rng)
        first, second = map(int, rng.integers(len(self.photos), size=2))
        clip = moving_clip(
            self.photos[first],
            self.photos[first if rng.random() < 0.5 else second],
            frames=int(anchors[-1]) + AFTER + 1,
            size=4 * self.config.crop,
            config=self.config.motion,
            rng=rng,
        )
        return clip, anchors

    def _video_clip(
        self, rng: np.random.Generator
    ) -> tuple[MovingClip, Int[np.ndarray, "anchors"]]:
        run = self.videos.run(int(rng.integers(len(self.videos))), rng)
        low, high = self.config.distance
        longest = (len(run) - BEFORE - AFTER - 1) // (ANCHORS - 1)
        anchors = draw_anchors((low, min(high, longest)), rng)
        count = int(anchors[-1]) + AFTER + 1
        frames = int(rng.integers(len(run) - count + 1)) + np.arange(count)
        frames = frames[::-1] if rng.random() < 0.5 else frames
        tries = self.config.motion.crop_tries
        pixels = textured_crop(run, frames, 4 * self.config.crop, tries, rng)
        shape = (count - 1, *pixels.shape[1:3])
        return MovingClip(pixels, np.zeros((2, *shape), np.float32), np.zeros(shape, bool)), anchors


def write_shards(
    source: ShotSource, network: ImageNetwork, folder: Path, *, numbers: Iterable[int]
) -> int:
    """Write the shards of these numbers that the folder lacks; return how many were written.

    Raises InputError if the folder holds shards of other settings, ConfigError for a network that
    does not enlarge 4 times.
    """
    config = source.config
    if network.scale != 4:
        raise ConfigError(f"{network.name} enlarges {network.scale} times; shards need 4")
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, index_of(config, network))
    written = 0
    for number in numbers:
        path = folder / shard_name(number)
        if path.is_file():
            continue
        tensors: dict[str, np.ndarray] = {}
        for row in range(config.shard_samples):
            sample = source(number * config.shard_samples + row, network)
            tensors |= encode(sample, row)
        _save(tensors, path)
        written += 1
        _log.info("shard %d written, %.1f MiB", number, path.stat().st_size / 2**20)
    return written


def draw_anchors(distance: tuple[int, int], rng: np.random.Generator) -> Int[np.ndarray, "anchors"]:
    """Draw anchors whose neighbours are `distance` frames apart, near ones as likely as far."""
    gaps = rng.integers(distance[0], distance[1] + 1, ANCHORS - 1)
    return BEFORE + np.concatenate([[0], np.cumsum(gaps)])


def strong_frames(
    small: UInt8[np.ndarray, "anchors h w 3"], network: ImageNetwork
) -> UInt8[np.ndarray, "anchors h4 w4 3"]:
    """Return the network's output for each small frame."""
    frames = rearrange(torch.from_numpy(small), "n h w c -> n 1 c h w").float() / 127.5 - 1
    with torch.inference_mode():
        large = torch.cat([network(frame) for frame in frames])
    pixels = ((large + 1) * 127.5).round().clamp(0, 255).byte()
    return rearrange(pixels, "n c h w -> n h w c").contiguous().numpy()


def far_motion(
    clip: MovingClip, anchors: Int[np.ndarray, "anchors"]
) -> tuple[Float[np.ndarray, "pairs 2 h4 w4"], Bool[np.ndarray, "pairs h4 w4"]]:
    """Return the motion between the `PAIRS` of anchors, and where it is exact."""
    found = [
        _composed(clip, int(anchors[later]), int(anchors[earlier])) for later, earlier in PAIRS
    ]
    return np.stack([flow for flow, _ in found]), np.stack([valid for _, valid in found])


def stored_flow(
    exact: Float[np.ndarray, "n 2 h4 w4"], valid: Bool[np.ndarray, "n h4 w4"], *, size: int
) -> tuple[Float[np.ndarray, "n 2 h w"], Bool[np.ndarray, "n h4 w4"]]:
    """Return motion at the small `size`, and where it is still exact when it is enlarged.

    The values stay in pixels of large frames.
    """
    reduced = np.stack([_resized(flow, size) for flow in exact])
    enlarged = np.stack([_resized(flow, exact.shape[-1]) for flow in reduced])
    close = np.abs(enlarged - exact).max(axis=1) < _FLOW_ERROR
    return reduced, valid & close


def index_of(config: KeyedShardConfig, network: ImageNetwork) -> KeyedIndex:
    """Return the index of a folder of such shards."""
    values = dataclasses.asdict(config)
    for name in ("cache", "photo_memory"):
        values.pop(name)
    # file names instead of folders: another machine may keep the same files elsewhere
    photos, videos = select_sources(_selection(config))
    values["photos"] = _names_digest([*photos])
    values["videos"] = _names_digest([video.path for video in videos])
    digest = hashlib.sha256()
    for name, weight in sorted(network.descriptor.model.state_dict().items()):
        digest.update(name.encode() + weight.float().cpu().numpy().tobytes())
    return KeyedIndex(
        shard_samples=config.shard_samples,
        crop=config.crop,
        scale=4,
        network=digest.hexdigest(),
        data=json.loads(json.dumps(values, default=str)),
    )


def _composed(clip: MovingClip, later: int, earlier: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the motion from one frame to an earlier one, by way of all those between them."""
    y, x = np.mgrid[: clip.frames.shape[1], : clip.frames.shape[2]].astype(np.float32)
    to_x, to_y, valid = x.copy(), y.copy(), np.ones(x.shape, bool)
    for frame in range(later - 1, earlier - 1, -1):
        places = (to_x.copy(), to_y.copy())
        valid &= cv2.remap(clip.valid[frame].astype(np.float32), *places, cv2.INTER_LINEAR) > 0.99
        to_x += cv2.remap(clip.flow_backward[0, frame], *places, cv2.INTER_LINEAR)
        to_y += cv2.remap(clip.flow_backward[1, frame], *places, cv2.INTER_LINEAR)
    return np.stack([to_x - x, to_y - y]), valid


def _claim(folder: Path, index: KeyedIndex) -> None:
    if (folder / INDEX).is_file() and read_index(folder) != index:
        raise InputError(f"{folder} holds shards of other settings; take another folder")
    index.write(folder)


def _selection(config: KeyedShardConfig) -> TrainingClipsConfig:
    return TrainingClipsConfig(
        photos=config.photos,
        videos=config.videos,
        split=config.split,
        held_out_every=config.held_out_every,
        exclude=config.exclude,
    )


def _names_digest(files: list[Path]) -> str:
    return hashlib.sha256("\n".join(path.name for path in files).encode()).hexdigest()


def _resized(flow: np.ndarray, size: int) -> np.ndarray:
    """Resample `2 h w` to another size without a change of its values."""
    planes = np.ascontiguousarray(rearrange(flow, "two h w -> h w two"))
    reduces = size < len(planes)
    method = cv2.INTER_AREA if reduces else cv2.INTER_LINEAR
    return rearrange(cv2.resize(planes, (size, size), interpolation=method), "h w two -> two h w")


def _save(tensors: dict[str, Any], path: Path) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
