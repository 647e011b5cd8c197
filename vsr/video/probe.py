"""Probing a video: size, timing, colour tags, streams; InputError for unusable files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
from av.container.input import InputContainer
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr.errors import ConfigError, InputError
from vsr.video.color import FULL, MATRIX_RGB, ColorTags, tags_of
from vsr.video.container import (
    codec_context,
    codec_name,
    demuxed,
    open_video,
    printable,
    reason_of,
)
from vsr.video.formats import PLAYLISTS
from vsr.video.hdr import HdrMetadata, hdr_of
from vsr.video.icc import profile_of
from vsr.video.images import IMAGE_RATE, first_image, list_images
from vsr.video.joins import Joins, joins_of
from vsr.video.matroska import matroska_tables
from vsr.video.side_data import has_color_profile, side_data_of
from vsr.video.siting import CENTER, LEFT, assume_siting, has_siting, siting_of
from vsr.video.stills import check_readable, is_still
from vsr.video.times import tagged_duration

IMAGE_FOLDER = "image folder"
"""The container name of a folder of pictures."""
_PICTURE_FORMATS = ("_pipe", "image2", "apng")
_DURATION_IS_END_FORMATS = ("matroska", "asf", "flv")
"""Containers whose header gives the end, counted from zero, as the duration."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a file: `kind` is video, audio, subtitle, data or attachment."""

    index: int
    kind: str
    codec: str
    time_base: Fraction | None
    start_pts: int | None
    duration: Fraction | None
    details: str
    metadata: Mapping[str, str]

    def __str__(self) -> str:
        words = [self.kind, self.codec, self.details]
        if self.duration is not None:
            words.append(f"{float(self.duration):.3f} s")
        words += [
            f"{key}={printable(self.metadata[key])}"
            for key in ("language", "title")
            if key in self.metadata
        ]
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The properties of a video; times are exact, in seconds or in units of `time_base`.

    `color` holds the tags of the file; `resolved_color` has the missing ones filled in. `siting` is
    the place of chroma samples with which the pixels are read, None for formats without any.
    `color_profile` is an ICC profile of RGB.
    Players turn the pixels by `rotation` degrees counter-clockwise; `display_matrix` is the full
    transform. `frame_count` is an estimate.
    """

    path: Path
    container: str
    stream_index: int
    codec: str
    pix_fmt: str
    width: int
    height: int
    time_base: Fraction
    average_rate: Fraction | None
    sample_aspect_ratio: Fraction
    color: ColorTags
    siting: str | None
    color_profile: bytes | None
    hdr: HdrMetadata
    rotation: int
    display_matrix: tuple[int, ...] | None
    interlaced: bool
    start_pts: int
    duration: Fraction | None
    frame_count: int | None
    streams: tuple[StreamInfo, ...]
    metadata: Mapping[str, str]
    chapter_count: int
    left_out: frozenset[int] = frozenset()
    """Indices of the streams that the output is to be without."""

    @property
    def resolved_color(self) -> ColorTags:
        """The colour tags with which the pixels are read."""
        return self.color.resolved(self.height, self.pix_fmt)

    @property
    def has_own_duration(self) -> bool:
        """True if `duration` is that of the video stream, not of a file with longer sound."""
        return len(self.streams) <= 1 or self.streams[self.stream_index].duration is not None

    @property
    def is_playlist(self) -> bool:
        """True if the source names other files, which may be read."""
        return self.container in PLAYLISTS

    @property
    def is_image_folder(self) -> bool:
        """True if the source is a folder of pictures."""
        return self.container == IMAGE_FOLDER

    @property
    def is_picture(self) -> bool:
        """True if the source is one picture."""
        return self.path.is_file() and is_still(self.path)

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The files of a picture or of a folder of them; none for a video."""
        if self.is_image_folder and self.path.is_dir():  # frames of no file are told so too
            return list_images(self.path)
        return (self.path,) if self.is_picture else ()

    def __str__(self) -> str:
        rows = describe(self)
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def describe(info: VideoInfo) -> list[tuple[str, str]]:
    """Rows of (name, value) with everything that is known of a video."""
    rows = [
        ("file", str(info.path)),
        ("container", info.container),
        ("video", f"{info.codec}, {info.pix_fmt}{', interlaced' if info.interlaced else ''}"),
        ("size", f"{info.width}x{info.height}"),
        ("aspect", f"pixels {_ratio(info.sample_aspect_ratio)}, {_display_ratio(info)}"),
        ("rotation", f"{info.rotation} degrees"),
        ("rate", "unknown" if info.average_rate is None else _rate(info.average_rate)),
        ("time base", f"{info.time_base} s, first pts {info.start_pts}"),
        ("duration", "unknown" if info.duration is None else f"{float(info.duration):.3f} s"),
        ("frames", "unknown" if info.frame_count is None else f"about {info.frame_count}"),
        ("color", f"{info.color} (read as: {info.resolved_color})"),
    ]
    if info.siting is not None:
        rows.append(("chroma", f"sited {info.siting}"))
    if info.color_profile is not None:
        rows.append(("profile", f"ICC, {len(info.color_profile)} bytes"))
    if info.hdr != HdrMetadata():
        rows.append(("HDR", str(info.hdr)))
    rows += [(f"stream {stream.index}", str(stream)) for stream in info.streams]
    rows += [(f"tag {printable(k)}", printable(value)) for k, value in info.metadata.items()]
    if info.chapter_count:
        rows.append(("chapters", str(info.chapter_count)))
    return rows


