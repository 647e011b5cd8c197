"""The pictures that repairs take from folders: checked before the work, counted after it."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.restoration.references import ColourReferences, HoleMasks, check_shape
from vsr.video.images import read_image
from vsr.video.key_pictures import KeyPictures
from vsr.video.probe import VideoInfo

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RepairPictures:
    """The pictures of each repair that takes some; None where the repair is off."""

    references: ColourReferences | None = None
    masks: HoleMasks | None = None

    @classmethod
    def of(cls, config: UpscaleConfig) -> "RepairPictures":
        """Return the pictures of the folders that the options name."""
        references, masks = config.colour_references, config.masks
        return cls(
            None if references is None else ColourReferences(Path(references)),
            None if masks is None else HoleMasks(Path(masks)),
        )

    def check(self, film: VideoInfo) -> None:
        """Raise InputError for pictures of another shape than the film's, or of no frame of it."""
        for pictures in self._folders():
            for path in pictures.unused():
                check_shape(path, read_image(path).shape[:2], (film.height, film.width))
            seconds = None if film.duration is None else float(film.duration)
            pictures.check_within(frames=_frames_of(film), seconds=seconds)

    def report(self) -> None:
        """Log the pictures for which no frame was found."""
        for pictures in self._folders():
            if pictures.unused():
                _log.warning("%s: %s", pictures.folder, pictures.report())

    def _folders(self) -> Iterator[KeyPictures]:
        for one in (self.references, self.masks):
            if one is not None:
                yield one.pictures


def _frames_of(film: VideoInfo) -> int | None:
    """Return the number of frames, by the length where the container tells none."""
    if film.frame_count or film.duration is None or film.average_rate is None:
        return film.frame_count
    return ceil(film.duration * film.average_rate)
