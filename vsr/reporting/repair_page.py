"""The page of a restored film: its wear, and its most repaired frames before and after."""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool

from vsr.reporting.comparison_page import comparison_page
from vsr.reporting.films import Film, Films, Picture
from vsr.reporting.page import Section, block, table
from vsr.reporting.pictures import crops_of_difference
from vsr.reporting.watch import Watch
from vsr.runtime.files import write_atomically

_FRAMES = 4
"""Frames that are shown."""
_REPAIRED = 8
"""Levels of 255 by which a repaired pixel changes more than those around it."""
_AROUND = (41, 41)
_MASK = np.array([255, 40, 40], np.uint8)


@dataclass(order=True, slots=True)
class RepairedFrame:
    """A frame before and after, ordered by the share of its pixels that a repair changed."""

    share: float
    number: int
    before: Picture = field(compare=False)
    after: Picture = field(compare=False)


def write_repair_page(
    films: Sequence[Film], page: Path, wear: Sequence[tuple[str, str]], *, title: str
) -> None:
    """Write the page of a film and its restored version; `wear` are rows of what was measured.

    An OSError means that it cannot be written.
    """
    shown = Films.of(films)
    watch = Watch(shown, row=shown.size[1] // 2)
    worst: list[RepairedFrame] = []
    for number, (_, (before, after, *_)) in enumerate(watch.frames()):
        share = float(repaired_pixels(before, after).mean())
        insort(worst, RepairedFrame(share, number, before, after))
        del worst[:-_FRAMES]
    boxes = crops_of_difference(watch.main.frames)
    more = [block("The film", "", table(("", ""), wear)), *_sections(worst, shown)]
    write_atomically(page, comparison_page(shown, watch, boxes, title=title, more=more).encode())


def repaired_pixels(before: Picture, after: Picture) -> Bool[np.ndarray, "h w"]:
    """Return the pixels that changed more than those around them: no flicker, no curve of tones."""
    apart = cv2.absdiff(before, after).max(-1)
    return apart > cv2.blur(apart, _AROUND).astype(np.int16) + _REPAIRED


def _sections(worst: Sequence[RepairedFrame], films: Films) -> Iterator[str]:
    for frame in sorted(worst, reverse=True):
        mask = repaired_pixels(frame.before, frame.after)
        marked = np.where(mask[..., None], _MASK, frame.before // 2)
        yield str(
            Section(
                f"Frame {frame.number}",
                f"{frame.share:.2%} of its pixels were repaired.",
                (("before", frame.before), ("after", frame.after), ("repaired pixels", marked)),
                stretch=float(films.pixel_aspect),
            )
        )
