"""Measure the repairs of old films: wear sound clips by fixed seeds, repair them, and compare.

PYTHONPATH=. python tools/repair_figures.py CLIP [CLIP ...] [--only dust,flicker] [--frames 20]
"""

import argparse
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from vsr.degradation.film import (
    add_dust,
    add_grain,
    add_scratch,
    fade,
    flicker,
    smooth_path,
    wandering,
    weave,
)
from vsr.restoration.grain_measure import measure_grain
from vsr.restoration.grain_synthesis import with_grain
from vsr.restoration.images import as_bytes, luma_of
from vsr.restoration.motion import motion_between, tracking_image
from vsr.restoration.plan import STATISTICS, RepairPlan
from vsr.restoration.stage import Restorer
from vsr.video.reading.reader import Frame, VideoReader

LEVEL = 1 / 255
VISIBLE = 10 * LEVEL
"""A pixel that the wear has changed by more is a defect."""
TOUCHED = 2 * LEVEL

Row = tuple[str, str]


def first_frames(path: Path, frames: int, width: int) -> np.ndarray:
    """The first frames of a clip at that width, in [0, 1]."""
    with VideoReader(path) as reader:
        pictures = [frame.pixels for frame in islice(reader, frames)]
    height = round(width * pictures[0].shape[0] / pictures[0].shape[1] / 2) * 2
    small = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in pictures]
    return np.stack(small).astype(np.float32) / 255


def sound_clip(path: Path, frames: int, width: int) -> np.ndarray:
    """The first frames, and back again, so that there is a second of them."""
    clip = first_frames(path, frames, width)
    return np.concatenate([clip, clip[-2::-1]])


def restored(clip: np.ndarray, **strengths: float) -> tuple[np.ndarray, float]:
    """The clip through the stage, and frames a second."""
    marked = ((Frame(p, i, Fraction(1, 25)), i == 0) for i, p in enumerate(as_bytes(clip)))
    began = time.perf_counter()
    out = [frame.pixels for frame, _ in Restorer(RepairPlan(**strengths)).frames(marked)]
    return np.stack(out).astype(np.float32) / 255, len(clip) / (time.perf_counter() - began)


