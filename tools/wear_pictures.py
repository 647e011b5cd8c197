"""Draw the pictures of docs/old_films.md: a sound clip, the same worn, and the worn one repaired.

    PYTHONPATH=. python tools/wear_pictures.py CLIP SHEET.jpg [--seed 4] [--frames 50]

Columns: sound, worn by the `old_film` degradation, repaired with `film,scratches`. Rows: the frame
that the wear changed most; at 200 %, the place where the repaired clip is farthest from the sound
one; and one row of pixels over all frames, time downwards.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from repair_figures import first_frames, restored

from vsr.degradation.draw import Draw
from vsr.degradation.film import wear
from vsr.degradation.film_config import (
    DustConfig,
    FadingConfig,
    FilmConfig,
    FlickerConfig,
    GrainConfig,
    HairConfig,
    ScratchConfig,
    WeaveConfig,
)
from vsr.restoration.images import as_bytes

CROP = (90, 160)
"""Height and width of the place that is shown at 200 %."""
PROFILE_HEIGHT = 3
"""Rows of a frame in the profile."""
QUALITY = 88


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--severity", type=float, default=0.5, help="0 (mild) to 1 (strong)")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--width", type=int, default=640)
    options = parser.parse_args()
    sound = first_frames(options.clip, options.frames, options.width)
    worn = worn_clip(sound, seed=options.seed, severity=options.severity)
    repaired, _ = restored(worn, scratches=1, flicker=1, weave=1, dust=1)
    clips = [sound, worn, repaired]
    rows = [*worst_frames(clips), profiles(clips)]
    sheet = np.concatenate([np.concatenate(row, 1) for row in rows])
    cv2.imwrite(str(options.sheet), as_bytes(sheet)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    for name, clip in (("worn", worn), ("repaired", repaired)):
        error = -10 * np.log10(((clip - sound) ** 2).mean())
        print(f"| {options.clip.stem} | {name} | {error:.2f} dB |")


def worn_clip(sound: np.ndarray, *, seed: int, severity: float) -> np.ndarray:
    """The clip as an old print with all its wear but fading, and hairs in the gate."""
    config = FilmConfig(
        grain=GrainConfig(probability=1.0),
        fading=FadingConfig(probability=0.0),
        dust=DustConfig(probability=1.0),
        weave=WeaveConfig(probability=1.0),
        scratches=ScratchConfig(probability=1.0),
        hairs=HairConfig(probability=0.0),
        flicker=FlickerConfig(probability=1.0),
    )
    draw = Draw(np.random.default_rng(seed), severity, 0.02, (sound.shape[1], sound.shape[2]))
    return wear(sound, config, draw)


def worst_frames(clips: list[np.ndarray]) -> list[list[np.ndarray]]:
    """The frame that wear changed most at half its size, and the place that repairs left worst."""
    sound, worn, repaired = clips
    number = int(np.abs(worn - sound).mean((1, 2, 3)).argmax())
    halves = [
        cv2.resize(clip[number], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        for clip in clips
    ]
    kernel = (CROP[1] // 4, CROP[0] // 4)
    errors = np.stack(
        [cv2.blur(np.abs(a - b).max(-1), kernel) for a, b in zip(repaired, sound, strict=True)]
    )
    frame, y, x = np.unravel_index(int(errors.argmax()), errors.shape)
    top, left = (
        int(np.clip(at - side // 2, 0, whole - side))
        for at, side, whole in zip((y, x), CROP, errors.shape[1:], strict=True)
    )
    box = slice(top, top + CROP[0]), slice(left, left + CROP[1])
    size = (halves[0].shape[1], halves[0].shape[1] * CROP[0] // CROP[1])
    crops = [cv2.resize(clip[frame][box], size, interpolation=cv2.INTER_NEAREST) for clip in clips]
    return [halves, crops]


def profiles(clips: list[np.ndarray]) -> list[np.ndarray]:
    """The middle row of every frame, one below the other."""
    middle = clips[0].shape[1] // 2
    size = (clips[0].shape[2] // 2, PROFILE_HEIGHT * len(clips[0]))
    return [cv2.resize(clip[:, middle], size, interpolation=cv2.INTER_AREA) for clip in clips]


if __name__ == "__main__":
    main()
