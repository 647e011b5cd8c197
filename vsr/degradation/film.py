"""The wear of an old film, one small function for each kind: float32 frames `t h w 3` in [0, 1].

A function takes its parameters as they are (`vsr.degradation.film_config` has their ranges and
sources) and a generator, the only source of chance: the same state gives the same frames.
"""

import cv2
import numpy as np
from jaxtyping import Float

from vsr.degradation.draw import Draw
from vsr.degradation.film_config import FilmConfig

Frames = Float[np.ndarray, "t h w 3"]
PerFrame = Float[np.ndarray, "t"]

_SUBPIXEL_BITS = 4
_WARM = np.array([1.05, 1.0, 0.85], np.float32)
_RED_GLOW = np.array([1.0, 0.35, 0.1], np.float32)
# How much of the loss each dye takes: of prints that turn pink, cyan and yellow go first; silver
# and well-balanced dyes go alike. In the order of what they absorb: red, green, blue.
_DYE_LOSSES = np.array([[1.0, 0.3, 0.7], [1.0, 0.6, 0.3], [1.0, 1.0, 1.0]])
_STAIN = np.array([0.2, 0.5, 1.0])


def wear(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    """Return the frames as an old print shows them.

    The order is that of the film's life: light in the camera (halation, grain), years (fading,
    dust), the projector (weave moves all of these; scratches and hairs are of the gate and stay),
    its lamp (flicker).
    """
    for step in (_halation, _grain, _fading, _dust, _weave, _scratches, _hairs, _flicker):
        frames = step(frames, config, draw)
    return np.clip(frames, 0, 1)


def add_halation(frames: Frames, *, strength: float, radius: float, threshold: float) -> Frames:
    """Add a red glow around pixels brighter than `threshold`, by a Gaussian of sigma `radius`."""
    bright = np.clip(frames.max(-1) - threshold, 0, None) / (1 - threshold)
    glow = np.stack([cv2.GaussianBlur(frame, (0, 0), radius) for frame in bright])
    return frames + (strength * glow[..., None] * _RED_GLOW) * (1 - np.clip(frames, 0, 1))


def add_grain(
    frames: Frames, *, sigma: float, size: float, colour: bool, rng: np.random.Generator
) -> Frames:
    """Add grain of standard deviation `sigma` at mid-grey, scaled by 2 sqrt(u (1 - u))."""
    channels = 3 if colour else 1
    noise = rng.standard_normal((*frames.shape[:3], channels), dtype=np.float32)
    soft = np.stack([cv2.GaussianBlur(n, (0, 0), size) for n in noise]).reshape(noise.shape)
    light = np.clip(frames, 0, 1)
    return frames + soft * (sigma / _blurred_sigma(size)) * 2 * np.sqrt(light * (1 - light))


def fade(
    frames: Frames, *, losses: Float[np.ndarray, "3"], stain: Float[np.ndarray, "3"]
) -> Frames:
    """Reduce the density of each dye by a share and add that of the stain: 10^-(D (1 - l) + s)."""
    density = -np.log10(np.clip(frames, 1 / 255, 1))
    return (10 ** -(density * (1 - losses) + stain)).astype(np.float32)


def turn_grey(frames: Frames) -> Frames:
    """Return black and white frames with a warm tint."""
    luma = frames @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.clip(luma[..., None] * _WARM, 0, 1)


def add_dust(
    frames: Frames,
    *,
    per_frame: float,
    radius: float,
    opacity: float,
    dark_share: float,
    fibre_share: float,
    rng: np.random.Generator,
) -> Frames:
    """Add specks and fibres to each frame; each is visible in one frame only."""
    out = frames.copy()
    for frame in out:
        for value, share in ((0.03, dark_share), (0.97, 1 - dark_share)):
            cover = np.zeros(frame.shape[:2], np.uint8)
            for _ in range(rng.poisson(per_frame * share)):
                _draw_speck(cover, radius, fibre=rng.random() < fibre_share, rng=rng)
            if cover.any():
                _cover(frame, cover, value=value, opacity=opacity, softness=0.6)
    return out


def weave(frames: Frames, *, x: PerFrame, y: PerFrame, degrees: PerFrame) -> Frames:
    """Move each frame by (x, y) pixels and rotate it about its centre; borders are mirrored."""
    h, w = frames.shape[1:3]
    moved = []
    for frame, dx, dy, angle in zip(frames, x, y, degrees, strict=True):
        matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), float(angle), 1.0)
        matrix[:, 2] += dx, dy
        moved.append(
            cv2.warpAffine(
                frame, matrix, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            )
        )
    return np.stack(moved)


