"""Training samples of the keyed recipe: a target frame, its neighbours, and warped keys.

Any anchor of a stored shot can be the target; the other two are its keys, which are warped here by
flow that is estimated on the degraded small frames, as it is when a film is upscaled.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vsr.errors import ConfigError
from vsr.models.flow_estimators import key_flow
from vsr.ops.flow import resize_flow, warp
from vsr.ops.frame_formats import as_low_res
from vsr.propagation.far_flow import FarFlow, Step
from vsr.training.data.keyed_shards import (
    ANCHORS,
    BEFORE,
    PAIRS,
    WINDOW,
    KeyedSample,
    KeyedShards,
)

Planes = Float[np.ndarray, "2 _ _"]

FAR = 32
"""Distance in frames from which on a key counts nothing."""
_NEIGHBOURS = np.ones((7, 7), np.uint8)
_ITERATIONS = 12
_FLOW_ERROR = 0.1
"""Pixels by which the inverse of a motion may miss."""
_FLOW = key_flow()


@dataclass(frozen=True, slots=True)
class KeyedClipsConfig:
    """The samples that are read from shards.

    `frames` is 2 (the target and the next) to 4 (one more on either side). `no_keys` and `one_key`
    are shares of the samples. `fixed` gives sample n its middle crop and both keys, for validation.
    """

    crop: int = 48
    frames: int = 4
    seed: int = 0
    no_keys: float = 0.2
    one_key: float = 0.1
    fixed: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.frames <= WINDOW:
            raise ConfigError(f"keyed clips have 2 to {WINDOW} frames, found {self.frames}")
        if min(self.no_keys, self.one_key) < 0 or self.no_keys + self.one_key > 1:
            raise ConfigError(
                f"{self.no_keys = } and {self.one_key = } must be shares, at most 1 together"
            )


class KeyedClips(Dataset[dict[str, Tensor]]):
    """Samples by number without end, each epoch in an order of its own that the seed gives.

    A sample holds `lr` `3 t h w`, `keys` `2 3 t 4*h 4*w` (warped), `confidence` `2 t h w`,
    `nearness` `2 t`, `blend` (the share of the base that an image network makes), `target` (the
    place of the target in t), and for the target and the frame after it: `hr` `3 2 4*h 4*w`,
    `flow_backward` `2 1 4*h 4*w`, `valid` `1 4*h 4*w`. `texture` `3 4*h 4*w` is the strong
    network's detail that the target should have: that of the nearest key, moved by the exact
    motion, or of its own frame where no key shows the thing. Pixels are in [-1, 1].
    """

    def __init__(self, folder: Path, config: KeyedClipsConfig) -> None:
        self.config = config
        self.shards = KeyedShards(folder)
        if config.crop > self.shards.index.crop:
            raise ConfigError(
                f"{folder} holds frames of {self.shards.index.crop} pixels; a crop of "
                f"{config.crop} does not fit"
            )

    def __len__(self) -> int:
        return ANCHORS * len(self.shards)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Return sample `number`."""
        epoch, place = divmod(number, len(self))
        rng = np.random.default_rng([self.config.seed, number])
        if not self.config.fixed:
            place = int(
                np.random.default_rng([self.config.seed, epoch]).permutation(len(self))[place]
            )
        shot, anchor = divmod(place, ANCHORS)
        known = self._known_keys(rng)
        parts = _parts(self.shards[shot], anchor, self.config.frames, known)
        parts = _cropped(parts, self.config, rng)
        if self.config.fixed:
            return _as_tensors(parts, self.config) | {"blend": torch.ones(())}
        blend = np.clip(rng.uniform(-0.25, 1.5), 0, 1)
        weights = rng.uniform(0.1, 1, 2) if rng.random() < 0.5 else np.ones(2)
        parts["nearness"] = (parts["nearness"] * weights[:, None]).astype(np.float32)
        sample = _as_tensors(_turned(parts, rng), self.config)
        return sample | {"blend": torch.tensor(blend, dtype=torch.float32)}

    def _known_keys(self, rng: np.random.Generator) -> tuple[bool, bool]:
        draw = rng.random()
        if self.config.fixed or draw >= self.config.no_keys + self.config.one_key:
            return True, True
        if draw < self.config.no_keys:
            return False, False
        first = bool(rng.random() < 0.5)
        return first, not first


