"""Decoded pictures of a video file, from any time on, with a count of what does not decode."""

import logging
import math
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.container.input import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr.video.container import demuxed, open_video
from vsr.video.joins import JOINABLE_FORMATS, JoinedPackets, Joins, joins_of
from vsr.video.probe import VideoInfo
from vsr.video.reading.loss import Loss
from vsr.video.reading.transport import others_jump
from vsr.video.siting import assume_siting

_log = logging.getLogger(__name__)

_LOOKAHEAD = 2
_LONGEST_STEP = 1.5
"""In durations of a frame: if one is lost, the next comes after two."""


class PictureDecoder:
    """Decodes the main video stream of a file; `loss` counts what could not be read so far."""

    def __init__(self, info: VideoInfo) -> None:
        self.loss = Loss()
        self._info = info
        self._aspect: Fraction | None = None
        self._complete: set[int | None] = set()

    def pictures(self, start: Fraction, context: int) -> Iterator[VideoFrame]:
        """Decoded frames from the last keyframe at or before `start` (seconds from the first).

        With `context`, from the last keyframe at least that many frames earlier.
        """
        info = self._info
        if start:
            offset = info.start_pts + math.floor(start / info.time_base)
            if context and info.average_rate:
                offset -= math.ceil(context / info.average_rate / info.time_base)
            pictures = self._decoded(offset)
            first = next(pictures, None)
            if first is not None and first.pts is not None and first.pts <= offset:
                yield first
                yield from pictures
                return
            self.loss = Loss()
            _log.info("%s cannot be seeked in: it is decoded from its beginning", info.path)
        yield from self._decoded(None)

    def is_corrupt(self, picture: VideoFrame) -> bool:
        """True if part of a decoded picture is missing."""
        return picture.is_corrupt and picture.pts not in self._complete

    def _decoded(self, seek_to: int | None) -> Iterator[VideoFrame]:
        with open_video(self._info.path, playlists=self._info.is_playlist) as (container, stream):
            joins = joins_of(self._info.path, container, stream.index)
            # Slices only: with frame threads an error in one frame would take others with it.
            stream.thread_type = "SLICE"
            if self._info.siting is not None:
                assume_siting(stream.codec_context, self._info.siting)
            for other in container.streams:
                if other.index != stream.index:
                    other.discard = Discard.all
            if seek_to is not None:
                if joins:
                    return
                try:
                    container.seek(seek_to, stream=stream)
                except av.FFmpegError:
                    return
            elif joins:
                _log.warning("%s is joined: %s", self._info.path, joins)
            elif joins.pauses:
                self._note_pauses(joins)
            else:
                self._note_late_start(stream)
            packets = JoinedPackets(joins).moved(self._packets(container, stream))
            yield from self._decode(packets, stream, whole=seek_to is None)

    def _note_pauses(self, joins: Joins) -> None:
        for seconds, length in joins.pauses:
            _log.info(
                "%s: no picture comes for %.3f s after %.3f s: the times are kept",
                *(self._info.path, length, seconds - self._info.start_pts * self._info.time_base),
            )

    def _note_late_start(self, stream: VideoStream) -> None:
        """Say in the log if pictures before the first keyframe are missing: a cut recording."""
        info = self._info
        late = (info.start_pts - (stream.start_time or 0)) * info.time_base
        if (
            info.container in JOINABLE_FORMATS
            and info.average_rate
            and late * info.average_rate > 2
        ):
            _log.info(
                "%s begins in the middle of a group of pictures: the video starts %.3f s later, at "
                "the first keyframe",
                *(info.path, late),
            )

    def _decode(
        self, packets: Iterator[Packet], stream: VideoStream, *, whole: bool
    ) -> Iterator[VideoFrame]:
        packet_count = 0
        for packet, following in _with_next(packets):
            packet_count += bool(packet.size)
            if _repeats_a_frame(packet):
                continue
            if packet.is_corrupt:
                self._note_corrupt(packet, following)
            try:
                pictures = packet.decode()
            except av.FFmpegError as error:
                self.loss.undecodable(error)
                continue
            if pictures:
                self._note_aspect(stream, pictures[0])
            yield from pictures
        # Only this family lists every packet up front, so that absent ones can be counted.
        if whole and "mp4" in self._info.container:
            self.loss.missing_packets = len(stream.index_entries) - packet_count

    def _note_aspect(self, stream: VideoStream, picture: VideoFrame) -> None:
        """Say in the log if the pixel aspect ratio changes: the output has that of the start."""
        aspect = stream.codec_context.sample_aspect_ratio or self._aspect
        # The container may say another one, which holds for the whole file.
        if aspect is not None and self._aspect is not None and aspect != self._aspect:
            first = self._info.sample_aspect_ratio
            _log.warning(
                "%s has pixels of %d:%d from %.3f s on: shown as %d:%d, as at its beginning",
                *(self._info.path, *aspect.as_integer_ratio()),
                ((picture.pts or 0) - self._info.start_pts) * self._info.time_base,
                *first.as_integer_ratio(),
            )
        self._aspect = aspect

    def _note_corrupt(self, packet: Packet, following: Sequence[Packet]) -> None:
        """Count a packet that lacks a part, unless two recordings are joined after it.

        Transport packets are numbered, and the numbers jump at a join too. FFmpeg then marks one of
        the last two frames before it, which is complete. A gap in the times shows that frames are
        lost beside a keyframe, and a jump of the video's numbers alone that a part of one is.
        """
        keyframe = next((other for other in following if other.is_keyframe), None)
        if (
            keyframe is None
            or _has_gap((packet, *following))
            or not _is_joined(self._info.path, packet, keyframe)
        ):
            self.loss.corrupt_packets += 1
            return
        self._complete.add(packet.pts)
        _log.info(
            "%s: the numbers of its transport packets jump before the keyframe at %.3f s: it is "
            "taken as joined there",
            self._info.path,
            (keyframe.pts or 0) * self._info.time_base,
        )

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
        try:
            yield from demuxed(container, [stream])
        except av.FFmpegError as error:
            self.loss.undecodable(error)
            flush = Packet()
            flush.stream = stream
            yield flush


def _with_next(packets: Iterator[Packet]) -> Iterator[tuple[Packet, Sequence[Packet]]]:
    """Every packet with the two that follow; fewer at the end."""
    window: deque[Packet] = deque()
    for packet in packets:
        window.append(packet)
        if len(window) > _LOOKAHEAD:
            yield window.popleft(), tuple(window)
    while window:
        yield window.popleft(), tuple(window)


def _has_gap(packets: Sequence[Packet]) -> bool:
    """True if a packet is decoded clearly later than the duration of the one before it allows."""
    return any(
        bool(packet.duration)
        and packet.dts is not None
        and after.dts is not None
        and after.dts - packet.dts > _LONGEST_STEP * packet.duration
        for packet, after in pairwise(packets)
    )


def _is_joined(path: Path, packet: Packet, keyframe: Packet) -> bool:
    """True if all counters of transport packets jump between two pictures; also without counters.

    A keyframe has no place if its own beginning is lost.
    """
    if packet.stream.container.format.name != "mpegts":
        return True
    begin, end = packet.pos, keyframe.pos
    if begin is None or end is None:
        return False
    return others_jump(path, begin, end, stream=packet.stream.id)


def _repeats_a_frame(packet: Packet) -> bool:
    """True for an empty packet with a time: Theora repeats the previous frame with it.

    PyAV would treat it as the end of the stream.
    """
    return packet.size == 0 and (packet.pts is not None or packet.dts is not None)
