"""Lazy reading of frames with exact times, from files and folders of pictures."""

import logging
import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container.input import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr.config import Deinterlace
from vsr.errors import InputError
from vsr.video.color import UNSPECIFIED, rgb_from_frame
from vsr.video.images import list_images, read_images
from vsr.video.pixels import Pixels, scaled
from vsr.video.probe import VideoInfo, open_video, probe, reason_of
from vsr.video.reading.deinterlace import CONTEXT_FRAMES, Fields, deinterlaced, fields_of
from vsr.video.side_data import side_data_of
from vsr.video.times import exact_seconds

_log = logging.getLogger(__name__)

_EARLY_END_GAPS = 2
"""A file that ends so many of its longest frame distances before its declared end is cut off."""


_LOST_SIDE_DATA = {
    "A53_CC": "closed captions inside its pictures",
    "SPHERICAL": "tags of a 360-degree film",
    "STEREO3D": "tags of a stereoscopic film",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """RGB pixels `h w 3` and when they are shown: `pts * time_base` seconds.

    Pixels are uint8, or uint16 (white is 65535) where the source is deeper than 8 bits.
    """

    pixels: Pixels
    pts: int
    time_base: Fraction

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

    `deinterlace` says what is done with fields: "auto" looks at the first frames; see
    `vsr.video.reading.deinterlace`. There are as many frames as before, at the same times.
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
        self._loss = _Loss()
        # The muxer keeps what Matroska has a tag for, or says that it does not.
        self._noted = {"STEREO3D"} if "stereo_mode" in self._tags() else set[str]()
        self._check_range()
        self._frames = self._read()

    @property
    def damage(self) -> str | None:
        """What was lost of the part read so far, in one line; None if nothing."""
        return self._loss.summary()

    def check_damage(self) -> None:
        """Raise InputError if something was lost and the reader is not tolerant."""
        if self.damage is not None and not self.tolerant:
            raise InputError(f"{self.info.path} is damaged: {self.damage}")

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
        for number, pixels in enumerate(read_images(list_images(self.info.path)[first:]), first):
            yield Frame(pixels, number, time_base)

    def _video(self) -> Iterator[Frame]:
        info, color = self.info, self.info.resolved_color
        fields = self._fields()
        context = 0 if fields is None else CONTEXT_FRAMES
        pictures = self._timed(context)
        for picture, pts in pictures if fields is None else deinterlaced(pictures, fields):
            if (pts - info.start_pts) * info.time_base >= self.start:
                pixels = rgb_from_frame(picture, color)
                yield Frame(scaled(pixels, info.height, info.width), pts, info.time_base)

    def _fields(self) -> Fields | None:
        """The fields to be made whole; None: none."""
        if self._deinterlace == "off":
            return None
        fields = fields_of(self.info.path)
        if fields.kind == "progressive":
            return None if self._deinterlace == "auto" else replace(fields, kind="interlaced")
        how = "its fields are matched" if fields.kind == "telecined" else "it is deinterlaced"
        _log.info("%s is %s: %s", self.info.path, fields, how)
        return fields

    def _timed(self, context: int) -> Iterator[tuple[VideoFrame, int]]:
        """The decoded pictures with their pts, from some `context` frames before the start on."""
        info = self.info
        clock = _Clock(info)
        size = (info.width, info.height)
        for number, picture in enumerate(self._pictures_from_start(context)):
            if number == 0:
                self._note_reductions(picture)
            self._note_side_data(picture)
            pts = clock.pts_of(picture)
            if (picture.width, picture.height) != size:
                size = (picture.width, picture.height)
                _log.warning(
                    "%s has %dx%d pixels from %.3f s on: scaled to %dx%d as at its beginning",
                    *(info.path, *size, (pts - info.start_pts) * info.time_base),
                    *(info.width, info.height),
                )
            is_wanted = (pts - info.start_pts) * info.time_base >= self.start
            if picture.is_corrupt and is_wanted:
                self._loss.corrupt_frames += 1
            yield picture, pts
        clock.report()
        self._loss.missing_seconds = clock.missing_seconds()
        if self.damage is not None and self.tolerant:  # told by check_damage otherwise
            _log.warning("%s is damaged: %s", info.path, self.damage)

    def _note_reductions(self, picture: VideoFrame) -> None:
        """Say in the log what of the source RGB does not hold."""
        path = self.info.path
        if self._tags().get("alpha_mode") == "1" or _has_visible_alpha(picture):
            _log.warning("%s has an alpha channel, which is left out", path)
        tags = self.info.color
        if tags.matrix not in (UNSPECIFIED, self.info.resolved_color.matrix):
            _log.warning("%s has colours that cannot be converted exactly (%s)", path, tags)

    def _tags(self) -> Mapping[str, str]:
        """The tags of the video stream."""
        streams = self.info.streams
        return streams[self.info.stream_index].metadata if streams else {}

    def _note_side_data(self, picture: VideoFrame) -> None:
        """Say in the log, once, what lies in the pictures and cannot go along."""
        side_data = side_data_of(picture)
        for kind, name in _LOST_SIDE_DATA.items():
            if kind in side_data and kind not in self._noted:
                self._noted.add(kind)
                _log.warning("%s has %s, which are left out", self.info.path, name)

    def _pictures_from_start(self, context: int) -> Iterator[VideoFrame]:
        """Decoded frames from the last keyframe at or before the start, or from the beginning.

        With `context` it is the last keyframe at or before so many frames earlier.
        """
        if self.start:
            offset = self.info.start_pts + math.floor(self.start / self.info.time_base)
            if context and self.info.average_rate:
                offset -= math.ceil(context / self.info.average_rate / self.info.time_base)
            pictures = self._decoded(offset)
            first = next(pictures, None)
            if first is not None and first.pts is not None and first.pts <= offset:
                yield first
                yield from pictures
                return
            self._loss = _Loss()
            _log.info("%s cannot be seeked in: it is decoded from its beginning", self.info.path)
        yield from self._decoded(None)

    def _decoded(self, seek_to: int | None) -> Iterator[VideoFrame]:
        with open_video(self.info.path) as (container, stream):
            # Slices only: with frame threads an error in one frame would take others with it.
            stream.thread_type = "SLICE"
            for other in container.streams:
                if other.index != stream.index:
                    other.discard = Discard.all
            if seek_to is not None:
                try:
                    container.seek(seek_to, stream=stream)
                except av.FFmpegError:
                    return
            yield from self._decode_packets(container, stream, whole=seek_to is None)

    def _decode_packets(
        self, container: InputContainer, stream: VideoStream, *, whole: bool
    ) -> Iterator[VideoFrame]:
        packet_count = 0
        for packet in self._packets(container, stream):
            packet_count += bool(packet.size)
            if packet.is_corrupt:
                self._loss.corrupt_packets += 1
            try:
                pictures = packet.decode()
            except av.FFmpegError as error:
                self._loss.undecodable(error)
                continue
            yield from pictures
        # Only this family lists every packet up front, so that absent ones can be counted.
        if whole and "mp4" in self.info.container:
            self._loss.missing_packets = len(stream.index_entries) - packet_count

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
        try:
            yield from container.demux(stream)
        except av.FFmpegError as error:
            self._loss.undecodable(error)
            flush = Packet()
            flush.stream = stream
            yield flush


@dataclass(slots=True)
class _Loss:
    """What could not be read of a file."""

    errors: list[str] = field(default_factory=list[str])
    corrupt_packets: int = 0
    corrupt_frames: int = 0
    missing_packets: int = 0
    missing_seconds: Fraction = Fraction(0)

    def undecodable(self, error: av.FFmpegError) -> None:
        self.errors.append(reason_of(error))

    def summary(self) -> str | None:
        parts: list[str] = []
        if self.errors:
            parts.append(f"undecodable parts: {len(self.errors)} ({self.errors[0]})")
        if self.corrupt_packets or self.corrupt_frames:
            count = max(self.corrupt_packets, self.corrupt_frames)
            parts.append(f"corrupt frames: {count}")
        if self.missing_packets > 0:
            parts.append(f"announced frames that are not there: {self.missing_packets}")
        if self.missing_seconds > 0:
            parts.append(f"it ends {float(self.missing_seconds):.2f} s before its declared end")
        return ", ".join(parts) or None


class _Clock:
    """Gives every frame a pts, and each a later one than the frame before."""

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        self._last: int | None = None
        self._last_duration = 0
        self._longest_gap = 0
        self._repaired = 0
        rate = info.average_rate
        self._frame_duration = max(1, round(1 / (rate * info.time_base))) if rate else 1

    def pts_of(self, picture: VideoFrame) -> int:
        pts = picture.pts if picture.pts is not None else picture.dts
        if self._last is None:
            pts = self._info.start_pts if pts is None else pts
        elif pts is None or pts <= self._last:
            pts = self._last + (picture.duration or self._frame_duration)
            self._repaired += 1
        if self._last is not None:
            self._longest_gap = max(self._longest_gap, pts - self._last)
        self._last = pts
        self._last_duration = picture.duration or self._frame_duration
        return pts

    def report(self) -> None:
        if self._repaired:
            _log.warning(
                "%s: %d frames had no time of their own, or not a later one than the frame "
                "before; each got the time at which its predecessor ends",
                self._info.path,
                self._repaired,
            )

    def missing_seconds(self) -> Fraction:
        """Seconds between the end of the last frame and the declared end, if it is a clear gap."""
        info = self._info
        if info.duration is None or self._last is None or _others_may_last_longer(info):
            return Fraction(0)
        end = self._last + self._last_duration
        gap = info.duration - (end - info.start_pts) * info.time_base
        usual = max(self._longest_gap, self._frame_duration) * info.time_base
        return gap if gap > _EARLY_END_GAPS * usual else Fraction(0)


def _has_visible_alpha(picture: VideoFrame) -> bool:
    """Whether a picture has an alpha channel that is used: GIF and others have it always."""
    if not any(component.is_alpha for component in picture.format.components):
        return False
    return bool(picture.reformat(format="rgba").to_ndarray()[..., 3].min() < 255)


def _others_may_last_longer(info: VideoInfo) -> bool:
    """Whether the declared duration is the file's, and may be that of a stream beside the video."""
    own = info.streams[info.stream_index].duration is not None
    return not own and len(info.streams) > 1
