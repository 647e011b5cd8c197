"""The metadata of HDR10: on what display a film was made, and how bright it gets."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame

from vsr.video.side_data import side_data_of

_COLORS = ("G", "B", "R")
"""The order of the primaries in SMPTE ST 2086; FFmpeg's is red, green, blue."""
_CHROMATICITY_UNITS, _LUMINANCE_UNITS = 50_000, 10_000
"""Steps of a chromaticity coordinate, and of a cd/m2 (ST 2086, CTA-861.3)."""
_DYNAMIC = {"DYNAMIC_HDR_PLUS": "HDR10+", "DOVI_RPU_BUFFER": "Dolby Vision"}


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """SMPTE ST 2086: chromaticities (x, y) and luminances in cd/m2."""

    red: tuple[Fraction, Fraction]
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    min_luminance: Fraction
    max_luminance: Fraction

    def whole_numbers(self) -> str:
        """As x264 and x265 are told it."""
        return self._written(
            [
                tuple(round(value * _CHROMATICITY_UNITS) for value in point)
                for point in (self.green, self.blue, self.red, self.white)
            ],
            [round(value * _LUMINANCE_UNITS) for value in (self.max_luminance, self.min_luminance)],
        )

    def decimals(self) -> str:
        """Returns the metadata in the form of SVT-AV1's option."""
        return self._written(
            [
                tuple(f"{float(value):.5f}" for value in point)
                for point in (self.green, self.blue, self.red, self.white)
            ],
            [f"{float(value):.4f}" for value in (self.max_luminance, self.min_luminance)],
        )

    def _written(self, points: Iterable[tuple[object, ...]], luminances: Iterable[object]) -> str:
        parts = [
            f"{name}({','.join(map(str, point))})"
            for name, point in zip((*_COLORS, "WP"), points, strict=True)
        ]
        return "".join(parts) + f"L({','.join(map(str, luminances))})"


@dataclass(frozen=True, slots=True)
class ContentLight:
    """CTA-861.3: the brightest pixel and the brightest frame on average, in cd/m2."""

    max_cll: int
    max_fall: int

    def __str__(self) -> str:
        return f"{self.max_cll},{self.max_fall}"


@dataclass(frozen=True, slots=True)
class HdrMetadata:
    """HDR metadata of a stream; `dynamic` names the kinds that change from scene to scene."""

    display: MasteringDisplay | None = None
    light: ContentLight | None = None
    dynamic: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts: list[str] = []
        if self.display is not None:
            low, high = self.display.min_luminance, self.display.max_luminance
            parts.append(f"mastered at {float(low):g} to {float(high):g} cd/m2")
        if self.light is not None:
            parts.append(f"MaxCLL {self.light.max_cll}, MaxFALL {self.light.max_fall}")
        return ", ".join([*parts, *self.dynamic]) or "none"


def hdr_of(frame: VideoFrame) -> HdrMetadata:
    """The HDR metadata of a decoded frame; malformed entries are treated as absent."""
    side_data = side_data_of(frame)
    display = side_data.get("MASTERING_DISPLAY_METADATA")
    light = side_data.get("CONTENT_LIGHT_LEVEL")
    return HdrMetadata(
        None if display is None else _mastering_display(display),
        None if light is None else ContentLight(*_numbers(light)[:2]),
        tuple(name for kind, name in _DYNAMIC.items() if kind in side_data),
    )


def _numbers(data: bytes) -> list[int]:
    return np.frombuffer(data, np.int32).tolist()


def _mastering_display(data: bytes) -> MasteringDisplay | None:
    """Of FFmpeg's AVMasteringDisplayMetadata: ten ratios and two flags that say which are set."""
    numbers = _numbers(data)
    if len(numbers) < 22 or not all(numbers[20:22]) or not all(numbers[1:20:2]):
        return None
    ratios = [Fraction(*pair) for pair in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
    red, green, blue, white = zip(ratios[:8:2], ratios[1:8:2], strict=True)
    return MasteringDisplay(red, green, blue, white, *ratios[8:])