def with_dust(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sixty specks and fibres a megapixel, half of them dark."""
    count = 60 * clip[0, ..., 0].size / 1e6
    worn = add_dust(
        clip, per_frame=count, radius=2.5, opacity=0.8, dark_share=0.5, fibre_share=0.15, rng=rng
    )
    return np.clip(worn, 0, 1)


def with_scratches(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Four wandering scratches."""
    for number in range(4):
        x = wandering(len(clip), start=rng.uniform(0.1, 0.9) * clip.shape[2], speed=0.3, rng=rng)
        contrast = np.float32((-1) ** number * rng.uniform(0.1, 0.35)) * np.ones(3, np.float32)
        clip = add_scratch(clip, x=x, contrast=contrast, width=rng.uniform(1, 2.5), rng=rng)
    return np.clip(clip, 0, 1)


def with_flicker(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure that varies by 7 %, and by 3 % over the frame."""
    return np.clip(flicker(clip, strength=0.07, local=0.03, memory=0.3, rng=rng), 0, 1)


def dust_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Recall, touched sound pixels and error; and what is touched where there is no dust."""
    worn = with_dust(clip, rng)
    yield from defect_rows("dust", clip, worn, restored(worn, dust=1)[0])
    clean, _ = restored(clip, dust=1)
    yield "dust: pixels changed of the sound clip", changed_share(clip, clean)


def scratch_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """The same for scratches, and for both at once."""
    worn = with_scratches(clip, rng)
    yield from defect_rows("scratches", clip, worn, restored(worn, scratches=1)[0])
    clean, _ = restored(clip, scratches=1)
    yield "scratches: pixels changed of the sound clip", changed_share(clip, clean)
    worn = with_scratches(with_dust(clip, rng), rng)
    yield from defect_rows("both", clip, worn, restored(worn, scratches=1, dust=1)[0])


def defect_rows(
    name: str, clip: np.ndarray, worn: np.ndarray, repaired: np.ndarray
) -> Iterator[Row]:
    defects = np.abs(worn - clip).max(-1) > VISIBLE
    touched = np.abs(repaired - worn).max(-1) > TOUCHED
    near = np.stack([cv2.dilate(d.astype(np.uint8), np.ones((5, 5))) for d in defects]) > 0
    before, after = (np.abs(x - clip)[defects].mean() for x in (worn, repaired))
    yield f"{name}: recall", f"{touched[defects].mean():.1%}"
    yield f"{name}: sound pixels touched", f"{touched[~near].mean():.3%}"
    yield f"{name}: error inside the defects", f"{after / before - 1:+.0%}"


def changed_share(clip: np.ndarray, repaired: np.ndarray) -> str:
    """The share of pixels that a repair has changed by more than two levels."""
    return f"{(np.abs(repaired - clip).max(-1) > TOUCHED).mean():.4%}"


def flicker_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Differences of means to the sound clip, and the change of a sound clip, fade and flash."""
    worn = with_flicker(clip, rng)
    repaired, _ = restored(worn, flicker=1)
    for name, means in (("frame", frame_means), ("8x8 block", block_means)):
        before, after = (means(x) - means(clip) for x in (worn, repaired))
        yield f"flicker: {name} means", f"{np.abs(after).mean() / np.abs(before).mean() - 1:+.0%}"
        varying = np.abs(after - after.mean(0)).mean() / np.abs(before - before.mean(0)).mean()
        yield f"flicker: {name} means, without their mean over time", f"{varying - 1:+.0%}"
    fade = np.linspace(1, 0.05, len(clip), dtype=np.float32)[:, None, None, None]
    flash = np.ones_like(fade)
    at = len(clip) // 3
    flash[[at, at + 1, 2 * at]] = np.float32([1.6, 1.3, 1.9])[:, None, None, None]
    for name, gain in (("sound clip", fade * 0 + 1), ("fade", fade), ("lightning", flash)):
        lit = np.rint(np.clip(clip * gain, 0, 1) * 255) / 255
        change = np.abs(restored(lit, flicker=1)[0] - lit).mean((1, 2, 3)).max() / LEVEL
        yield f"flicker: largest change of a {name}, in levels", f"{change:.2f}"


def grain_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Grain of the output against that of the source, scaled by two; and what is taken out."""
    for name, size, colour in (("fine", 0.8, False), ("coarse, coloured", 1.2, True)):
        worn = add_grain(clip, sigma=10 * LEVEL, size=size, colour=colour, rng=rng)
        measured = measure_grain([as_bytes(frame) for frame in worn[: STATISTICS + 1]])
        if measured is None:
            yield f"grain, {name}", "not found"
            continue
        large = as_bytes(cv2.resize(clip[3], None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
        given = with_grain(large, measured, 3).astype(np.float32) / 255 - large / np.float32(255)
        own, luma, large_luma = worn[3] - clip[3], clip[3].mean(-1), large.mean(-1) / 255
        for low in np.arange(0, 1, 0.2):
            here, there = ((x >= low) & (x < low + 0.2) for x in (luma, large_luma))
            if here.mean() > 0.03:
                share = given[there].var() / own[here].var() - 1
                yield f"grain, {name}: variance at {low:.1f} to {low + 0.2:.1f}", f"{share:+.0%}"
        pairs = zip(ring_powers(given, 2), ring_powers(own, 1), strict=True)
        rings = ", ".join(f"{a / b - 1:+.0%}" for a, b in pairs)
        yield f"grain, {name}: power in rings of 0.05", rings
        clean, _ = restored(worn, grain=1)
        before, after = (((x - clip) ** 2).mean() for x in (as_bytes(worn) / 255, clean))
        yield f"grain, {name}: squared error, taken out", f"{after / before - 1:+.0%}"


def ring_powers(
    grain: np.ndarray, scale: int, *, width: float = 0.05, end: float = 0.3
) -> np.ndarray:
    """Powers in rings of so many cycles a pixel of the source, as shares of the whole."""
    power = power_of(grain.mean(-1))
    return ring_sums(power, scale, width=width, end=end) / power.sum()


def power_of(plane: np.ndarray) -> np.ndarray:
    """Power of a plane by frequency, without its mean."""
    return np.abs(np.fft.fft2(plane - plane.mean())) ** 2


def ring_sums(power: np.ndarray, scale: int, *, width: float, end: float) -> np.ndarray:
    """Sums of power in rings of so many cycles a pixel of the source."""
    rows, columns = (np.fft.fftfreq(side) * scale for side in power.shape)
    ring = np.hypot(rows[:, None], columns[None])
    edges = np.arange(0, end, width)
    return np.array([power[(ring >= a) & (ring < a + width)].sum() for a in edges])


def fading_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Mean error of a faded clip, before and after; and the change of the sound clip."""
    losses, stain = rng.uniform(0.1, 0.5, 3), rng.uniform(0, 0.1, 3)
    worn = fade(clip, losses=losses, stain=stain)
    repaired, _ = restored(worn, fading=1)
    before, after = (np.abs(x - clip).mean() for x in (worn, repaired))
    yield "fading: mean error", f"{after / before - 1:+.0%}"
    change = np.abs(restored(clip, fading=1)[0] - clip).mean() / LEVEL
    yield "fading: change of the sound clip, in levels", f"{change:.2f}"


def holes_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Recall, touched sound pixels and error of lost regions; and what is touched without any."""
    worn = with_holes(clip, rng)
    yield from defect_rows("holes", clip, worn, restored(worn, holes=1)[0])
    clean, speed = restored(clip, holes=1)
    yield "holes: pixels changed of the sound clip", changed_share(clip, clean)
    yield "holes: frames a second", f"{speed:.1f}"


def with_holes(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A burn, a torn corner and a splice in turn, each for 2 to 6 frames and 6 sound ones."""
    worn, first, kinds = clip.copy(), 3, 0
    while first + 10 < len(clip):
        draw, tone = ((burn, (1, 0.96, 0.82)), (tear, (0, 0, 0)), (splice, (1, 1, 1)))[kinds % 3]
        place = rng.uniform(0.2, 0.8, 2)
        last = first + int(rng.integers(2, 7))
        for frame in worn[first:last]:
            cover = np.zeros(frame.shape[:2], np.float32)
            draw(cover, place, rng)
            soft = cv2.GaussianBlur(cover, (0, 0), 0.8)[..., None]
            frame += (np.float32(tone) - frame) * soft
        first, kinds = last + 6, kinds + 1
    return worn


def burn(cover: np.ndarray, place: np.ndarray, rng: np.random.Generator) -> None:
    """A blot of another outline in each frame, a tenth of the frame's width or so."""
    h, w = cover.shape
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rough = cv2.GaussianBlur(rng.standard_normal((1, 40)).astype(np.float32), (0, 0), 2)[0]
    radius = rng.uniform(0.05, 0.1) * w * (1 + 0.5 * rough)
    points = place * (w, h) + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    cv2.fillPoly(cover, [np.rint(points).astype(np.int32)], 1.0)


def tear(cover: np.ndarray, place: np.ndarray, rng: np.random.Generator) -> None:
    """The upper left corner."""
    side = rng.uniform(0.15, 0.25) * cover.shape[1]
    cv2.fillPoly(cover, [np.array([[0, 0], [int(side), 0], [0, int(0.8 * side)]])], 1.0)


def splice(cover: np.ndarray, place: np.ndarray, rng: np.random.Generator) -> None:
    """A band at the bottom."""
    cover[-int(rng.uniform(0.06, 0.12) * len(cover)) :] = 1


def sound_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Pixels of the sound clip, not run back, that each repair changes by more than two levels."""
    clip = clip[: len(clip) // 2 + 1]
    for plan in (("weave",), ("flicker",), ("weave", "flicker", "dust")):
        repaired, _ = restored(clip, **dict.fromkeys(plan, 1.0))
        yield f"sound: pixels changed by {','.join(plan)}", changed_share(clip, repaired)


def all_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Luma PSNR of a clip with all wear but fading, before and after all repairs."""
    worn = add_grain(clip, sigma=6 * LEVEL, size=0.8, colour=False, rng=rng)
    worn = with_flicker(with_scratches(with_dust(worn, rng), rng), rng)
    repaired, speed = restored(worn, scratches=1, flicker=1, weave=1, dust=1, grain=1)
    for name, found in (("worn", worn), ("repaired", repaired)):
        error = np.mean(
            [((luma_of(a) - luma_of(b)) ** 2).mean() for a, b in zip(found, clip, strict=True)]
        )
        yield f"all: psnr_y, {name}", f"{-10 * np.log10(error):.2f} dB"
    yield "all: frames a second", f"{speed:.2f}"


def frame_means(clip: np.ndarray) -> np.ndarray:
    return clip.mean((1, 2, 3))


def block_means(clip: np.ndarray) -> np.ndarray:
    t, h, w, _ = clip.shape
    return clip[:, : h // 8 * 8, : w // 8 * 8].reshape(t, h // 8, 8, w // 8, 8, 3).mean((2, 4))


def weave_rows(clip: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """Residual motion of a pan with a person who walks: a still picture under a moving one."""
    scene = walking_scene(clip, frames=50)
    moves = rng.uniform(-1.5, 1.5, (2, len(scene)))
    slow = [smooth_path(len(scene), deviation=0.75, period=4, rng=rng) for _ in "xy"]
    for name, (x, y) in (("of each frame", moves), ("smooth", slow)):
        worn = weave(scene, x=x, y=y, degrees=np.zeros(len(scene)))
        repaired, _ = restored(worn, weave=1)
        before, after = (motion_error(clip_, scene) for clip_ in (worn, repaired))
        yield f"weave {name}: residual motion", f"{after / before - 1:+.0%}"
    steady, _ = restored(scene, weave=1)
    yield "weave: motion of the sound scene, in pixels", f"{motion_error(steady, scene):.3f}"


def walking_scene(clip: np.ndarray, frames: int) -> np.ndarray:
    """A pan over the first frame, at three quarters of its size, and a piece that walks."""
    h, w = (3 * side // 4 for side in clip.shape[1:3])
    person = clip[0, h // 4 : h // 2, w // 4 : w // 4 + w // 8]
    out = []
    for number in range(frames):
        shift = np.float32([[1, 0, -number * 0.2 * w / frames], [0, 1, -h / 8]])
        frame = cv2.warpAffine(clip[0], shift, (w, h), flags=cv2.INTER_CUBIC)
        x = round((0.1 + 0.7 * number / frames) * w)
        frame[h // 3 : h // 3 + person.shape[0], x : x + person.shape[1]] = person
        out.append(frame)
    return np.clip(np.stack(out), 0, 1)


def motion_error(clip: np.ndarray, truth: np.ndarray) -> float:
    """Deviation of the motion of each frame against the true one, without the mean, in pixels."""
    found = []
    for pair in zip(truth, clip, strict=True):
        motion = motion_between(*(tracking_image(luma_of(f)) for f in pair), clip.shape[2])
        found.append((motion.x, motion.y))
    return float(np.std(found, axis=0).mean())


ROWS: dict[str, Callable[[np.ndarray, np.random.Generator], Iterator[Row]]] = {
    "dust": dust_rows,
    "scratches": scratch_rows,
    "flicker": flicker_rows,
    "weave": weave_rows,
    "grain": grain_rows,
    "fading": fading_rows,
    "holes": holes_rows,
    "sound": sound_rows,
    "all": all_rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--only", default=",".join(ROWS), help="figures, with commas")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--width", type=int, default=640)
    options = parser.parse_args()
    for path in options.clips:
        clip = sound_clip(path, options.frames, options.width)
        for name in options.only.split(","):
            for row in ROWS[name](clip, np.random.default_rng(5)):
                print(f"| {path.stem} | {row[0]} | {row[1]} |", flush=True)


if __name__ == "__main__":
    main()
