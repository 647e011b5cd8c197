"""The wear of a film, measured on some consecutive frames of one shot."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import log10

import cv2
import numpy as np

from vsr.restoration.dust import dust_of
from vsr.restoration.fading import measure_tones
from vsr.restoration.flicker import brightness_image, change_between
from vsr.restoration.hole_search import HoleSearch
from vsr.restoration.images import Luma, as_image, luma_of, sampled
from vsr.restoration.motion import Motion, motion_between, tracking_image
from vsr.restoration.neighbours import Flow, flows_between
from vsr.restoration.paths import noise_of
from vsr.restoration.scratch_shot import ShotScratches
from vsr.video.pixels import Pixels
from vsr.video.reading.reader import Frame

_SEEN_FLICKER, _SEEN_WEAVE = 0.4, 0.1
"""Percent and pixels below which a film is steady."""


@dataclass(frozen=True, slots=True)
class Wear:
    """Defects of a film, by the frames that were looked at."""

    frames: int
    dusty_share: float
    """Share of the frames with dust."""
    specks: float
    """Specks a frame."""
    scratches: tuple[int, ...]
    """Columns of scratches in the middle frame."""
    flicker: float
    """Deviation of the exposure in percent."""
    weave: float
    """Deviation of the picture from its smooth path, in pixels."""
    grain: float | None
    """White over the deviation of what differs between neighbouring frames, in dB."""
    fading: float | None
    """Certainty that the film is faded, 0 to 1; None where its tones tell nothing."""
    torn: int = 0
    """Frames of which a region is lost for several frames, as by burns and tears."""

    @property
    def repairs(self) -> tuple[str, ...]:
        """The repairs that this wear needs."""
        needed = {
            "weave": self.weave >= _SEEN_WEAVE,
            "flicker": self.flicker >= _SEEN_FLICKER,
            "dust": self.dusty_share > 0,
            "scratches": bool(self.scratches),
            "fading": bool(self.fading),
            "holes": self.torn > 0,
        }
        return tuple(name for name, is_needed in needed.items() if is_needed)

    def __str__(self) -> str:
        dusty, lines = f"{self.dusty_share:.0%}", ", ".join(map(str, self.scratches))
        return "; ".join(
            [
                f"dust in {dusty} of {self.frames} frames ({self.specks:.1f} a frame)",
                f"{len(self.scratches)} scratches" + (f" at columns {lines}" if lines else ""),
                f"flicker {self.flicker:.1f} %",
                f"weave {self.weave:.2f} pixels",
                "grain unknown" if self.grain is None else f"grain {self.grain:.0f} dB below white",
                _faded(self.fading),
                *([f"holes in {self.torn} frames"] if self.torn else []),
            ]
        )


def measure(pictures: Sequence[Pixels]) -> Wear:
    """Return the wear that these frames of one shot show."""
    lumas = [luma_of(as_image(picture)) for picture in pictures]
    flows = [flows_between(*pair) for pair in pairwise(lumas)]
    tracking = [tracking_image(luma) for luma in lumas]
    motions = [motion_between(*pair, lumas[0].shape[1]) for pair in pairwise(tracking)]
    specks = _specks(lumas, flows)
    return Wear(
        frames=len(lumas),
        dusty_share=float(np.mean(np.array(specks) > 0)) if specks else 0.0,
        specks=float(np.mean(specks)) if specks else 0.0,
        scratches=_scratches(pictures),
        flicker=100 * _flicker(lumas),
        weave=_weave(motions),
        grain=_grain(lumas, flows),
        fading=_fading(pictures),
        torn=_torn(pictures),
    )


def _faded(fading: float | None) -> str:
    if fading is None:
        return "fading unknown: too dark or too even to tell"
    return f"faded with a certainty of {fading:.0%}" if fading else "not faded"


def _fading(pictures: Sequence[Pixels]) -> float | None:
    tones = measure_tones(pictures[::3])
    return None if tones is None else tones.fading


def _torn(pictures: Sequence[Pixels]) -> int:
    search = HoleSearch()
    for number, picture in enumerate(pictures):
        search.add(number, as_image(picture))
    return sum(search.holes_of(number) is not None for number in range(len(pictures)))


def _specks(lumas: Sequence[Luma], flows: Sequence[tuple[Flow, Flow]]) -> list[int]:
    """Return the number of specks in each frame that has a neighbour on both sides."""
    counts: list[int] = []
    for i in range(1, len(lumas) - 1):
        neighbours = [(lumas[i - 1], flows[i - 1][1]), (lumas[i + 1], flows[i][0])]
        mask = dust_of(lumas[i], neighbours)
        counts.append(cv2.connectedComponents(mask.astype(np.uint8))[0] - 1)
    return counts


def _scratches(pictures: Sequence[Pixels]) -> tuple[int, ...]:
    shot = ShotScratches(needed_from=None)
    for number, pixels in enumerate(pictures):
        shot.push(Frame(pixels, number, Fraction(1)))
    return tuple(sorted(round(line.x) for line, _ in shot.scratches(len(pictures) // 2)))


def _flicker(lumas: Sequence[Luma]) -> float:
    small = [brightness_image(luma) for luma in lumas]
    steps = [change_between(*pair).overall for pair in pairwise(small)]
    return float(noise_of(np.cumsum([0.0, *steps])[:, None])[0])


def _weave(motions: Sequence[Motion]) -> float:
    """Return the deviation of the path from a line, or 0 where the motion was not seen."""
    if len(motions) < 4 or not all(motion.is_known for motion in motions):
        return 0.0
    path = np.cumsum([(0.0, 0.0), *((motion.x, motion.y) for motion in motions)], 0)
    times = np.arange(len(path))
    lines = [np.polyval(np.polyfit(times, column, 1), times) for column in path.T]
    return float(np.sqrt(((path - np.stack(lines, 1)) ** 2).mean()))


def _grain(lumas: Sequence[Luma], flows: Sequence[tuple[Flow, Flow]]) -> float | None:
    """Return the level of what two neighbours do not share, where they fit each other best."""
    levels: list[float] = []
    for (before, after), (there, _) in zip(pairwise(lumas), flows, strict=True):
        apart = np.abs(before - sampled(after, there))
        levels.append(float(np.median(apart)) / 0.6745 / np.sqrt(2))
    level = float(np.median(levels)) if levels else 0.0
    return -20 * log10(level) if level > 0 else None
