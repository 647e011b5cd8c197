"""Fixed pairs of good and bad clips for validation and tests, and sheets of examples to look at."""

import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vsr.degradation import DegradationConfig, degrade
from vsr.degradation.benchmark_set import SET, BenchmarkSet
from vsr.errors import InputError, OutputError
from vsr.runtime.executor import WorkerOptions
from vsr.runtime.files import atomic_folder, write_atomically
from vsr.training.data.clip_row import Split
from vsr.training.data.manifest import Manifest, StoredManifest, require_rows, select
from vsr.training.preparation.clips import clip_frames
from vsr.training.preparation.work import Task, finished, work_through
from vsr.video.images import encode_png, list_images, read_image
from vsr.video.pixels import as_uint8

Frames = UInt8[np.ndarray, "t h w 3"]

INDEX = "pairs.json"
_LABEL = 18


def write_pairs(
    manifest: Manifest | StoredManifest,
    folder: Path,
    *,
    split: Split | None,
    degradation: DegradationConfig,
    frames: int = 8,
    max_side: int = 512,
    seed: int = 0,
    workers: WorkerOptions | None = None,
    degradation_name: str = "custom",
) -> dict[str, Any]:
    """Writes `NAME/hq` and `NAME/lq` as PNG files for each kept clip of a split, and an index.

    The index (`pairs.json`) names each pair's clip and the SHA-256 of the pixels of both sides;
    `set.json` makes them a set for `vsr benchmark`, which shows `degradation_name`.
    Good frames are the middle of the clip's first `frames`, at most `max_side` wide and high, in
    multiples of the scale. A pair depends on the clip's key, the seed and the config alone.
    Existing pairs are kept. Raises InputError if their pixels differ from the index.
    """
    settings = {
        "degradation": hashlib.sha256(repr(degradation).encode()).hexdigest(),
        "frames": frames,
        "max_side": max_side,
        "seed": seed,
    }
    known = _existing_pairs(folder, settings)
    done = {pair["clip"] for pair in known.values()}
    work = partial(
        _write_pair, root=manifest.root, folder=folder.absolute(), degradation=degradation,
        frames=frames, max_side=max_side, seed=seed,
    )  # fmt: skip
    rows = select(manifest, split=split)
    first = list(islice(rows, 1))
    require_rows(first, manifest.root, f"of the split {split!r}" if split else "at all")
    missing = (Task(row.key, row) for row in chain(first, rows) if row.key not in done)
    journal = folder / ".pairs.journal"
    found = work_through(
        missing, work, journal=journal, settings=settings, workers=workers, root=manifest.root
    )
    pairs = known | {pair.pop("name"): pair for pair in found.values()}
    index = {"settings": settings, "pairs": dict(sorted(pairs.items()))}
    write_atomically(folder / INDEX, json.dumps(index, indent=1).encode())
    _write_set(folder, index["pairs"], name=degradation_name, seed=seed)
    finished(journal)
    return index


def check_pair(folder: Path, pair: dict[str, Any]) -> None:
    """Raise InputError if the pixels of a pair differ from the index."""
    for side in ("hq", "lq"):
        frames = np.stack([as_uint8(read_image(path)) for path in list_images(folder / side)])
        if pixel_hash(frames) != pair[side]:
            raise InputError(
                f"{folder / side} does not hold the pixels that {INDEX} names; remove the folder "
                "of the pairs and make them again"
            )


def pixel_hash(frames: Frames) -> str:
    """SHA-256 of the shape and the pixels."""
    return hashlib.sha256(repr(frames.shape).encode() + frames.tobytes()).hexdigest()


def example_sheet(
    clips: Sequence[Frames], *, config: DegradationConfig, seed: int = 0
) -> np.ndarray:
    """A picture with a row per clip: its first good frame, then its first three bad frames.

    Bad frames are enlarged to the size of the good one, pixel by pixel; a label shows the seed.
    """
    rows = [_example_row(clip, config, seed + number) for number, clip in enumerate(clips)]
    width = max(row.shape[1] for row in rows)
    return np.concatenate(
        [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    )


def _write_set(folder: Path, pairs: Iterable[str], *, name: str, seed: int) -> None:
    clips = [(pair, folder / pair / "lq", folder / pair / "hq") for pair in pairs]
    found = BenchmarkSet.of(clips, name=folder.name, degradation=name, seed=seed, folder=folder)
    found.save(folder / SET)


def _existing_pairs(folder: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The checked pairs of the folder's index, by name; none if there is no index.

    Raises InputError if the index has other settings.
    """
    if not (folder / INDEX).is_file():
        return {}
    known = json.loads((folder / INDEX).read_text())
    if known["settings"] != settings:
        raise InputError(
            f"{folder} holds pairs of other settings ({known['settings']}); take another folder"
        )
    for name, pair in known["pairs"].items():
        check_pair(folder / name, pair)
    return known["pairs"]


def _example_row(clip: Frames, config: DegradationConfig, seed: int) -> np.ndarray:
    bad = degrade(clip.astype(np.float32) / 255, config=config, rng=np.random.default_rng(seed))
    size = (clip.shape[2], clip.shape[1])
    shown = [cv2.resize(f, size, interpolation=cv2.INTER_NEAREST) for f in bad[:3]]
    row = np.concatenate([clip[0], *shown], axis=1)
    label = np.zeros((_LABEL, row.shape[1], 3), np.uint8)
    text = f"seed {seed}: good, then frames 0, 1, 2"
    cv2.putText(label, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    return np.concatenate([label, row])


def good_frames(frames: np.ndarray, *, max_side: int, multiple: int) -> Frames:
    """The middle of the frames, at most `max_side` wide and high, in multiples of `multiple`."""
    h, w = (min(side, max_side) // multiple * multiple for side in frames.shape[1:3])
    if not h or not w:
        raise InputError(f"frames of {frames.shape[2]}x{frames.shape[1]} are too small for a pair")
    y, x = (frames.shape[1] - h) // 2, (frames.shape[2] - w) // 2
    return np.ascontiguousarray(frames[:, y : y + h, x : x + w])


def _write_pair(
    row: Any,
    *,
    root: Path,
    folder: Path,
    degradation: DegradationConfig,
    frames: int,
    max_side: int,
    seed: int,
) -> dict[str, Any]:
    name = f"{Path(row.source).stem}-{hashlib.sha256(row.key.encode()).hexdigest()[:12]}"
    source = clip_frames(row, root, frames=frames)
    good = good_frames(source, max_side=max_side, multiple=degradation.scale)
    rng = np.random.default_rng([seed, zlib.crc32(row.key.encode())])
    bad = degrade(good.astype(np.float32) / 255, config=degradation, rng=rng)
    try:
        with atomic_folder(folder / name) as pair:
            for side, pictures in (("hq", good), ("lq", bad)):
                (pair / side).mkdir()
                for number, pixels in enumerate(pictures):
                    (pair / side / f"{number:04d}.png").write_bytes(encode_png(pixels))
    except OSError as error:
        raise OutputError(f"{folder / name} cannot be written: {error.strerror}") from error
    return {"name": name, "clip": row.key, "hq": pixel_hash(good), "lq": pixel_hash(bad)}