def probe(path: str | Path, *, rate: Fraction | None = None, playlists: bool = False) -> VideoInfo:
    """Probe a video file or a folder of pictures. Its first frame is decoded as a check.

    Raises InputError if there is nothing to upscale: the file is missing, empty or unreadable or
    has no video stream or frame, or the folder has no pictures. `rate` is the frame rate of a
    folder of pictures; giving one for a video, which has its own times, raises ConfigError.
    `playlists` lets a playlist read the local files that it names.
    """
    path = Path(path)
    if path.is_dir():
        return _probe_images(path, rate or IMAGE_RATE)
    if rate is not None:
        raise ConfigError(f"fps is for folders of pictures; {path} has frame times of its own")
    check_readable(path)
    with open_video(path, playlists=playlists) as (container, stream):
        return _probe_stream(path, container, stream)


def _probe_stream(path: Path, container: InputContainer, stream: VideoStream) -> VideoInfo:
    frame = _first_frame(path, container, stream)
    time_base = stream.time_base
    if time_base is None or time_base <= 0:
        raise InputError(f"{path}: its video stream has no time base ({time_base = })")
    rate = stream.average_rate or stream.guessed_rate
    start_pts = frame.pts if frame.pts is not None else (stream.start_time or 0)
    joins = joins_of(path, container, stream.index)
    end = joins.end or _end(container, stream)
    duration = None if end is None else end - start_pts * time_base
    if duration is not None and duration <= 0:
        duration = None
    matrix = _display_matrix(frame)
    color = tags_of(frame)
    return VideoInfo(
        path=path,
        container=container.format.name,
        stream_index=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        pix_fmt=frame.format.name,
        width=frame.width,
        height=frame.height,
        time_base=time_base,
        average_rate=rate,
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        color=color,
        siting=_siting(path, container, frame, color.resolved(frame.height, frame.format.name)),
        color_profile=_color_profile(path, container, frame),
        hdr=hdr_of(frame),
        rotation=0 if matrix is None else frame.rotation,
        display_matrix=matrix,
        interlaced=frame.interlaced_frame,
        start_pts=start_pts,
        duration=duration,
        frame_count=_frame_count(container, stream, duration, joins),
        streams=tuple(_stream_info(other) for other in container.streams),
        metadata=MappingProxyType(dict(container.metadata)),
        chapter_count=len(container.chapters()),
    )


def _first_frame(path: Path, container: InputContainer, stream: VideoStream) -> VideoFrame:
    failure = "it has no frames"
    try:
        for packet in demuxed(container, [stream]):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                failure = reason_of(error)
                continue
            for frame in frames:
                if frame.width and frame.height:
                    return frame
    except av.FFmpegError as error:
        failure = reason_of(error)
    raise InputError(
        f"{path}: no frame of its video stream ({stream.width}x{stream.height}) decodes: {failure}"
    )


def _display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """Nine numbers as FFmpeg has them (16.16 fixed point, the last column 2.30)."""
    data = side_data_of(frame).get("DISPLAYMATRIX")
    if data is not None:
        return tuple(int(value) for value in np.frombuffer(data, dtype=np.int32))
    if frame.rotation == 0:
        return None
    angle = math.radians(frame.rotation)
    cos, sin = round(math.cos(angle) * 65536), round(math.sin(angle) * 65536)
    return (cos, -sin, 0, sin, cos, 0, 0, 0, 1 << 30)


