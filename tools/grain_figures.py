"""Compare the grain given to enlarged frames with known grain put on sound clips.

PYTHONPATH=. python tools/grain_figures.py CLIP [CLIP ...] [--width 480] [--scale 2] [--still]

For each clip and each kind of grain: how far the variance by brightness and the power in rings of
frequency are from those of the grain that was put on, scaled to the output's size.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from repair_figures import first_frames, power_of, ring_sums

from vsr.degradation.film import add_grain
from vsr.restoration.grain_measure import measure_grain
from vsr.restoration.grain_synthesis import with_grain
from vsr.restoration.images import as_bytes, luma_of
from vsr.restoration.plan import STATISTICS
from vsr.video.reading.reader import VideoReader

LEVEL = 1 / 255
BRIGHTNESSES = 8
LEAST_SHARE = 0.03
"""Bins of brightness with fewer of the pixels, and rings with less of the power, are left out."""
RING = 0.05
"""Width of a ring in cycles a pixel of the source."""
GIVEN = 6
"""Frames that get grain, for the mean."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of grain, as `add_grain` takes it; `sigma` in levels."""

    sigma: float
    size: float
    colour: bool

    def __str__(self) -> str:
        colours = "coloured" if self.colour else "grey"
        return f"{self.sigma:g} levels, size {self.size:g}, {colours}"


KINDS = tuple(
    Kind(sigma, size, colour)
    for sigma, size, colour in (
        (5, 0.6, False),
        (10, 0.8, False),
        (10, 0.8, True),
        (10, 1.2, True),
        (16, 1.6, False),
    )
)


def moved_still(path: Path, frames: int, width: int) -> np.ndarray:
    """The first frame under a slow pan and zoom: a moving picture without noise of its own."""
    with VideoReader(path) as reader:
        still = next(iter(reader)).pixels
    h, w = still.shape[:2]
    border = 40
    share = width / (w - 2 * border)
    shown = []
    for n in range(frames):
        zoom = 1.002**n
        move = np.array([[zoom, 0, -1.37 * n], [0, zoom, -0.61 * n]], np.float32)
        moved = cv2.warpAffine(still, move, (w, h), flags=cv2.INTER_CUBIC)
        inner = moved[border : h - border, border : w - border]
        shown.append(cv2.resize(inner, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))
    return np.stack(shown).astype(np.float32) / 255


def variances(grain: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Mean variance of a channel by brightness; nan where few pixels are."""
    bins = np.clip((luma * BRIGHTNESSES).astype(int), 0, BRIGHTNESSES - 1)
    found = np.full(BRIGHTNESSES, np.nan)
    for number in range(BRIGHTNESSES):
        here = bins == number
        if here.mean() >= LEAST_SHARE:
            found[number] = (grain[here] ** 2).mean() - (grain[here].mean(0) ** 2).mean()
    return found


def ring_powers(grain: np.ndarray, scale: int) -> np.ndarray:
    """Power of luma in rings up to half a cycle a pixel of the source, of the variance 1."""
    powers = [power_of(luma_of(frame)) / frame[..., 0].size ** 2 for frame in grain]
    return np.mean([ring_sums(power, scale, width=RING, end=0.5) for power in powers], 0)


def departures(clip: np.ndarray, kind: Kind, scale: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Relative differences of variances by brightness, and of powers by ring; None: not found."""
    rng = np.random.default_rng(5)
    worn = add_grain(clip, sigma=kind.sigma * LEVEL, size=kind.size, colour=kind.colour, rng=rng)
    shown = as_bytes(worn)
    measured = measure_grain(list(shown))
    if measured is None:
        return None
    own = shown / np.float32(255) - clip
    numbers = range(min(GIVEN, len(clip)))
    enlarge = {"dsize": None, "fx": scale, "fy": scale, "interpolation": cv2.INTER_CUBIC}
    large = [as_bytes(cv2.resize(clip[n], **enlarge)) for n in numbers]
    given = np.stack(
        [with_grain(p, measured, n) - p.astype(np.float32) for n, p in enumerate(large)]
    )
    given *= LEVEL
    luma = np.stack([luma_of(frame) for frame in clip])
    large_luma = np.stack([luma_of(p * np.float32(LEVEL)) for p in large])
    curve = variances(given, large_luma) / variances(own, luma) - 1
    wanted = ring_powers(own, 1)
    rings = ring_powers(given, scale) / wanted - 1
    rings[wanted < LEAST_SHARE * wanted.sum()] = np.nan
    return curve, rings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--width", type=int, default=480)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--still", action="store_true", help="move the first frame of each clip")
    options = parser.parse_args()
    for path in options.clips:
        clip = (moved_still if options.still else first_frames)(path, STATISTICS + 1, options.width)
        for kind in KINDS:
            found = departures(clip, kind, options.scale)
            cells = ["not found"] if found is None else [_in_words(row) for row in found]
            print("|", " | ".join([path.stem, str(kind), *cells]), "|", flush=True)


def _in_words(row: np.ndarray) -> str:
    shown = " ".join("." if np.isnan(x) else f"{x:+.0%}" for x in row)
    return f"{shown}; largest {np.nanmax(np.abs(row)):.0%}"


if __name__ == "__main__":
    main()
