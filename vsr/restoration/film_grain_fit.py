"""The grain of a shot as parameters of the grain that an AV1 player adds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from einops import reduce
from jaxtyping import Float

from vsr.restoration.grain_synthesis import grain_field
from vsr.video.color import FULL, ColorTags, luma_weights
from vsr.video.grain import Grain
from vsr.video.pixels import chroma_of
from vsr.video.writing.film_grain import LAG, FilmGrain, Points

_SAMPLE, _SAMPLES = 192, 4
"""Side and number of the samples of grain to which the filters are fitted."""
_NOISE = 32.0
"""Deviation of a player's noise in levels of 8 bits, before `grain_scale_shift`."""
_LARGEST = 28.0
"""Deviation of filtered grain, in levels, from which too much of it is cut at 127."""
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Shares of the variance that are taken for noise, one after the other."""
_MOST_GAIN = 7.0
"""A filter that makes noise stronger by more is close to unstable."""
_UNSTABLE = 1e6
_FAINT = 0.15
"""Planes with a smaller deviation in levels have no grain."""
_POINTS = 10
"""Lumas, evenly spaced, of which the strength is told; chroma planes have no more."""
_TAPS = [(dy, dx) for dy in range(-LAG, 1) for dx in range(-LAG, LAG + 1) if (dy, dx) < (0, 0)]

Planes = Float[np.ndarray, "_ _ _"]
"""Samples of one plane, each of height and width."""


@dataclass(frozen=True, slots=True)
class PlaneCodes:
    """The planes of a film: the weights of red and blue in luma, the range, and the chroma."""

    red: float
    blue: float
    is_full: bool
    is_halved: bool
    """True if chroma planes have half the width and height."""

    @property
    def matrix(self) -> Float[np.ndarray, "3 3"]:
        """Rows of Y, Cb and Cr, from RGB in [0, 1] to levels of 8 bits, without offsets."""
        luma = np.array([self.red, 1 - self.red - self.blue, self.blue])
        blue = (np.array([0, 0, 1]) - luma) / (2 * (1 - self.blue))
        red = (np.array([1, 0, 0]) - luma) / (2 * (1 - self.red))
        scales = (255, 255) if self.is_full else (219, 224)
        return np.stack([scales[0] * luma, scales[1] * blue, scales[1] * red])

    def luma_code(self, luma: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Return the code values of 8 bits for lumas in [0, 1]."""
        return 255 * luma if self.is_full else 16 + 219 * luma


def plane_codes(color: ColorTags, pix_fmt: str) -> PlaneCodes:
    """Return the planes of a film with these tags."""
    red, blue = luma_weights(color)
    return PlaneCodes(red, blue, color.range == FULL, chroma_of(pix_fmt) == (2, 2))


def film_grain_of(grain: Grain, size: tuple[int, int], codes: PlaneCodes) -> FilmGrain | None:
    """Return the parameters with which a player adds `grain` to frames of `size`; None: too faint.

    The filters are fitted by least squares to a sample of the grain, enlarged as the frames are,
    in the planes of the film; strengths are those of the sample's deviations by brightness.
    """
    planes = _sample(grain, size, codes)
    filters, gains = _filters(planes)
    scale_shift = int(np.clip(np.ceil(np.log2(_NOISE * max(gains) / _LARGEST)), 0, 3))
    made = [_NOISE / 2**scale_shift * gain for gain in gains]
    wanted = [_deviations(grain, codes, planes, number) for number in range(3)]
    shares = [w / m for w, m in zip(wanted, made, strict=True)]
    largest = max(float(share.max()) for share in shares)
    if wanted[0].max() < _FAINT:
        return None
    shift = int(np.clip(np.floor(np.log2(255 / largest)), 8, 11))
    luma, blue, red = (_points(share * 2**shift, codes) for share in shares)
    if max(wanted[1].max(), wanted[2].max()) < _FAINT:
        blue = red = ()
    return FilmGrain((luma, blue, red), filters.coefficients, filters.shift, scale_shift, shift)


@dataclass(frozen=True, slots=True)
class _Filters:
    """Filters of the three planes, as the format has them."""

    coefficients: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    shift: int

    @property
    def values(self) -> list[Float[np.ndarray, "taps"]]:
        return [np.array(row) / 2**self.shift for row in self.coefficients]


def _sample(grain: Grain, size: tuple[int, int], codes: PlaneCodes) -> list[Planes]:
    """Return some grain at its mean strength in Y, Cb and Cr, enlarged as the frames are."""
    small = [max(2, round(_SAMPLE * a / b)) for a, b in zip(grain.size, size, strict=True)]
    part = replace(grain, size=(small[0], small[1]))
    means = np.sqrt((grain.deviations**2) @ grain.weights)
    fields = np.stack(
        [
            [means[k] * grain_field(part, k, (_SAMPLE, _SAMPLE), n) for k in range(len(means))]
            for n in range(_SAMPLES)
        ]
    )
    luma, *chroma = np.einsum("pc,ck,nkhw->pnhw", codes.matrix, grain.basis, fields)
    return [luma, *(_halved(plane) if codes.is_halved else plane for plane in chroma)]