def _siting(path: Path, opened: InputContainer, frame: VideoFrame, color: ColorTags) -> str | None:
    """The chroma siting of a file's first frame; the left one if neither file nor codec says it.

    Of full range the centre is meant then, as JPEG has it. The centre of limited range is believed
    only if the decoder insists on it when told another one.
    """
    if not has_siting(frame.format.name):
        return None
    siting = siting_of(frame)
    if siting != CENTER or color.range == FULL:
        return siting
    with open_video(path, playlists=opened.format.name in PLAYLISTS) as (container, stream):
        if matroska_tables(path).has_centred_chroma(stream.index):
            return siting
        assume_siting(stream.codec_context, LEFT)
        return siting_of(_first_frame(path, container, stream))


def _color_profile(path: Path, opened: InputContainer, frame: VideoFrame) -> bytes | None:
    """The ICC profile of the first frame: of the picture file, or of the picture in a video."""
    if not has_color_profile(frame):
        return None
    playlists = opened.format.name in PLAYLISTS
    with open_video(path, playlists=playlists) as (container, stream), path.open("rb") as file:
        if container.format.name.endswith(_PICTURE_FORMATS):
            return profile_of(file.read())
        return profile_of(bytes(next(demuxed(container, [stream]))))


def _end(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """The declared end of the video on the file's clock, in seconds; of the file if unknown."""
    is_end = container.format.name.startswith(_DURATION_IS_END_FORMATS)
    length = _stream_duration(stream)
    if length is not None:
        is_length = "DURATION" in stream.metadata or not is_end
        return length + (_start(stream) if is_length else 0)
    if container.duration is None or container.duration <= 0:
        return None
    begin = 0 if is_end else (container.start_time or 0)
    return Fraction(container.duration + begin, av.time_base)


def _stream_duration(stream: Stream) -> Fraction | None:
    """The stream's own duration in seconds, from its header or from Matroska's tag.

    FFmpeg's muxer writes into that tag the end of the stream, mkvmerge its length.
    """
    if stream.duration and stream.duration > 0 and stream.time_base:
        return stream.duration * stream.time_base
    tagged = tagged_duration(stream.metadata.get("DURATION", ""))
    if tagged is None or "_STATISTICS_WRITING_APP" in stream.metadata:
        return tagged
    return max(Fraction(0), tagged - _start(stream))


def _start(stream: Stream) -> Fraction:
    return (stream.start_time or 0) * (stream.time_base or Fraction(0))


def _frame_count(
    container: InputContainer, stream: VideoStream, duration: Fraction | None, joins: Joins
) -> int | None:
    """Estimated number of frames shown; frames that an edit list hides do not count."""
    packets = joins.packets.get(stream.index)
    if joins and packets is not None:
        return packets
    if stream.frames and "mp4" in container.format.name:
        return sum(not entry.is_discard for entry in stream.index_entries) or stream.frames
    rate = stream.average_rate or stream.guessed_rate
    if not stream.frames and rate and duration is not None:
        frames = round(duration * rate)
        return frames if packets is None else min(frames, packets)  # fewer if the clock pauses
    return stream.frames or None


def _stream_info(stream: Stream) -> StreamInfo:
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=codec_name(stream),
        time_base=stream.time_base,
        start_pts=stream.start_time,
        duration=_stream_duration(stream),
        details=_details(stream),
        metadata=MappingProxyType(dict(stream.metadata)),
    )


def _details(stream: Stream) -> str:
    context = codec_context(stream)
    if isinstance(context, av.VideoCodecContext):
        return f"{context.width}x{context.height} {context.pix_fmt or ''}".strip()
    if isinstance(context, av.AudioCodecContext):
        return f"{context.sample_rate} Hz {context.layout.name}"
    return ""


def _probe_images(folder: Path, rate: Fraction) -> VideoInfo:
    images = list_images(folder)
    first, pix_fmt = first_image(images)
    height, width = first.shape[:2]
    return VideoInfo(
        path=folder,
        container=IMAGE_FOLDER,
        stream_index=0,
        codec=images[0].suffix.lower().lstrip("."),
        pix_fmt=pix_fmt,
        width=width,
        height=height,
        time_base=1 / rate,
        average_rate=rate,
        sample_aspect_ratio=Fraction(1),
        color=ColorTags(matrix=MATRIX_RGB, range=FULL),
        siting=None,
        color_profile=profile_of(images[0].read_bytes()),
        hdr=HdrMetadata(),
        rotation=0,
        display_matrix=None,
        interlaced=False,
        start_pts=0,
        duration=len(images) / rate,
        frame_count=len(images),
        streams=(),
        metadata=MappingProxyType({}),
        chapter_count=0,
    )


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}:{value.denominator}"


def _display_ratio(info: VideoInfo) -> str:
    return f"picture {_ratio(info.sample_aspect_ratio * info.width / info.height)}"


def _rate(rate: Fraction) -> str:
    return f"{float(rate):.3f} frames/s ({rate})"