def add_scratch(
    frames: Frames,
    *,
    x: PerFrame,
    contrast: Float[np.ndarray, "3"],
    width: float,
    rng: np.random.Generator,
) -> Frames:
    """Add a line whose centre is at `x` in each frame (nan: not visible), with gaps.

    Its profile is that of Kokaram 1998: k^|d| cos(3 pi |d| / 2 w), with a tenth left at d = w.
    """
    out = frames.copy()
    h, w = frames.shape[1:3]
    rows = np.arange(h)
    slope = rng.normal(0, 0.004)
    for frame, middle in zip(out, x, strict=True):
        strength = np.clip(0.7 + 0.5 * _smooth_noise(h, 0.05 * h, rng), 0, 1)
        if np.isnan(middle):
            continue
        centre = middle + slope * (rows - h / 2)
        low = max(0, int(centre.min() - 3 * width))
        high = min(w, int(centre.max() + 3 * width) + 2)
        if low >= high:
            continue
        distance = np.abs(np.arange(low, high) - centre[:, None])
        line = 0.1 ** (distance / width) * np.cos(1.5 * np.pi * distance / width)
        frame[:, low:high] += (line * strength[:, None])[..., None].astype(np.float32) * contrast
    return out


def add_hair(
    frames: Frames,
    *,
    first: int,
    last: int,
    length: float,
    thickness: float,
    opacity: float,
    rng: np.random.Generator,
) -> Frames:
    """Add one hair to the frames `first` to `last`, in one place, swaying a little."""
    out = frames.copy()
    h, w = frames.shape[1:3]
    anchor = rng.uniform((0, 0), (w, h))
    turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, 24) + rng.normal(0, 0.1))
    sway = 0.04 * _smooth_noise(len(frames), 3.0, rng)
    for number in range(max(0, first), min(last + 1, len(frames))):
        headings = turns + sway[number] * np.linspace(0, 1, len(turns))
        steps = np.stack([np.cos(headings), np.sin(headings)], 1) * length / len(turns)
        cover = np.zeros((h, w), np.uint8)
        _draw_line(cover, anchor + np.cumsum(steps, 0), thickness)
        _cover(out[number], cover, value=0.02, opacity=opacity, softness=0.8)
    return out


def flicker(
    frames: Frames, *, strength: float, local: float, memory: float, rng: np.random.Generator
) -> Frames:
    """Multiply each frame by exp(g), where g is a number per frame plus a slow field over it."""
    t, h, w = frames.shape[:3]
    gains = strength * _remembering((t,), memory, rng)
    fields = local * _remembering((t, 4, 4), memory, rng)
    slow = [cv2.resize(f, (w, h), interpolation=cv2.INTER_CUBIC) for f in fields]
    return frames * np.exp(np.stack(slow) + gains[:, None, None])[..., None].astype(np.float32)


def smooth_path(t: int, *, deviation: float, period: float, rng: np.random.Generator) -> PerFrame:
    """Return a random path around 0 that changes smoothly over `period` frames."""
    return deviation * _smooth_noise(t, period / 2, rng)


def wandering(t: int, *, start: float, speed: float, rng: np.random.Generator) -> PerFrame:
    """Return a path from `start` with a slowly changing speed (standard deviation per frame)."""
    return start + np.cumsum(speed * _remembering((t,), 0.9, rng))


