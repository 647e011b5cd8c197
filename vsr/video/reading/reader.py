"""Lazy reading of frames with exact times, from files and folders of pictures."""

import logging
import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame

from vsr.config import Deinterlace
from vsr.errors import InputError
from vsr.video.color import LIMITED, UNSPECIFIED, rgb_from_frame
from vsr.video.grain import Grain
from vsr.video.images import list_images, read_images
from vsr.video.pixels import Pixels, depth_of, is_gray, is_rgb, scaled
from vsr.video.planes import luma_codes
from vsr.video.probe import VideoInfo, probe
from vsr.video.reading.decoder import PictureDecoder
from vsr.video.reading.deinterlace import CONTEXT_FRAMES, Fields, deinterlaced, fields_of
from vsr.video.reading.field_parts import LOOK_AROUND, deinterlaced_by_part
from vsr.video.reading.frame_times import FrameClock
from vsr.video.reading.intra_frames import IntraFrames
from vsr.video.side_data import has_color_profile, side_data_of
from vsr.video.stills import note_pages
from vsr.video.times import exact_seconds

_log = logging.getLogger(__name__)

_LOST_SIDE_DATA = {
    "A53_CC": "closed captions inside its pictures",
    "SPHERICAL": "tags of a 360-degree film",
    "STEREO3D": "tags of a stereoscopic film",
}


_SAMPLED = 4
"""Of so many rows and columns one is looked at."""
_BELOW_BLACK, _BEYOND_WHITE = 12, 239
"""In 8 bits: compression alone goes beyond 16 to 235 by about this much."""
_CLIPPED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Frame:
    """RGB pixels `h w 3` and when they are shown: `pts * time_base` seconds.

    Pixels are uint8, or uint16 (white is 65535) where the source is deeper than 8 bits.
    """

    pixels: Pixels
    pts: int
    time_base: Fraction
    grain: Grain | None = None
    """The grain to give back once the frame is enlarged, where it was taken out."""
    is_intra: bool = False
    """True for an I-frame after a frame of another type, which a codec of I-frames has nowhere."""

    @property
    def seconds(self) -> Fraction:
        """The exact time of the frame."""
        return self.pts * self.time_base


