"""Pictures of key frames in a folder, made by hand or with another tool; no torch."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16

from vsr.errors import InputError
from vsr.video.suffixes import IMAGE_SUFFIXES

_NUMBER = re.compile(r"\d+")
_TIME = re.compile(r"(\d+)-(\d\d)-(\d\d(?:\.\d+)?)")
_TOLERATED = 1.5
"""Frames of a film against those that its container tells."""


@dataclass(frozen=True, slots=True)
class FilmFrame:
    """A frame and its place in its film: its number, and when it is shown.

    `is_intra`: an I-frame after a frame of another type. `shown`: the number of frames that show
    its picture, one after another.
    """

    number: int
    seconds: float
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
    is_intra: bool = False
    shown: int = 1


class KeyPictures:
    """Pictures of frames in a folder: `000120.png` by frame number, or `00-01-02.500.png` by time.

    Raises InputError for a folder without any such file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers: dict[int, Path] = {}
        self.times: dict[float, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if _NUMBER.fullmatch(path.stem):
                self.numbers[int(path.stem)] = path
            elif found := _TIME.fullmatch(path.stem):
                hours, minutes, seconds = found.groups()
                self.times[3600 * int(hours) + 60 * int(minutes) + float(seconds)] = path
        if not self.numbers and not self.times:
            raise InputError(
                f"{folder} has no picture that is named by a frame, as 000120.png, or by a time, "
                "as 00-01-02.500.png"
            )
        self.used: set[Path] = set()

    def of(self, number: int, seconds: float, end: float | None) -> Path | None:
        """Returns the picture of a frame; one by time belongs to the frame that is shown then.

        `end` is when the next frame is shown; None for the last one.
        """
        path = self.numbers.get(number)
        if path is None:
            end = seconds + 0.04 if end is None else end
            shown = [time for time in self.times if seconds - 1e-4 <= time < end - 1e-4]
            path = self.times[shown[0]] if shown else None
        if path is not None:
            self.used.add(path)
        return path

    def check_within(self, *, frames: int | None, seconds: float | None) -> None:
        """Raise InputError if no picture can be one of a film of about that length.

        None: the length is not known. Since containers estimate it, half of it more is allowed.
        """
        last = math.inf if frames is None else _TOLERATED * frames
        end = math.inf if seconds is None else _TOLERATED * seconds
        if all(number > last for number in self.numbers) and all(t > end for t in self.times):
            length = "" if frames is None else f", {frames} frames"
            length += "" if seconds is None else f", {seconds:.1f} s"
            raise InputError(
                f"no picture in {self.folder} belongs to a frame of this film{length}: name them "
                "by frame numbers from 0, as 000120.png, or by times, as 00-01-02.500.png"
            )

    def unused(self) -> list[Path]:
        """Returns the pictures for which no frame was found so far."""
        known = {*self.numbers.values(), *self.times.values()}
        return sorted(known - self.used)

    def report(self) -> str:
        """Returns a line on the pictures for which no frame was found."""
        unused = self.unused()
        if not unused:
            return f"all {len(self.used)} pictures were used"
        names = ", ".join(path.name for path in unused[:4])
        more = f" and {len(unused) - 4} more" if len(unused) > 4 else ""
        return f"no frame was found for these pictures: {names}{more}"
