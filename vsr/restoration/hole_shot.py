"""One shot on its way through the filling of holes: the frames in memory, and their masks."""

import logging
from dataclasses import dataclass, field, replace

import numpy as np

from vsr.restoration.holes import REACH, Mask, completed_flow, without_holes
from vsr.restoration.images import Image, as_image, as_pixels
from vsr.restoration.neighbours import Flow
from vsr.restoration.references import HoleMasks
from vsr.restoration.shot_window import ShotWindow, drop_before
from vsr.video.reading.reader import Frame

_log = logging.getLogger(__name__)

_UNSEEN = 0.02
"""Share of a hole from which on the log says that no frame shows it."""


@dataclass(slots=True)
class ShotHoles(ShotWindow):
    """Fills the holes of one shot's frames as they come; None for `needed_from` wants none."""

    masks: HoleMasks
    first_frame: int
    """The number of its first frame in the film."""
    strength: float = 1.0
    needed_from: int | None = 0
    _lost: dict[int, Mask] = field(default_factory=dict)
    _flows: dict[tuple[int, int], Flow] = field(default_factory=dict)

    def _look(self, number: int, following: Frame | None) -> None:
        """Read the mask of a frame, if it has one; a time is that of the frame shown then."""
        mask = self.masks.mask(self._frames[number], self.first_frame + number, following)
        if mask is not None and mask.any():
            self._lost[number] = mask

    def _reach(self, frame: Frame) -> int:
        return 1 + REACH

    def _forget(self) -> None:
        oldest = self._done - REACH
        drop_before(oldest, self._frames, self._lost)
        for pair in [pair for pair in self._flows if min(pair) < oldest]:
            del self._flows[pair]

    def _changed(self, number: int) -> Frame:
        frame = self._frames[number]
        if number not in self._lost or self.needed_from is None or number < self.needed_from:
            return frame
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
