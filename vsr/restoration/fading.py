"""Fading: contrast that was washed out and dyes that shifted, undone by one curve a channel."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from vsr.restoration.images import Image, as_image, luma_of, reduced
from vsr.video.pixels import Pixels

_SIDE = 200
"""Longer side of the pictures whose tones are measured."""
_LOW, _HIGH = 0.5, 99.5
"""Percentiles that stand for black and white."""
_BLACK, _WHITE = 0.035, 0.95
_FOGGED, _DULL = (0.06, 0.12), (0.86, 0.76)
"""Tones of black and white between which a film is taken for sound and for faded."""
_DARKEST_WHITE = 0.35
"""A shot whose brightest tones are darker tells nothing."""
_LEAST_RANGE = 2.0
"""The same for one whose white is less than this many times its black."""
_STEEPEST, _LARGEST_GAIN = 2.5, 1.4
_GREY = 0.02
"""Mean difference of the colours from one tint, below which a film is black and white."""
_ALIKE = 0.06
"""Largest difference of two shots' curves up to which the second keeps the first's."""
_GREY_SHARE, _MOST_BALANCED = 0.5, 0.2
"""Share of the way to a grey middle, since scenes have colours, and the largest change for it."""
_FOLLOWED = 0.5
"""Share of the way to its own curve that a shot goes from that of the shot before."""

Triple = Float[np.ndarray, "3"]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A rising curve for each channel: `gain * value ** power`.

    One that `keeps_tint` is that of luma, and the channels go along.
    """

    gain: Triple
    power: Triple
    keeps_tint: bool = False

    def __call__(self, values: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
        """Return the values as they were before the film faded."""
        if self.keeps_tint:
            luma = np.maximum(values.mean(-1, keepdims=True), 1e-4)
            factor = self.gain[0] * luma ** (self.power[0] - 1)
            return np.clip(values * factor.astype(np.float32), 0, 1)
        powers = [
            np.asarray(cv2.pow(np.ascontiguousarray(values[..., c]), float(self.power[c])))
            for c in range(3)
        ]
        bases = np.stack([power.reshape(values.shape[:-1]) for power in powers], -1)
        return np.clip(bases * self.gain.astype(np.float32), 0, 1)


@dataclass(frozen=True, slots=True)
class Tones:
    """The black, the middle and the white of a shot by channel, and if it has colours."""

    black: Triple
    middle: Triple
    white: Triple
    is_coloured: bool

    @property
    def fading(self) -> float:
        """The certainty that the film is faded, 0 to 1: by fog, dull whites or a cast."""
        fog = _share(float(self.black.min()), *_FOGGED)
        dull = _share(float(self.white.max()), *_DULL) * _share(float(self.black.min()), 0.02, 0.06)
        cast = 0.0
        if self.is_coloured:
            cast = _share(float(np.ptp(self.white) / self.white.max()), 0.08, 0.2)
            cast *= _share(float(np.ptp(self.black)), 0.0, 0.03)
        return max(fog, dull, cast)


def measure_tones(pictures: Sequence[Pixels]) -> Tones | None:
    """Return the tones of a shot, medians over its pictures; None if they tell nothing."""
    levels, tints = zip(*(_tones(picture) for picture in pictures), strict=True)
    black, middle, white = np.median(levels, 0)
    luma_black, luma_white = float(black.mean()), float(white.mean())
    if luma_white < _DARKEST_WHITE or luma_white < _LEAST_RANGE * luma_black:
        return None
    return Tones(black, middle, white, float(np.median(tints)) > _GREY)


def _tones(picture: Pixels) -> tuple[Float[np.ndarray, "3 3"], float]:
    """Return three percentiles by channel, and how far the colours are from one tint."""
    image = as_image(reduced(picture, _SIDE))
    values = image.reshape(-1, 3)
    levels = np.percentile(values, (_LOW, 50, _HIGH), axis=0)
    tint = values.mean(0) / (values.mean() + 1e-6)
    apart = float(np.abs(values - luma_of(image).reshape(-1, 1) * tint).mean())
    return levels, apart


def curve_of(tones: Tones) -> Curve:
    """Return the curve that brings black and white back, as far as the tones are those of fading.

    A dye that has lost a share of its density and a stain on it make a power of the light that
    passes: `10 ** -(D (1 - l) + s)`. A black-and-white film keeps its tint.
    """
    black, white = tones.black, tones.white
    if not tones.is_coloured:
        black, white = np.full(3, black.mean()), np.full(3, white.mean())
    whitest = min(_WHITE, float(white.max()) * _LARGEST_GAIN)
    target = np.maximum(whitest, white) if tones.is_coloured else np.full(3, max(whitest, white[0]))
    target = np.minimum(target.max(), white * _LARGEST_GAIN)
    dark = np.minimum(_BLACK, black + 1e-3)
    power = np.clip(np.log(dark / target) / np.log((black + 1e-3) / white), 1.0, _STEEPEST)
    if tones.is_coloured:
        power = power * _balance(np.clip(tones.middle / white, 0.01, 0.99), power)
    share = tones.fading
    power = power**share
    gain = (target / white**power) ** share * (white ** (1 - power)) ** (1 - share)
    return Curve(gain, power, keeps_tint=not tones.is_coloured)


def _balance(middle: Triple, power: Triple) -> Triple:
    """Return factors of the powers that bring the middles of the channels half the way together."""
    tones = power * np.log(middle)
    factors = 1 + _GREY_SHARE * (tones.mean() / tones - 1)
    return np.clip(factors, 1 - _MOST_BALANCED, 1 + _MOST_BALANCED)


def followed(before: Curve | None, own: Curve | None) -> Curve | None:
    """Return the curve of a shot after one with the curve `before`: hysteresis.

    A film fades as a whole: shots that differ little have one curve, and one that differs much goes
    half the way.
    """
    if before is None or own is None:
        return before if own is None else own
    greys = np.linspace(0, 1, 33, dtype=np.float32)[:, None].repeat(3, 1)
    if np.abs(before(greys) - own(greys)).max() <= _ALIKE:
        return before
    gain = before.gain ** (1 - _FOLLOWED) * own.gain**_FOLLOWED
    power = before.power + _FOLLOWED * (own.power - before.power)
    return Curve(gain, power, keeps_tint=own.keeps_tint)


def without_fading(image: Image, curve: Curve, *, strength: float) -> Image:
    """Return the image as the curve gives it."""
    shown = np.clip(image, 0, 1)
    return np.asarray(image + np.float32(strength) * (curve(shown) - shown), np.float32)


def _share(value: float, none: float, whole: float) -> float:
    return float(np.clip((value - none) / (whole - none), 0, 1))