def _halved(planes: Planes) -> Planes:
    return np.asarray(reduce(planes, "n (h 2) (w 2) -> n h w", "mean"))


def _filters(planes: list[Planes]) -> tuple[_Filters, list[float]]:
    """Return filters, and the deviation of what each makes of noise of deviation 1.

    A share of the variance is taken for noise, more and more, until they are tame.
    """
    tried = (_filters_at(planes, ridge) for ridge in _RIDGES)
    return next(found for found in tried if max(found[1]) <= _MOST_GAIN)


def _filters_at(planes: list[Planes], ridge: float) -> tuple[_Filters, list[float]]:
    luma = planes[0]
    is_halved = planes[1].shape != luma.shape
    below = _halved(luma) if is_halved else luma
    filters = _rounded(
        [_fitted(luma, (), ridge), *(_fitted(plane, (below,), ridge) for plane in planes[1:])]
    )
    return filters, _gains(filters.values, is_halved=is_halved)


def _fitted(plane: Planes, others: Sequence[Planes], ridge: float) -> Float[np.ndarray, "taps"]:
    """Return the filter that tells each pixel best from those before it, and from `others`."""
    inner = (slice(None), slice(LAG, None), slice(LAG, -LAG))
    h, w = plane.shape[1:]
    past = [plane[:, LAG + dy : h + dy, LAG + dx : w - LAG + dx] for dy, dx in _TAPS]
    known = np.stack([*past, *(other[inner] for other in others)]).reshape(
        len(_TAPS) + len(others), -1
    )
    square = known @ known.T
    square += ridge * np.diag(np.diag(square)) + 1e-9 * np.eye(len(square))
    return np.linalg.solve(square, known @ plane[inner].ravel())


def _rounded(found: Sequence[Float[np.ndarray, "_"]]) -> _Filters:
    """Return the filters with whole coefficients, as fine as the largest allows."""
    largest = max(float(np.abs(row).max()) for row in found)
    shift = next((s for s in (9, 8, 7) if largest * 2**s < 127), 6)
    luma, blue, red = (
        tuple(np.rint(row * 2**shift).clip(-128, 127).astype(int).tolist()) for row in found
    )
    return _Filters((luma, blue, red), shift)


def _gains(filters: Sequence[Float[np.ndarray, "_"]], *, is_halved: bool) -> list[float]:
    """Return the deviations that the filters make of noise of deviation 1, as in a player."""
    rng = np.random.default_rng(0)
    luma = _recursed(rng.standard_normal((_SAMPLES, 72, 80)), filters[0])
    below = _halved(luma) if is_halved else luma
    planes = [luma]
    for row in filters[1:]:
        noise = rng.standard_normal(below.shape) + row[-1] * below
        planes.append(_recursed(noise, row[:-1]))
    seen = [plane[:, 2 * LAG :, 2 * LAG : -LAG] for plane in planes]
    return [float(p.std()) if np.abs(p).max() < _UNSTABLE else np.inf for p in seen]


def _recursed(noise: Planes, taps: Float[np.ndarray, "taps"]) -> Planes:
    """Return the noise through the filter, row by row from the top left."""
    made = noise.copy()
    kernel = np.append(taps, np.zeros(2 * LAG + 1 - LAG)).reshape(LAG + 1, 2 * LAG + 1)
    for y in range(LAG, noise.shape[1]):
        for x in range(LAG, noise.shape[2] - LAG):
            around = made[:, y - LAG : y + 1, x - LAG : x + LAG + 1]
            told = np.einsum("nab,ab->n", around, kernel)
            made[:, y, x] = (made[:, y, x] + told).clip(-_UNSTABLE, _UNSTABLE)
    return made


def _deviations(
    grain: Grain, codes: PlaneCodes, planes: list[Planes], number: int
) -> Float[np.ndarray, "points"]:
    """Return the deviation in a plane, in levels, at each of the points."""
    shares = codes.matrix[number] @ grain.basis
    means = (grain.deviations**2) @ grain.weights
    whole = float(shares**2 @ means)
    kept = float(planes[number].var()) / whole if whole else 0.0
    lumas = np.linspace(0, 1, _POINTS)
    deviations = grain.deviations_at(lumas) * grain.strength
    return np.sqrt(kept * (shares**2) @ deviations**2)


def _points(strengths: Float[np.ndarray, "points"], codes: PlaneCodes) -> Points:
    places = np.rint(codes.luma_code(np.linspace(0, 1, _POINTS))).astype(int)
    values = np.rint(strengths).clip(0, 255).astype(int)
    return tuple(zip(places.tolist(), values.tolist(), strict=True))
