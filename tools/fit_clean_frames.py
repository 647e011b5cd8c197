"""Fit what tells clean frames from degraded ones, and write vsr/assets/clean_frames.safetensors.

    python tools/fit_clean_frames.py PHOTOS

Crops of photographs move by some pixels for three frames and are degraded by the project's own
degradations, or only reduced, 2 to 4 times. A network of two layers tells these from those by their
`statistics`. Every tenth photograph is held out; the shares of its clips that are taken for clean
are printed by degradation.
"""

import dataclasses
from argparse import ArgumentParser
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.numpy import save_file
from torch import nn

from vsr.degradation import (
    CompressionConfig,
    DegradationConfig,
    DegradationStageConfig,
    degradation_preset,
    degrade,
)
from vsr.video.reading.bars import luma
from vsr.video.reading.cleanness import LEAST, TILE, cleanness, statistics

_CLEAN = "clean"
_SHARES = {_CLEAN: 8, "default": 4, "generated": 2, "published": 2, "old_film": 2, "codec": 4}
"""Clips of each kind; `codec` is only compressed, mildly at best."""
_SIDE, _TILES, _FRAMES = 128, 4, (0, 2)
"""Largest size of a clip, tiles of a frame, and frames that are looked at: a key frame, another."""
_HIDDEN, _STEPS, _BATCH = 16, 4000, 256
_JITTER = 0.1
"""Noise on the scaled statistics in training."""


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("--out", type=Path, default=Path("vsr/assets/clean_frames.safetensors"))
    parser.add_argument("--rounds", type=int, default=12, help="clips of each photograph")
    options = parser.parse_args()
    paths = sorted(p for p in options.photos.rglob("*.*") if p.suffix.lower() in (".jpg", ".png"))
    held_out = paths[::10]
    train = _clips([path for path in paths if path not in held_out], options.rounds, seed=0)
    test = _clips(held_out, 4 * options.rounds, seed=1)
    weights = _fit(train)
    save_file(weights, options.out)
    table = Table("degradation", "clips", "taken for clean", title=str(options.out))
    for kind, clips in test.items():
        share = np.mean([cleanness(clip, weights).mean() > LEAST for clip in clips])
        table.add_row(kind, str(len(clips)), f"{share:.1%}")
    Console().print(table)


def _clips(paths: list[Path], rounds: int, *, seed: int) -> dict[str, list[np.ndarray]]:
    """Return the statistics of the tiles of each clip, by the kind of its degradation."""
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, share in _SHARES.items() for _ in range(share)]
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in _SHARES}
    for path in paths:
        photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        for kind in rng.choice(kinds, rounds):
            scale = int(rng.choice((2, 3, 4)))
            clip = _moving(photo, scale, rng)
            if clip is not None:
                small = degrade(clip, config=_config(kind, scale), rng=rng)
                found[kind].append(statistics(_some_tiles(small, rng)))
    return found


def _moving(photo: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray | None:
    """Return three frames `3 h w 3` of a crop that moves; None for a photograph that is small."""
    height, width = photo.shape[:2]
    step = rng.integers(-4, 5, 2)
    side = min(_SIDE * scale, min(height, width) - 16) // scale * scale
    if side < TILE * scale:
        return None
    top, left = (int(rng.integers(4, length - side - 3)) for length in (height, width))
    corners = [(top + t * step[0], left + t * step[1]) for t in (-1, 0, 1)]
    frames = [photo[y : y + side, x : x + side] for y, x in corners]
    return np.stack(frames).astype(np.float32) / 255


def _config(kind: str, scale: int) -> DegradationConfig:
    if kind == _CLEAN:
        return DegradationConfig(scale=scale, clean_probability=1.0)
    if kind != "codec":
        config = degradation_preset(kind)
        return dataclasses.replace(config, scale=scale, clean_probability=0.0)
    nothing = DegradationStageConfig(
        blur_probability=0.0,
        resize_probability=0.0,
        sinc_probability=0.0,
        noise_probability=0.0,
        compression=CompressionConfig(codec_probability=0.0, jpeg_probability=0.0),
    )
    codec = CompressionConfig(codec_probability=1.0, jpeg_probability=0.0)
    second = dataclasses.replace(nothing, compression=codec)
    return DegradationConfig(
        scale=scale, severity=(1.2, 1.6), clean_probability=0.0, first=nothing, second=second
    )


def _some_tiles(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return random tiles `n 64 64` of luma."""
    tiles: list[np.ndarray] = []
    for frame in frames[list(_FRAMES)]:
        plane = luma(frame).astype(np.float32)
        for _ in range(_TILES):
            y, x = (int(rng.integers(0, length - TILE + 1)) for length in plane.shape)
            tiles.append(plane[y : y + TILE, x : x + TILE])
    return np.stack(tiles)


def _fit(clips: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the mean and the deviation of the statistics, and the weights of the network."""
    torch.manual_seed(0)
    each = [clip for kind in clips for clip in clips[kind]]
    is_clean = [float(kind == _CLEAN) for kind in clips for _ in clips[kind]]
    x = torch.from_numpy(np.concatenate(each))
    y = torch.tensor(is_clean).repeat_interleave(torch.tensor([len(clip) for clip in each]))
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    network = nn.Sequential(
        OrderedDict(
            hidden=nn.Linear(x.shape[1], _HIDDEN),
            relu=nn.ReLU(),
            dropout=nn.Dropout(0.2),
            out=nn.Linear(_HIDDEN, 1),
        )
    )
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, _STEPS)
    scaled = (x - mean) / deviation
    for _ in range(_STEPS):
        picks = torch.randint(len(x), (_BATCH,))
        logits = network(scaled[picks] + _JITTER * torch.randn_like(scaled[picks]))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, y[picks])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    found = network.state_dict() | {"mean": mean, "deviation": deviation}
    return {name: value.numpy() for name, value in found.items()}


if __name__ == "__main__":
    main()