def carry(
    small: UInt8[np.ndarray, "h w 3"],
    key_small: UInt8[np.ndarray, "h w 3"],
    key: UInt8[np.ndarray, "h4 w4 3"],
) -> tuple[UInt8[np.ndarray, "h4 w4 3"], Float[np.ndarray, "h w"]]:
    """Return the key warped to the frame `small`, and the confidence in it, 0 to 1.

    Flow, confidence and warp are those by which keys are carried when a film is upscaled.
    """
    frame, anchor, picture = (as_low_res(one[None])[:, :, 0] for one in (small, key_small, key))
    still = torch.zeros_like(anchor[:, :2])
    far = FarFlow.at(anchor).next(frame, Step(still, still), _FLOW)
    flow = resize_flow(far.there, (key.shape[0], key.shape[1]))
    moved = warp(picture, flow, mode="bicubic", padding="border")
    pixels = ((moved[0].clamp(-1, 1) + 1) * 127.5).round().byte()
    return rearrange(pixels, "c h w -> h w c").numpy(), far.confidence[0, 0].numpy()


def exact_texture(
    shot: KeyedSample, anchor: int, known: tuple[bool, bool]
) -> UInt8[np.ndarray, "h4 w4 3"]:
    """Return the strong network's frame of the anchor, in the place of which its keys are shown.

    The nearest known key is taken where the exact motion leads to it, then the other one.
    """
    others = [k for k in range(ANCHORS) if k != anchor]
    keys = [k for k, is_known in zip(others, known, strict=True) if is_known]
    texture = shot.strong[anchor].astype(np.float32)
    for key in sorted(keys, key=lambda k: -abs(shot.frames[k] - shot.frames[anchor])):
        flow, valid = _motion(shot, anchor, key)
        share = cv2.GaussianBlur(cv2.erode(valid.astype(np.float32), _NEIGHBOURS), (0, 0), 1.5)[
            ..., None
        ]
        moved = _warped(shot.strong[key], flow).astype(np.float32)
        texture += share * (moved - texture)
    return np.rint(texture).clip(0, 255).astype(np.uint8)


def _motion(shot: KeyedSample, source: int, target: int) -> tuple[Planes, np.ndarray]:
    """Return the exact motion between anchors in large pixels, and where it is known."""
    size = shot.strong.shape[1:3]
    if (source, target) in PAIRS:
        pair = PAIRS.index((source, target))
        return _enlarged(shot.far_flow[pair], size), shot.far_valid[pair]
    pair = PAIRS.index((target, source))
    return _inverse(_enlarged(shot.far_flow[pair], size), shot.far_valid[pair])


def _inverse(flow: Planes, valid: np.ndarray) -> tuple[Planes, np.ndarray]:
    """Return g with g(p) = -flow(p + g(p)), by fixed-point iteration, and where it is found."""
    y, x = np.mgrid[: flow.shape[1], : flow.shape[2]].astype(np.float32)
    found = -flow
    for _ in range(_ITERATIONS):
        found = -np.stack([_remap(plane, x + found[0], y + found[1]) for plane in flow])
    back = np.stack([_remap(plane, x + found[0], y + found[1]) for plane in flow])
    seen = _remap(valid.astype(np.float32), x + found[0], y + found[1]) > 0.99
    return found, seen & _inside(found) & (np.abs(found + back).max(0) < _FLOW_ERROR)


