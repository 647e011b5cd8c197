"""Shot detection on a stream of frames."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from vsr.video.pixels import Pixels, as_uint8
from vsr.video.reading.reader import Frame

_WINDOW = 2
_VISIBLE_CHANGE = 4
"""Mean difference of RGB levels below which nothing is a cut."""
_ANALYSIS_SIDE = 256
"""Frames are reduced to about this width or height before they are compared."""


@dataclass(frozen=True, slots=True)
class ShotDetector:
    """Marks the first frame of every shot; PySceneDetect's AdaptiveDetector decides.

    A cut is a change that is `threshold` times as large as those two frames to either side (so that
    a pan is none), and at least `min_change` (mean difference of HSV values, 0 to 255). A change
    that is undone within two frames, such as a flash or a torn frame, is none either.
    """

    threshold: float = 3.0
    min_change: float = 15.0

    def mark_cuts(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
        """Every frame in order, with whether it starts a shot; the first always does.

        Frames come out two behind where they go in: no more than six are held.
        """
        marker = CutMarker(self)
        for frame in frames:
            yield from marker.push(frame)
        yield from marker.flush()


class CutMarker:
    """Like `ShotDetector.mark_cuts`, for frames that are given one by one."""

    def __init__(self, detector: ShotDetector) -> None:
        self._detector = AdaptiveDetector(
            adaptive_threshold=detector.threshold,
            min_scene_len=0,
            window_width=_WINDOW,
            min_content_val=detector.min_change,
        )
        self._waiting: deque[Frame] = deque()
        self._context: deque[NDArray[np.uint8]] = deque(maxlen=2 * _WINDOW + 2)
        self._compared = 0
        self._returned = 0

    def push(self, frame: Frame) -> list[tuple[Frame, bool]]:
        """Add a frame and return those about which all is known, as `mark_cuts` gives them."""
        picture = _reduced(frame.pixels)
        if self._compared == 0:
            # The first frame stands in for those before it, so that frame 1 can be a cut too.
            for _ in range(_WINDOW):
                self._is_cut(picture)
        self._waiting.append(frame)
        cut = self._is_cut(picture)
        return [self._mark(cut)] if len(self._waiting) > _WINDOW else []

    def flush(self) -> list[tuple[Frame, bool]]:
        """Return the last frames; there are no more."""
        return [self._mark(self._is_cut(self._context[-1])) for _ in range(len(self._waiting))]

    def _mark(self, cut: bool) -> tuple[Frame, bool]:
        self._returned += 1
        return self._waiting.popleft(), cut or self._returned == 1

    def _is_cut(self, picture: NDArray[np.uint8]) -> bool:
        self._context.append(picture)
        self._compared += 1
        cuts = self._detector.process_frame(FrameTimecode(self._compared, fps=25.0), picture)
        return bool(cuts) and not _is_dark_noise(self._context) and not _is_undone(self._context)


def _reduced(frame: Pixels) -> NDArray[np.uint8]:
    """The frame as small BGR, as PySceneDetect wants it."""
    pixels = as_uint8(frame)
    height, width = pixels.shape[:2]
    scale = _ANALYSIS_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(pixels[..., ::-1])


def _is_dark_noise(context: Iterable[NDArray[np.uint8]]) -> bool:
    """True if only the hue of nearly black pixels jumps, which is invisible."""
    pictures = [picture.astype(np.int16) for picture in context]
    return _difference(pictures[_WINDOW], pictures[_WINDOW + 1]) < _VISIBLE_CHANGE


def _is_undone(context: Iterable[NDArray[np.uint8]]) -> bool:
    """True if one of the three frames before a change resembles one of the three after it."""
    pictures = [picture.astype(np.int16) for picture in context]
    before, after = pictures[: _WINDOW + 1], pictures[_WINDOW + 1 :]
    change = _difference(before[-1], after[0])
    across = [(a, b) for a in before for b in after if a is not before[-1] or b is not after[0]]
    return any(_difference(a, b) < change / 2 for a, b in across)


def _difference(a: NDArray[np.int16], b: NDArray[np.int16]) -> float:
    return float(np.abs(a - b).mean())
