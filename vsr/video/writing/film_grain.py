"""The grain that an AV1 player adds: its parameters, and tables of them as encoders read."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

Points = tuple[tuple[int, int], ...]
"""Code values of 8 bits, rising, each with the strength of the grain there, 0 to 255."""

LAG = 3
"""Pixels around one of which its grain is made (`ar_coeff_lag`)."""
_PAST = 2 * LAG * (LAG + 1)
_MOST_LUMA, _MOST_CHROMA = 14, 10
_TICKS = 10_000_000
"""Ticks a second of a table's times."""
_END = 2**63 - 1
BY_LUMA = (128, 192, 256)
"""Multipliers and offset with which the strength of a chroma plane follows luma."""


@dataclass(frozen=True, slots=True)
class FilmGrain:
    """Parameters of film grain synthesis (AV1 specification, section 6.8.20).

    The grain of a plane is white noise, scaled by `2**-grain_scale_shift`, through a recursive
    filter of `coefficients / 2**ar_shift` over the pixels before; its strength at a code value is
    the point there over `2**scaling_shift`. A chroma filter has one more coefficient, for the grain
    of luma at its place. Planes without points have no grain: both chroma planes, or none.
    """

    points: tuple[Points, Points, Points]
    coefficients: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    ar_shift: int
    grain_scale_shift: int
    scaling_shift: int

    def __post_init__(self) -> None:
        for points, most in zip(self.points, (_MOST_LUMA, _MOST_CHROMA, _MOST_CHROMA), strict=True):
            codes = [code for code, _ in points]
            assert len(points) <= most, f"{points = }"
            assert codes == sorted(set(codes)), f"{codes = }"
            assert all(0 <= value <= 255 for point in points for value in point), f"{points = }"
        assert bool(self.points[1]) == bool(self.points[2]), "chroma planes have grain together"
        lengths = tuple(map(len, self.coefficients))
        assert lengths == (_PAST, _PAST + 1, _PAST + 1), f"{lengths = }"
        assert all(-128 <= c <= 127 for row in self.coefficients for c in row)
        assert 6 <= self.ar_shift <= 9, f"{self.ar_shift = }"
        assert 0 <= self.grain_scale_shift <= 3, f"{self.grain_scale_shift = }"
        assert 8 <= self.scaling_shift <= 11, f"{self.scaling_shift = }"


@dataclass(frozen=True, slots=True)
class GrainSpan:
    """The grain from a time on, in seconds after the beginning of the film; None: no grain."""

    start: Fraction
    grain: FilmGrain | None
    seed: int = 0
    """Seed of the noise, 16 bits."""


def grain_table(spans: Sequence[GrainSpan]) -> str:
    """Return the spans, in the order of time, as a table of film grain.

    The format is that of libaom's `film-grain-table`, which SVT-AV1's `fgs-table` reads too. A span
    ends where the next begins.
    """
    ends = [*(_ticks(span.start) for span in spans[1:]), _END]
    rows = [_entry(span, end) for span, end in zip(spans, ends, strict=True) if span.grain]
    return "".join(["filmgrn1\n", *rows])


def _entry(span: GrainSpan, end: int) -> str:
    grain = span.grain
    assert grain is not None
    overlap = 1
    values = [LAG, grain.ar_shift, grain.grain_scale_shift, grain.scaling_shift, 0, overlap]
    rows = [
        f"E {_ticks(span.start)} {end} 1 {span.seed} 1",
        f"\tp {_joined([*values, *BY_LUMA, *BY_LUMA])}",
    ]
    for name, points in zip(("sY", "sCb", "sCr"), grain.points, strict=True):
        rows.append(f"\t{name} {_joined([len(points), *(v for point in points for v in point)])}")
    for name, coefficients in zip(("cY", "cCb", "cCr"), grain.coefficients, strict=True):
        rows.append(f"\t{name} {_joined(coefficients)}")
    return "\n".join(rows) + "\n"


def _ticks(seconds: Fraction) -> int:
    return round(seconds * _TICKS)


def _joined(values: Sequence[int]) -> str:
    return " ".join(map(str, values))
