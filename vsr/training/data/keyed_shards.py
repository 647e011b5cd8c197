"""Stored samples of the keyed recipe: a shot seen at three anchors, in shards of safetensors.

A folder of shards holds `index.json` and `shard_00000.safetensors` and so on. An anchor is a frame
for which the output of a strong network is stored; any anchor can be the target and the others its
keys, which are warped when a sample is read. Of a sample (`crop` is the side of the small frames):

| key | content |
|---|---|
| `small` | lossless WebP: the small frames around each anchor a: a - 1 to a + 2 |
| `strong` | JPEG: the strong network's frame at each anchor |
| `truth` | JPEG: the true large frames a and a + 1 |
| `flow` | float16 `anchors 2 crop crop`: exact motion from a + 1 to a, in pixels of large frames |
| `valid` | packed bits `anchors scale*crop scale*crop`: where that motion, enlarged, is exact |
| `far_flow` | int16 `3 2 crop crop`: exact motion between anchors (`PAIRS`), in 1/64 pixels |
| `far_valid` | packed bits `3 scale*crop scale*crop`: where that motion, enlarged, is exact |
| `frames` | int32 `anchors`: the numbers of the anchors in their shot |
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from safetensors import SafetensorError, safe_open

from vsr.errors import InputError

INDEX = "index.json"
ANCHORS = 3
BEFORE, AFTER = 1, 2
"""Small frames that are stored before and after each anchor."""
WINDOW = BEFORE + 1 + AFTER
PAIRS = ((1, 0), (2, 1), (2, 0))
"""Anchors (from, to) between which the motion is stored."""
JPEG_QUALITY = 95
_FLOW_STEPS = 64
"""Steps of stored motion to a pixel: half precision floats are too coarse far from 0."""
_NAMES = ("small", "strong", "truth", "flow", "valid", "far_flow", "far_valid", "frames")


@dataclass(frozen=True, slots=True)
class KeyedSample:
    """A shot at its anchors, as it is stored; see the module for the motion."""

    small: UInt8[np.ndarray, "anchors window h w 3"]
    strong: UInt8[np.ndarray, "anchors h4 w4 3"]
    truth: UInt8[np.ndarray, "anchors 2 h4 w4 3"]
    flow: Float[np.ndarray, "anchors 2 h w"]
    valid: Bool[np.ndarray, "anchors h4 w4"]
    far_flow: Float[np.ndarray, "pairs 2 h w"]
    far_valid: Bool[np.ndarray, "pairs h4 w4"]
    frames: Int[np.ndarray, "anchors"]


@dataclass(frozen=True, slots=True)
class KeyedIndex:
    """The contents of a folder of shards: samples are a function of `data` and their number."""

    shard_samples: int
    crop: int
    scale: int
    network: str
    """SHA-256 of the strong network's weights."""
    data: dict[str, Any]
    """The settings of the samples in plain form."""
    schema: int = 2

    def write(self, folder: Path) -> None:
        """Write `index.json`, complete or not at all."""
        partial = folder / f".{INDEX}.partial"
        partial.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        partial.replace(folder / INDEX)


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard_{number:05d}.safetensors"


def read_index(folder: Path) -> KeyedIndex:
    """Return the index of a folder of shards; raise InputError if it has none."""
    path = folder / INDEX
    if not path.is_file():
        raise InputError(f"{folder} has no {INDEX}; `vsr data shards` makes such folders")
    try:
        return KeyedIndex(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is not an index of keyed shards: {error}") from error


def encode(sample: KeyedSample, row: int) -> dict[str, np.ndarray]:
    """Return the tensors of a sample under the names that its row in a shard has."""
    tensors = {
        "small": _webp(sample.small),
        "strong": _jpeg(sample.strong),
        "truth": _jpeg(sample.truth),
        "flow": sample.flow.astype(np.float16),
        "valid": np.packbits(sample.valid),
        "far_flow": np.rint(sample.far_flow * _FLOW_STEPS).clip(-32768, 32767).astype(np.int16),
        "far_valid": np.packbits(sample.far_valid),
        "frames": sample.frames.astype(np.int32),
    }
    return {f"{row:03d}.{name}": np.ascontiguousarray(value) for name, value in tensors.items()}


def decode(tensors: Mapping[str, np.ndarray], *, crop: int, scale: int) -> KeyedSample:
    """Return the sample of stored tensors, by their names without the row."""
    large = scale * crop
    small, strong, truth = (_picture(tensors[name]) for name in ("small", "strong", "truth"))
    valid, far_valid = (_bits(tensors[name], large) for name in ("valid", "far_valid"))
    return KeyedSample(
        small=small.reshape(ANCHORS, WINDOW, crop, crop, 3),
        strong=strong.reshape(ANCHORS, large, large, 3),
        truth=truth.reshape(ANCHORS, 2, large, large, 3),
        flow=tensors["flow"].astype(np.float32),
        valid=valid,
        far_flow=tensors["far_flow"].astype(np.float32) / _FLOW_STEPS,
        far_valid=far_valid,
        frames=tensors["frames"],
    )


class KeyedShards:
    """The stored samples of a folder by number, from the shards that it has now."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index = folder, read_index(folder)
        self.shards: tuple[Path, ...] = tuple(sorted(folder.glob("shard_*.safetensors")))
        if not self.shards:
            raise InputError(f"{folder} has no shards yet; `vsr data shards` makes them")
        self._open: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.shards) * self.index.shard_samples

    def __getitem__(self, number: int) -> KeyedSample:
        """Return sample `number`; raise InputError if its shard is damaged."""
        shard, row = divmod(number, self.index.shard_samples)
        file = self._shard(shard)
        tensors = {name: file.get_tensor(f"{row:03d}.{name}") for name in _NAMES}
        return decode(tensors, crop=self.index.crop, scale=self.index.scale)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the open files: a spawned process opens its own."""
        return self.__dict__ | {"_open": {}}

    def _shard(self, number: int) -> Any:
        if number not in self._open:
            path = self.shards[number]
            try:
                self._open[number] = safe_open(path, framework="np")
            except (OSError, SafetensorError) as error:
                raise InputError(f"{path} cannot be read ({error}); remove it") from error
        return self._open[number]


def _bits(packed: np.ndarray, large: int) -> Bool[np.ndarray, "n h4 w4"]:
    assert len(PAIRS) == ANCHORS, "both kinds of masks have as many"
    bits = np.unpackbits(packed, count=ANCHORS * large * large)
    return bits.reshape(ANCHORS, large, large).astype(bool)


def _webp(frames: np.ndarray) -> UInt8[np.ndarray, "bytes"]:
    # a quality above 100 is lossless: the codec's traces must reach the network as they are
    return _encoded(".webp", frames, [cv2.IMWRITE_WEBP_QUALITY, 101])


def _jpeg(frames: np.ndarray) -> UInt8[np.ndarray, "bytes"]:
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encoded(".jpg", frames, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *sampling])


def _encoded(suffix: str, frames: np.ndarray, options: list[int]) -> UInt8[np.ndarray, "bytes"]:
    """Encode the frames as one picture, one below the other."""
    column = np.ascontiguousarray(frames.reshape(-1, *frames.shape[-2:])[..., ::-1])
    ok, data = cv2.imencode(suffix, column, options)
    assert ok, "every uint8 picture of this size can be encoded"
    return data


def _picture(data: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError("a stored picture cannot be decoded: the shard is damaged; remove it")
    return pixels[..., ::-1]
