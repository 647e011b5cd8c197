"""One shot on its way through the repairs: the frames in memory, and the facts about them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vsr.restoration.dust import without_dust
from vsr.restoration.fading import Curve, curve_of, followed, measure_tones, without_fading
from vsr.restoration.flicker import (
    Change,
    brightness_image,
    change_between,
    flicker_at,
    without_flicker,
)
from vsr.restoration.grain_measure import measure_grain
from vsr.restoration.grain_removal import grain_of_frame
from vsr.restoration.images import Image, Luma, as_image, as_pixels, luma_of
from vsr.restoration.motion import Motion, motion_between, tracking_image
from vsr.restoration.neighbours import Flow, Neighbour, chained, flows_between
from vsr.restoration.plan import (
    NEIGHBOURS,
    PATH_PAST,
    STATISTICS,
    RepairPlan,
    frames_ahead,
)
from vsr.restoration.shot_window import ShotWindow, drop_before
from vsr.restoration.weave import moved_back, weave_at
from vsr.video.grain import Grain
from vsr.video.reading.reader import Frame

Fact = TypeVar("Fact")

_KEPT = 2 * NEIGHBOURS
"""Frames behind the one in hand that a repair can ask for: neighbours of neighbours."""


@dataclass(slots=True)
class ShotRepair(ShotWindow):
    """Repairs the frames of one shot as they come; `needed_from` is the first that is wanted.

    Each repaired frame is a function of the frames within `plan.reach` around it, and what this
    takes is computed when it is asked for, once: the result does not depend on where work begins.
    """

    plan: RepairPlan
    needed_from: int | None = 0
    curve: Curve | None = None
    """The correction of fading: first that of the shot before, then the shot's own."""
    seen: int = 0
    """Frames that were looked at, of which `changed` came out with other pixels."""
    changed: int = 0
    _facts: dict[tuple[str, int], object] = field(default_factory=dict)
    _grain: Grain | None = None

    def _reach(self, frame: Frame) -> int:
        return self.plan.reach(frame.pixels.nbytes)

    def _look(self, number: int, following: Frame | None) -> None:
        """Find the facts of two frames that others ask for later, when they may be gone."""
        if following is None or self.needed_from is None:
            return
        if number + 1 < self.needed_from - PATH_PAST - _KEPT:
            return
        if self.plan.flicker:
            self._known("change", number, self._change)
        if self.plan.weave:
            self._known("motion", number, self._motion)

    def _changed(self, number: int) -> Frame:
        if number == 0:
            self._measure()
        frame = self._frames[number]
        if self.needed_from is None or number < self.needed_from or not self.plan.is_of_frames:
            return frame
        image = self._without_grain(number)
        if self.curve is not None:
            image = without_fading(image, self.curve, strength=self.plan.fading)
        pixels = as_pixels(image, frame.pixels)
        self.seen += 1
        self.changed += not np.array_equal(pixels, frame.pixels)
        return replace(frame, pixels=pixels, grain=self._given_grain())

    def _measure(self) -> None:
        """Find what holds for the whole shot, in its first frames."""
        first = range(min(self._count, STATISTICS + 1))
        pictures = [self._frames[number].pixels for number in first]
        if self.plan.grain and self.needed_from is not None:
            self._grain = measure_grain(pictures)
        if self.plan.fading:
            tones = measure_tones(pictures[::3])
            self.curve = followed(self.curve, None if tones is None else curve_of(tones))

    def _given_grain(self) -> Grain | None:
        """Return the grain that the enlarged frame gets."""
        strength = self.plan.grain * self.plan.given_grain
        if self._grain is None or not strength:
            return None
        return replace(self._grain, strength=strength)

    def _without_grain(self, number: int) -> Image:
        image, share = self._clean(number), self.plan.grain * (1 - self.plan.own_grain)
        if self._grain is None or not share:
            return image
        neighbours = self._neighbours(number, self._clean)
        return image - share * grain_of_frame(image, neighbours, self._grain)

    def _forget(self) -> None:
        drop_before(self._done - _KEPT, self._frames)
        last = self._count - 1
        path = self._done - PATH_PAST - _KEPT
        oldest = {
            "change": path,
            "motion": path,
            "brightness": last,
            "corners": last,
        }
        for name, number in list(self._facts):
            if number < oldest.get(name, self._done - NEIGHBOURS):
                del self._facts[name, number]

    def _known(self, name: str, number: int, find: Callable[[int], Fact]) -> Fact:
        """Return the fact of that name about a frame, found now or before."""
        if (name, number) not in self._facts:
            self._facts[name, number] = find(number)
        return self._facts[name, number]  # type: ignore[return-value]

    def _image(self, number: int) -> Image:
        return as_image(self._frames[number].pixels)

    def _steady(self, number: int) -> Image:
        """Return a frame without its flicker and weave, which take no other pixels."""
        return self._known("steady", number, self._made_steady)

    def _made_steady(self, number: int) -> Image:
        plan, image = self.plan, self._image(number)
        first = max(0, number - PATH_PAST)
        last = number + frames_ahead(self._frames[number].pixels.nbytes)
        pairs = range(first, min(self._count - 1, last))
        centre = number - first
        if plan.flicker:
            changes = [self._known("change", pair, self._change) for pair in pairs]
            image = without_flicker(image, flicker_at(changes, centre), strength=plan.flicker)
        if plan.weave:
            motions = [self._known("motion", pair, self._motion) for pair in pairs]
            shift = weave_at(motions, centre, image.shape[1])
            image = moved_back(image, plan.weave * shift)
        return image

    def _clean(self, number: int) -> Image:
        """Return a steady frame without its dust."""
        if not self.plan.dust:
            return self._steady(number)
        return self._known("clean", number, self._made_clean)

    def _made_clean(self, number: int) -> Image:
        neighbours = self._neighbours(number, self._steady)
        return without_dust(self._steady(number), neighbours, strength=self.plan.dust)

    def _neighbours(self, number: int, image: Callable[[int], Image]) -> list[Neighbour]:
        """Return the frames around one, the nearest first, with the flow to them."""
        return [
            Neighbour(image(other), self._flow(number, other))
            for distance in range(1, NEIGHBOURS + 1)
            for other in (number - distance, number + distance)
            if 0 <= other < self._count
        ]

    def _flow(self, number: int, other: int) -> Flow:
        return chained(number, other, lambda pair: self._known("flows", pair, self._flows))

    def _flows(self, number: int) -> tuple[Flow, Flow]:
        return flows_between(*(luma_of(self._steady(place)) for place in (number, number + 1)))

    def _change(self, pair: int) -> Change:
        return change_between(
            *(self._known("brightness", pair + i, self._brightness) for i in (0, 1))
        )

    def _brightness(self, number: int) -> Luma:
        return brightness_image(luma_of(self._image(number)))

    def _motion(self, pair: int) -> Motion:
        width = self._frames[pair].pixels.shape[1]
        before, after = (self._known("corners", pair + i, self._corners) for i in (0, 1))
        return motion_between(before, after, width)

    def _corners(self, number: int) -> NDArray[np.uint8]:
        return tracking_image(luma_of(self._image(number)))
