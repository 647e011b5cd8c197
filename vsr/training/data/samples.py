"""Training samples: good clips, their bad small versions, and the exact motion if it is known.

A sample is a pure function of (config, index): it depends neither on the order, nor on the number
of workers or processes, nor on restarts. The position in the data is one integer, so a run resumes
with `DataLoader(clips, sampler=range(next_index, stop))`.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from vsr.degradation import degrade
from vsr.errors import ConfigError, InputError
from vsr.training.data.motion import MovingClip, detail_map, moving_clip
from vsr.training.data.photos import PhotoLibrary
from vsr.training.data.samples_config import TrainingClipsConfig
from vsr.training.data.selection import captions_in_order, select_sources
from vsr.training.data.videos import VideoLibrary

_log = logging.getLogger(__name__)
_SOURCE_TRIES = 32
_FLAT_SHARE = 0.15


class TrainingClips(Dataset[dict[str, Tensor]]):
    """Samples by number. Creating it reads photographs and decodes videos.

    A sample holds `lr` `3 t h w` and `hr` `3 t 4*h 4*w` in [-1, 1], `flow_backward`
    `2 t-1 4*h 4*w` (pixels of hr, frame k + 1 to k), `valid` `t-1 4*h 4*w` (1 where that motion is
    exact and its origin visible) and `has_flow` (0 for real clips, whose flow and valid are 0).
    If the manifest has captions, it also holds `caption`, an index into `captions`.
    """

    def __init__(self, config: TrainingClipsConfig, *, photos: PhotoLibrary | None = None) -> None:
        """`photos` may be shared with other clips of the same folders, to hold them only once."""
        self.config = config
        self._photo_captions, video_sources = select_sources(config)
        self.photos = photos or PhotoLibrary([*self._photo_captions], memory=config.photo_memory)
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
        texts = {*self._photo_captions.values(), *(source.caption for source in video_sources)}
        self.captions = captions_in_order(texts)
        self._check_material()

    @property
    def skipped(self) -> dict[Path, str]:
        """The sources that this process found unusable, with the reason of each."""
        return self.photos.skipped | self.videos.skipped

    def __len__(self) -> int:
        return self.config.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Sample `index`; sources that cannot be used are skipped, always in the same way."""
        if not 0 <= index < self.config.length:
            raise IndexError(f"{index = } of {self.config.length} samples")
        rng = np.random.default_rng([self.config.seed, index])
        for _ in range(_SOURCE_TRIES):
            try:
                return self._sample(rng)
            except InputError as error:
                _log.debug("sample %d: another source, since %s", index, error)
        raise InputError(f"{_SOURCE_TRIES} sources in a row cannot be used; see the log for names")

    def _check_material(self) -> None:
        """Log the counts of sources; ConfigError if there are none."""
        config, photos = self.config, len(self.photos) - len(self.photos.skipped)
        if not photos + len(self.videos):
            folders = ", ".join(map(str, (*config.photos, *config.videos)))
            raise ConfigError(
                f"nothing to train on in {config.manifest or folders}: {len(self.skipped)} files "
                f"skipped{''.join(f'; {reason}' for reason in [*self.skipped.values()][:1])}"
            )
        _log.info(
            "%d photographs and %d videos; %d files skipped",
            photos, len(self.videos), len(self.skipped),
        )  # fmt: skip

    @property
    def _hr_size(self) -> int:
        return self.config.crop * self.config.degradation.scale

    def _sample(self, rng: np.random.Generator) -> dict[str, Tensor]:
        lead = int(rng.integers(self.config.lead_in_frames + 1))
        from_video = rng.random() < self.config.video_probability
        has_flow = bool(len(self.photos)) and not (from_video and len(self.videos))
        draw = self._photo_clip if has_flow else self._video_clip
        clip, caption = draw(lead, rng)
        if rng.random() > _FLAT_SHARE and self._is_flat(clip):
            clip, caption = draw(lead, rng)
        sample = self._tensors(clip, lead, rng) | {"has_flow": torch.tensor(float(has_flow))}
        if self.captions:
            sample["caption"] = torch.tensor(self.captions.index(caption))
        return sample

    def _is_flat(self, clip: MovingClip) -> bool:
        return bool(detail_map(clip.frames[-1]).mean() < self.config.min_detail)

    def _tensors(self, clip: MovingClip, lead: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """The clip, its degraded version and its motion, without the first `lead` frames."""
        good = clip.frames.astype(np.float32) / 255
        bad = degrade(good, config=self.config.degradation, rng=rng)
        return {
            "lr": _to_tensor(bad[lead:]),
            "hr": _to_tensor(clip.frames[lead:]),
            "flow_backward": torch.from_numpy(np.ascontiguousarray(clip.flow_backward[:, lead:])),
            "valid": torch.from_numpy(clip.valid[lead:].astype(np.float32)),
        }

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
        clip = textured_crop(run, frames, self._hr_size, self.config.motion.crop_tries, rng)
        shape = (len(clip) - 1, *clip.shape[1:3])
        still = MovingClip(clip, np.zeros((2, *shape), np.float32), np.zeros(shape, bool))
        return still, self.videos.captions[video]


def _random_frames(available: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    longest = max(1, (available - 1) // max(1, wanted - 1))
    stride = 2 if longest >= 2 and rng.random() < 0.25 else 1
    start = rng.integers(available - (wanted - 1) * stride)
    return start + stride * np.arange(wanted)


def textured_crop(
    run: np.ndarray, frames: np.ndarray, size: int, tries: int, rng: np.random.Generator
) -> np.ndarray:
    """The most detailed of a few crops, of these frames in this order, mirrored at random."""
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