def _halation(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    c = config.halation
    if not draw.chance(c.probability):
        return frames
    strength, radius = draw.value(c.strength), draw.value(c.radius)
    return add_halation(frames, strength=strength, radius=radius, threshold=c.threshold)


def _grain(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    c = config.grain
    if not draw.chance(c.probability):
        return frames
    sigma, size = draw.value(c.sigma) / 255, draw.value(c.size)
    colour = draw.chance(c.colour_share)
    return add_grain(frames, sigma=sigma, size=size, colour=colour, rng=draw.rng)


def _fading(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    c = config.fading
    if not draw.chance(c.probability):
        return frames
    losses = draw.value(c.loss) * _DYE_LOSSES[draw.rng.integers(len(_DYE_LOSSES))]
    stain = draw.value(c.stain) * _STAIN
    if draw.chance(c.monochrome_share):
        return turn_grey(fade(frames, losses=losses.mean() * np.ones(3), stain=stain))
    return fade(frames, losses=losses, stain=stain)


def _dust(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    c = config.dust
    if not draw.chance(c.probability):
        return frames
    return add_dust(
        frames,
        per_frame=draw.value(c.per_megapixel) * frames[0, ..., 0].size / 1e6,
        radius=draw.value(c.radius),
        opacity=draw.value(c.opacity),
        dark_share=c.dark_share,
        fibre_share=c.fibre_share,
        rng=draw.rng,
    )


def _weave(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    c = config.weave
    if not draw.chance(c.probability):
        return frames
    shift, rotation, period = draw.value(c.shift), draw.value(c.rotation), draw.value(c.period)
    paths = [
        smooth_path(len(frames), deviation=deviation, period=period, rng=draw.rng)
        for deviation in (shift, shift, rotation)
    ]
    return weave(frames, x=paths[0], y=paths[1], degrees=paths[2])


def _scratches(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    c, rng = config.scratches, draw.rng
    if not draw.chance(c.probability):
        return frames
    t, width = len(frames), frames.shape[2]
    expected = draw.value(c.per_1000_pixels) * width / 1000
    for first, last in _lives(t, expected, draw.value(c.life), rng):
        x = wandering(t, start=rng.uniform(0, width), speed=draw.value(c.wander), rng=rng)
        x[: max(0, first)] = x[last + 1 :] = np.nan
        tint = rng.uniform(0, 1, 3) if rng.random() < c.tinted_share else np.ones(3)
        sign = -1 if rng.random() < c.dark_share else 1
        contrast = (sign * draw.value(c.contrast) * tint).astype(np.float32)
        frames = add_scratch(frames, x=x, contrast=contrast, width=draw.value(c.width), rng=rng)
    return frames


def _hairs(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    c = config.hairs
    if not draw.chance(c.probability):
        return frames
    expected = draw.value(c.per_megapixel) * frames[0, ..., 0].size / 1e6
    for first, last in _lives(len(frames), expected, draw.value(c.life), draw.rng):
        frames = add_hair(
            frames,
            first=first,
            last=last,
            length=draw.value(c.length),
            thickness=draw.value(c.thickness),
            opacity=draw.value(c.opacity),
            rng=draw.rng,
        )
    return frames


def _flicker(frames: Frames, config: FilmConfig, draw: Draw) -> Frames:
    c = config.flicker
    if not draw.chance(c.probability):
        return frames
    strength, local = draw.value(c.strength), draw.value(c.local)
    return flicker(frames, strength=strength, local=local, memory=c.memory, rng=draw.rng)


def _lives(t: int, expected: float, life: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return the first and last frame of events, with `expected` of them visible at any time.

    Arrivals are a Poisson process and lives exponential, so what is there at the beginning lives
    as long from then on as what comes later.
    """
    there = np.zeros(rng.poisson(expected))
    coming = rng.uniform(0, t, rng.poisson(expected * t / life))
    births = np.concatenate([there, np.ceil(coming)]).astype(int)
    deaths = births + rng.exponential(life, len(births)).astype(int)
    return [(int(b), int(d)) for b, d in zip(births, deaths, strict=True) if b < t]


def _draw_speck(cover: np.ndarray, radius: float, *, fibre: bool, rng: np.random.Generator) -> None:
    h, w = cover.shape
    size = min(radius * float(np.exp(rng.normal(0, 0.5))), min(h, w) / 4)
    centre = rng.uniform((0, 0), (w, h))
    if fibre:
        headings = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.35, 12))
        steps = np.stack([np.cos(headings), np.sin(headings)], 1) * size
        _draw_line(cover, centre + np.cumsum(steps, 0), max(0.8, size / 3))
        return
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    wave = sum(rng.normal(0, 0.3 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (1, 2, 3))
    reach = size * np.clip(1 + wave, 0.3, 2)
    outline = np.stack([np.cos(angle), np.sin(angle) * rng.uniform(0.5, 1)], 1) * reach[:, None]
    cv2.fillPoly(cover, [_fixed(centre + outline)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_line(cover: np.ndarray, points: np.ndarray, thickness: float) -> None:
    """Draw a line of fractional thickness: below one pixel it is one pixel wide and fainter."""
    grey = round(255 * min(1.0, thickness))
    pixels = max(1, round(thickness))
    cv2.polylines(cover, [_fixed(points)], False, grey, pixels, cv2.LINE_AA, _SUBPIXEL_BITS)


def _cover(
    frame: np.ndarray, cover: np.ndarray, *, value: float, opacity: float, softness: float
) -> None:
    """Blend `value` into the frame, in place, by the cover (0 to 255)."""
    soft = cv2.GaussianBlur(cover.astype(np.float32) * (opacity / 255), (0, 0), softness)
    frame += (value - frame) * soft[..., None]


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _smooth_noise(count: int, sigma: float, rng: np.random.Generator) -> PerFrame:
    """Return noise of standard deviation 1, smoothed by a Gaussian of `sigma` samples."""
    reach = int(np.ceil(3 * sigma)) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    noise = rng.standard_normal(count + 2 * reach)
    return np.convolve(noise, kernel / np.sqrt((kernel**2).sum()), "valid")


def _remembering(
    shape: tuple[int, ...], memory: float, rng: np.random.Generator
) -> Float[np.ndarray, "..."]:
    """Return noise of standard deviation 1; each frame keeps the share `memory` of the last."""
    noise = rng.standard_normal(shape)
    for number in range(1, len(noise)):
        noise[number] = memory * noise[number - 1] + np.sqrt(1 - memory**2) * noise[number]
    return noise


def _blurred_sigma(size: float) -> float:
    """Return the deviation of white noise after OpenCV's Gaussian of sigma `size`."""
    taps = cv2.getGaussianKernel(round(size * 8 + 1) | 1, size)  # as GaussianBlur has it for floats
    return float((taps**2).sum())