def _parts(
    shot: KeyedSample, anchor: int, frames: int, known: tuple[bool, bool]
) -> dict[str, np.ndarray]:
    """Return what belongs to a target, its keys warped to all its frames; frames come first."""
    start = BEFORE if frames < 3 else 0
    window = shot.small[anchor, start : start + frames]
    others = [k for k in range(ANCHORS) if k != anchor]
    carried = [[carry(s, shot.small[k, BEFORE], shot.strong[k]) for s in window] for k in others]
    trusts = np.stack([[trust for _, trust in one] for one in carried])
    places = shot.frames[anchor] + np.arange(frames) - (BEFORE - start)
    distances = np.abs(shot.frames[others][:, None] - places)
    return {
        "lr": window,
        "keys": np.stack([[pixels for pixels, _ in one] for one in carried]),
        "confidence": trusts * np.array(known, np.float32)[:, None, None, None],
        "nearness": np.clip(1 - distances / FAR, 0, 1).astype(np.float32),
        "texture": exact_texture(shot, anchor, known),
        "hr": shot.truth[anchor],
        "flow": _enlarged(shot.flow[anchor], shot.truth.shape[2:4]),
        "valid": shot.valid[anchor],
    }


def _cropped(
    parts: dict[str, np.ndarray], config: KeyedClipsConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    room = parts["lr"].shape[1] - config.crop
    y, x = (room // 2, room // 2) if config.fixed else map(int, rng.integers(room + 1, size=2))
    small = np.s_[y : y + config.crop, x : x + config.crop]
    large = np.s_[4 * y : 4 * (y + config.crop), 4 * x : 4 * (x + config.crop)]
    return parts | {
        "lr": parts["lr"][:, *small],
        "confidence": parts["confidence"][:, :, *small],
        "keys": parts["keys"][:, :, *large],
        "texture": parts["texture"][large],
        "hr": parts["hr"][:, *large],
        "flow": parts["flow"][:, *large],
        "valid": _inside(parts["flow"][:, *large]) & parts["valid"][large],
    }


def _turned(parts: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the sample mirrored along an axis, and transposed, each at even odds."""
    pixels, maps = ("lr", "keys", "texture", "hr"), ("confidence", "flow", "valid")
    if rng.random() < 0.5:
        parts = parts | {name: parts[name][..., ::-1, :] for name in pixels}
        parts = parts | {name: parts[name][..., ::-1] for name in maps}
        parts["flow"] = parts["flow"] * np.array([-1, 1], np.float32)[:, None, None]
    if rng.random() < 0.5:
        parts = parts | {name: parts[name].swapaxes(-3, -2) for name in pixels}
        parts = parts | {name: parts[name].swapaxes(-2, -1) for name in maps}
        parts["flow"] = parts["flow"][::-1]
    return parts


def _as_tensors(parts: dict[str, np.ndarray], config: KeyedClipsConfig) -> dict[str, Tensor]:
    dense = {name: torch.from_numpy(np.ascontiguousarray(parts[name])) for name in parts}
    return {
        "lr": rearrange(_signed(dense["lr"]), "t h w c -> c t h w").contiguous(),
        "keys": rearrange(_signed(dense["keys"]), "k t h w c -> k c t h w").contiguous(),
        "confidence": dense["confidence"],
        "nearness": dense["nearness"],
        "target": torch.tensor(0 if config.frames < 3 else BEFORE),
        "texture": rearrange(_signed(dense["texture"]), "h w c -> c h w").contiguous(),
        "hr": rearrange(_signed(dense["hr"]), "t h w c -> c t h w").contiguous(),
        "flow_backward": dense["flow"][:, None],
        "valid": dense["valid"].float()[None],
    }


def _signed(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


def _warped(key: np.ndarray, large: Planes) -> np.ndarray:
    y, x = np.mgrid[: len(key), : key.shape[1]].astype(np.float32)
    border = cv2.BORDER_REPLICATE
    return cv2.remap(key, x + large[0], y + large[1], cv2.INTER_CUBIC, borderMode=border)


def _enlarged(flow: Planes, size: tuple[int, int]) -> Planes:
    """Return the flow resampled to (h, w), its values as they are."""
    planes = np.ascontiguousarray(flow.transpose(1, 2, 0), dtype=np.float32)
    large = cv2.resize(planes, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large.transpose(2, 0, 1))


def _remap(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _inside(flow: Planes) -> np.ndarray:
    y, x = np.mgrid[: flow.shape[1], : flow.shape[2]]
    x, y = x + flow[0], y + flow[1]
    return (x >= 0) & (x <= flow.shape[2] - 1) & (y >= 0) & (y <= flow.shape[1] - 1)