class VideoReader:
    """The frames of a video or a folder of pictures, decoded as they are asked for.

    `start` and `duration` are seconds from the first frame; a frame belongs to the range if its
    own time lies in [start, start + duration). Pixels are as stored: rotation is not applied.
    Pts rise strictly; frames without one get one, and the log says so.

    What of a damaged file decodes is delivered. `damage` says afterwards what was lost (None where
    nothing was), and `check_damage` makes an error of it unless the reader is `tolerant`.

    `deinterlace` says what is done with fields: "auto" judges every frame with those around it; see
    `vsr.video.reading.field_parts`. There are as many frames as before, at the same times.
    `source` is a path, or its VideoInfo where it was probed before. `rate` is the frame rate of a
    folder of pictures.
    """

    def __init__(
        self,
        source: str | Path | VideoInfo,
        *,
        start: float | Fraction = 0,
        duration: float | Fraction | None = None,
        tolerant: bool = False,
        deinterlace: Deinterlace = "off",
        rate: Fraction | None = None,
    ) -> None:
        self.info = source if isinstance(source, VideoInfo) else probe(source, rate=rate)
        self.start = exact_seconds(start)
        self.duration = None if duration is None else exact_seconds(duration)
        self.tolerant = tolerant
        self._deinterlace: Deinterlace = deinterlace
        self._decoder = PictureDecoder(self.info)
        self._intra = IntraFrames()
        # The muxer keeps what Matroska has a tag for, or says that it does not.
        self._noted = {"STEREO3D"} if "stereo_mode" in self._tags() else set[str]()
        self._check_range()
        self._frames = self._read()

    @property
    def damage(self) -> str | None:
        """One line on the damage found in the part read so far; None if there is none."""
        return self._decoder.loss.summary()

    def check_damage(self) -> None:
        """Raise InputError if something was lost and the reader is not tolerant."""
        if self.damage is not None and not self.tolerant:
            raise InputError(
                f"{self.info.path} is damaged: {self.damage}; --tolerant accepts the frames that "
                "decode"
            )

    def close(self) -> None:
        """Stop reading and close the file."""
        self._frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        return next(self._frames)

    def _check_range(self) -> None:
        length = self.info.duration
        if self.start < 0:
            raise InputError(f"start must be 0 s or later, not {float(self.start):g} s")
        if self.duration is not None and self.duration <= 0:
            raise InputError(f"duration must be more than 0 s, not {float(self.duration):g} s")
        if length is not None and self.start >= length:
            raise InputError(
                f"start {float(self.start):g} s is past the end of {self.info.path}, "
                f"which is {float(length):.3f} s long"
            )

    def _read(self) -> Generator[Frame, None, None]:
        count = 0
        for frame in self._pictures() if self.info.is_image_folder else self._video():
            seconds = (frame.pts - self.info.start_pts) * self.info.time_base
            if self.duration is not None and seconds >= self.start + self.duration:
                break
            if seconds >= self.start:
                count += 1
                yield frame
        if count == 0:
            raise InputError(
                f"{self.info.path} has no frame from {float(self.start):g} s on"
                + (f" for {float(self.duration):g} s" if self.duration is not None else "")
            )

    def _pictures(self) -> Iterator[Frame]:
        time_base = self.info.time_base
        first = math.ceil(self.start / time_base)
        paths = list_images(self.info.path)[first:]
        note_pages(paths[0])
        for number, pixels in read_images(paths, self._note_broken):
            yield Frame(pixels, first + number, time_base)

    def _note_broken(self, error: InputError) -> None:
        """Count a picture that cannot be read; raise InputError unless the reader is tolerant."""
        if not self.tolerant:
            raise InputError(f"{error}; --tolerant leaves it out") from error
        _log.warning("%s: it is left out", error)
        self._decoder.loss.errors.append(str(error))

    def _video(self) -> Iterator[Frame]:
        info, color = self.info, self.info.resolved_color
        for picture, pts in self._whole():
            is_intra = self._intra.take(pts)
            if (pts - info.start_pts) * info.time_base >= self.start:
                pixels = rgb_from_frame(picture, color)
                pixels = scaled(pixels, info.height, info.width)
                yield Frame(pixels, pts, info.time_base, is_intra=is_intra)

    def _whole(self) -> Iterator[tuple[VideoFrame, int]]:
        """The decoded pictures with their pts, deinterlaced as far as it is asked for."""
        if self._deinterlace == "off":
            return self._timed(0)
        fields = fields_of(self.info.path, playlists=self.info.is_playlist)
        if fields.kind != "progressive":
            how = "its fields are matched" if fields.kind == "telecined" else "it is deinterlaced"
            _log.info("%s is %s: %s", self.info.path, fields, how)
        if self._deinterlace == "auto":
            pictures = self._timed(CONTEXT_FRAMES + LOOK_AROUND)
            return deinterlaced_by_part(pictures, fields, self._note_mixed)
        if fields.kind == "progressive":
            fields = replace(fields, kind="interlaced")
        return deinterlaced(self._timed(CONTEXT_FRAMES), fields)

    def _note_mixed(self, fields: Fields, pts: int) -> None:
        """Say in the log once that the kind of the pictures changes."""
        if "mixed" not in self._noted:
            self._noted.add("mixed")
            _log.info(
                "%s mixes kinds of pictures: from %.3f s on it is %s; each part is read by its own",
                *(self.info.path, (pts - self.info.start_pts) * self.info.time_base, fields),
            )

    def _timed(self, context: int) -> Iterator[tuple[VideoFrame, int]]:
        """The decoded pictures with their pts, from some `context` frames before the start on."""
        info = self.info
        clock = FrameClock(info)
        size = (info.width, info.height)
        pictures = self._decoder.pictures(self.start, context)
        for number, (picture, pts) in enumerate(clock.timed(pictures)):
            if number == 0:
                self._note_first(picture)
            self._intra.note(picture.pict_type, pts)
            self._note_side_data(picture)
            seconds = (pts - info.start_pts) * info.time_base
            self._note_levels(picture, seconds)
            size = self._note_size(picture, size, seconds)
            if seconds >= self.start and self._decoder.is_corrupt(picture):
                self._decoder.loss.corrupt_frames += 1
            yield picture, pts
        clock.report()
        self._decoder.loss.missing_seconds = clock.missing_seconds()
        if self.damage is not None and self.tolerant:  # told by check_damage otherwise
            _log.warning("%s is damaged: %s", info.path, self.damage)

    def _note_size(
        self, picture: VideoFrame, size: tuple[int, int], seconds: Fraction
    ) -> tuple[int, int]:
        """The picture's size; the log says if it is not that of the picture before, `size`."""
        info, now = self.info, (picture.width, picture.height)
        if now != size:
            _log.warning(
                "%s has %dx%d pixels from %.3f s on: scaled to %dx%d as at its beginning",
                *(info.path, *now, seconds, info.width, info.height),
            )
        return now

    def _note_first(self, picture: VideoFrame) -> None:
        """Say in the log what the first picture shows to be lost: RGB does not hold all."""
        path = self.info.path
        if self.info.color_profile is None and has_color_profile(picture):
            _log.warning("%s has a colour profile (ICC), which is left out", path)
        if self.info.is_picture:
            note_pages(path)
            return  # its writer keeps transparency, or says that it is lost
        if self._tags().get("alpha_mode") == "1" or _has_visible_alpha(picture):
            _log.warning("%s has an alpha channel, which is left out", path)
        tags = self.info.color
        fmt, known = self.info.pix_fmt, (UNSPECIFIED, self.info.resolved_color.matrix)
        has_matrix = not (is_rgb(fmt) or is_gray(fmt) or fmt.startswith("mono"))
        if has_matrix and tags.matrix not in known:
            _log.warning("%s has colours that cannot be converted exactly (%s)", path, tags)

    def _tags(self) -> Mapping[str, str]:
        """The tags of the video stream."""
        streams = self.info.streams
        return streams[self.info.stream_index].metadata if streams else {}

    def _note_levels(self, picture: VideoFrame, seconds: Fraction) -> None:
        """Log once if luma lies beyond white or black: RGB holds what lies between them."""
        if self.info.resolved_color.range != LIMITED or "levels" in self._noted:
            return
        luma = luma_codes(picture)
        if luma is None:
            return
        sample = luma[::_SAMPLED, ::_SAMPLED] >> (depth_of(picture.format.name) - 8)
        share = float(((sample > _BEYOND_WHITE) | (sample < _BELOW_BLACK)).mean())
        if share > _CLIPPED_SHARE:
            self._noted.add("levels")
            _log.warning(
                "%s has levels beyond white or black (%.0f %% of the picture at %.3f s): they are "
                "clipped",
                *(self.info.path, 100 * share, seconds),
            )

    def _note_side_data(self, picture: VideoFrame) -> None:
        """Log once which data inside the pictures cannot be kept."""
        side_data = side_data_of(picture)
        for kind, name in _LOST_SIDE_DATA.items():
            if kind in side_data and kind not in self._noted:
                self._noted.add(kind)
                _log.warning("%s has %s, which are left out", self.info.path, name)


def _has_visible_alpha(picture: VideoFrame) -> bool:
    """True if a pixel is transparent. An alpha channel alone proves nothing: GIF always has one."""
    if not any(component.is_alpha for component in picture.format.components):
        return False
    return bool(picture.reformat(format="rgba").to_ndarray()[..., 3].min() < 255)
