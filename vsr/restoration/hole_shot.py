"""One shot on its way through the filling of holes: the frames in memory, and their masks."""

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from vsr.restoration.hole_search import FOUND_WITHIN, HoleSearch
from vsr.restoration.holes import REACH, Mask, completed_flow, without_holes
from vsr.restoration.images import Image, as_image, as_pixels
from vsr.restoration.neighbours import Flow
from vsr.restoration.references import HoleMasks
from vsr.restoration.shot_window import ShotWindow, drop_before, drop_pairs_before
from vsr.video.reading.reader import Frame

_log = logging.getLogger(__name__)

_UNSEEN = 0.02
"""Share of a hole from which on the log says that no frame shows it."""


@dataclass(slots=True)
class ShotHoles(ShotWindow):
    """Fills the holes of one shot's frames as they come; None for `needed_from` wants none.

    Without `masks` it finds them.
    """

    masks: HoleMasks | None
    first_frame: int
    """The number of its first frame in the film."""
    strength: float = 1.0
    needed_from: int | None = 0
    _search: HoleSearch = field(default_factory=HoleSearch)
    _searched: int = 0
    """Frames whose holes were looked for, where no masks are given."""
    _lost: dict[int, Mask] = field(default_factory=dict)
    _flows: dict[tuple[int, int], Flow] = field(default_factory=dict)

    def _look(self, number: int, following: Frame | None) -> None:
        """Read the mask of a frame, if it has one; a time is that of the frame shown then."""
        if self.masks is None:
            if self.needed_from is not None:
                self._search.add(number, as_image(self._frames[number].pixels))
            return
        mask = self.masks.mask(self._frames[number], self.first_frame + number, following)
        if mask is not None and mask.any():
            self._lost[number] = mask

    def _reach(self, frame: Frame) -> int:
        return 1 + REACH + (FOUND_WITHIN + 1 if self.masks is None else 0)

    def _forget(self) -> None:
        oldest = self._done - REACH
        drop_before(oldest, self._frames, self._lost)
        drop_pairs_before(oldest, self._flows)

    def _find(self, end: int) -> None:
        """Look for the holes of the frames before `end`."""
        for number in range(self._searched, end):
            self._search.forget(number - FOUND_WITHIN)
            mask = self._search.holes_of(number)
            if mask is not None:
                self._lost[number] = mask
                share = 100 * float(mask.mean())
                _log.info("frame %d: %.2g%% of it is lost", self.first_frame + number, share)
        self._searched = max(self._searched, end)

    def _changed(self, number: int) -> Frame:
        frame = self._frames[number]
        if self.needed_from is None or number < self.needed_from:
            return frame
        if self.masks is None:
            self._find(self._around(number, REACH).stop)
        return self._filled(number) if number in self._lost else frame

    def _filled(self, number: int) -> Frame:
        frame = self._frames[number]
        images = {n: as_image(self._frames[n].pixels) for n in self._around(number, REACH)}
        filled, unseen = without_holes(
            number, images, self._lost, lambda one, other: self._flow(one, other, images)
        )
        if unseen > _UNSEEN:
            _log.info(
                "frame %d: %.0f%% of the hole is in no frame within %d of it, and is continued from"
                " its borders",
                *(self.first_frame + number, 100 * unseen, REACH),
            )
        image = images[number]
        image = image + np.float32(self.strength) * (filled - image)
        return replace(frame, pixels=as_pixels(image, frame.pixels))

    def _flow(self, one: int, other: int, images: dict[int, Image]) -> Flow:
        if (one, other) not in self._flows:
            masks = self._lost.get(one), self._lost.get(other)
            self._flows[one, other] = completed_flow((images[one], images[other]), masks)
        return self._flows[one, other]
