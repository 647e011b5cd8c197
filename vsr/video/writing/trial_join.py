"""A join without a file: every stream beside the video goes through the real muxer, alone."""

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.video.container import TAG_ERRORS, open_video, reason_of
from vsr.video.probe import VideoInfo
from vsr.video.writing.time_range import WHOLE, TimeRange, packets_in_range
from vsr.video.writing.tracks import REFUSALS, Track

FORMATS = {".mkv": "matroska", ".mov": "mov", ".mp4": "mp4", ".m4v": "mp4", ".webm": "webm"}
"""FFmpeg's muxer for each file type, those that hold most first; its own choice for .m4v holds
hardly any codec."""

FIRST_PACKETS = 100
"""Packets of a stream that show before any work if the output takes it."""
_MOST_READ = 5000
"""Packets of the source that are read for these: some streams begin late, or hold hardly any."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The result for one stream: the number of packets tried, and the numbers of those refused.

    `error` is the reason why the header or the end of the file cannot be written.
    """

    count: int = 0
    refused: frozenset[int] = field(default_factory=frozenset[int])
    error: str | None = None

    @property
    def failure(self) -> str | None:
        """The reason why nothing of the stream gets into the output; None if something does."""
        if self.error is None and self.count and len(self.refused) == self.count:
            return "none of its packets is taken"
        return self.error


def muxer_options(path: Path) -> dict[str, str]:
    """The options of the muxer that every output of a file type has.

    Without bitexact Matroska numbers its tracks at random. Sound often begins a little before zero,
    and all times would be moved for it; so in Matroska, which cannot hold such times, a packet
    before zero loses its time, but nothing else.
    """
    options = {"fflags": "+bitexact"}
    if FORMATS[path.suffix.lower()] in ("matroska", "webm"):
        options["avoid_negative_ts"] = "disabled"
    return options


def try_join(
    source: VideoInfo,
    path: Path,
    codecs: Mapping[int, str | None],
    *,
    span: TimeRange = WHOLE,
    most: int | None = FIRST_PACKETS,
) -> dict[int, Trial]:
    """Mux packets of streams as for an output at `path`, and return the results by index.

    `codecs` has the streams, each with the codec that it is converted to; None: it is copied.
    `most` packets of each are tried; None: all, which reads the whole source.
    """
    if not codecs:
        return {}
    with open_video(source.path, playlists=source.is_playlist) as (container, _):
        rehearsals = {
            index: _Rehearsal(source.path, container.streams[index], path, codec)
            for index, codec in codecs.items()
        }
        with suppress(av.FFmpegError):  # a damaged end: the join itself reports it
            _feed(source, container, rehearsals, span, most)
        return {index: rehearsal.result() for index, rehearsal in rehearsals.items()}


def _feed(
    source: VideoInfo,
    container: InputContainer,
    rehearsals: Mapping[int, "_Rehearsal"],
    span: TimeRange,
    most: int | None,
) -> None:
    shift = span.begin or min(Fraction(0), source.start_pts * source.time_base)
    streams = [container.streams[index] for index in rehearsals]
    if most is not None:
        streams.append(container.streams[source.stream_index])  # counts how much is read
    waiting = {index for index, rehearsal in rehearsals.items() if rehearsal.is_open}
    if not waiting:
        return
    for number, packet in enumerate(packets_in_range(source, container, streams, span)):
        rehearsal = rehearsals.get(packet.stream_index)
        if rehearsal is not None and (most is None or rehearsal.count < most):
            rehearsal.write(packet, shift)
            if rehearsal.count == most:
                waiting.discard(packet.stream_index)
        if most is not None and (not waiting or number == _MOST_READ):
            return


class _Rehearsal:
    """One stream, alone in an output that goes nowhere."""

    def __init__(self, source: Path, template: Stream, path: Path, codec: str | None) -> None:
        self._error: str | None = None
        self._output: OutputContainer = av.open(
            _Nowhere(),
            "w",
            format=FORMATS[path.suffix.lower()],
            container_options=muxer_options(path),
            metadata_errors=TAG_ERRORS,
        )
        self._track: Track | None = None
        try:
            self._track = Track(self._output, source, template, codec=codec)
            self._output.start_encoding()
        except REFUSALS as error:
            self._error = reason_of(error)

    @property
    def is_open(self) -> bool:
        return self._error is None

    @property
    def count(self) -> int:
        return 0 if self._track is None else self._track.count

    def write(self, packet: Packet, shift: Fraction) -> None:
        if self._error is None and self._track is not None:
            self._track.write(packet, shift=shift)

    def result(self) -> Trial:
        try:
            if self._error is None and self._track is not None:
                self._track.finish(shift=Fraction(0))
            self._output.close()
        except REFUSALS as error:
            self._error = self._error or reason_of(error)
        refused = frozenset[int]() if self._track is None else frozenset(self._track.refused)
        return Trial(self.count, refused, self._error)


class _Nowhere(io.RawIOBase):
    """A file that forgets what is written to it, but not how much it was."""

    def __init__(self) -> None:
        self._place = self._end = 0

    def write(self, data: bytes) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._place += len(data)
        self._end = max(self._end, self._place)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._end)[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
