"""Joining parts into one file, with the source's times and everything else that it holds."""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container.output import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from vsr.errors import InputError, OutputError
from vsr.runtime.scheduling import ordinary_threads
from vsr.video.container import TAG_ERRORS, open_video, reason_of
from vsr.video.mark import MARK, MARK_TAG
from vsr.video.probe import VideoInfo
from vsr.video.writing.encoders import ENCODERS, holds_exact_times
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.parts import Part
from vsr.video.writing.stream_copier import StreamCopier, kept_tags, tag_options
from vsr.video.writing.stream_fates import container_losses, streams_to_copy
from vsr.video.writing.time_range import WHOLE, TimeRange
from vsr.video.writing.tracks import is_refusal
from vsr.video.writing.trial_join import FORMATS, muxer_options

_log = logging.getLogger(__name__)

_MOST_OF_FRAMES = 0.75
"""A source is damaged if it gives less than this share of its estimated number of frames."""


class PicturesRefusedError(OutputError):
    """The file type does not take all pictures; another one would."""


class Muxer:
    """One output file being written: the parts of the video and all other streams, copied.

    With `span.begin`, or where the source begins before zero, all times are moved so that the first
    frame is at zero; otherwise they are the source's own. The same parts give the same bytes.

    `delay` is the largest one of the parts to come; None: that of the first.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: VideoInfo,
        encoding: Encoding,
        span: TimeRange,
        delay: int | None = None,
    ) -> None:
        self._path = path
        self._source = source
        self._encoding = encoding
        self._span = span
        self._delay = delay
        self._decode_times: _DecodeTimes | None = None
        self._last_part: Part | None = None
        self._frame_count = 0
        self._shift = Fraction(0)
        self._rounds_times = False
        self._refusal: str | None = None
        self._stack = ExitStack()
        try:
            self._open()
        except (av.FFmpegError, ValueError) as error:
            self.abort()
            raise OutputError(
                f"{encoding.codec} cannot be set up so: {reason_of(error)}"
            ) from error
        except BaseException:
            self.abort()
            raise

    def add(self, part: Part) -> None:
        """Copy the frames of the next part; OutputError if its encoder or settings differ."""
        if part.header != bytes(self._stream.codec_context.extradata or b""):
            raise OutputError(
                f"a part of {self._path} was encoded by another {self._encoding.codec}, or with "
                "other settings: start over with --restart"
            )
        if self._last_part is not None:
            self._write(self._last_part, end=min(frame.pts for frame in part.frames))
        self._last_part = part
        self._frame_count += len(part.frames)

    def finish(self) -> None:
        """Write the last part, the rest of the other streams and the end of the file."""
        try:
            if self._last_part is not None:
                self._write(self._last_part, end=self._end())
            self._copier.copy_until(None, shift=self._shift)
            self._output.close()
        except av.FFmpegError as error:
            if not is_refusal(error):
                raise self._write_error(error) from error
            self._refusal = self._refusal or reason_of(error)
        finally:
            self._stack.close()
        self._check_pictures()

    def _write(self, part: Part, *, end: int | None) -> None:
        """Mux a part; `end` is the pts at which its last picture ends, if known."""
        times = sorted(frame.pts for frame in part.frames)
        if self._decode_times is None:
            self._begin(times[0], part.delay if self._delay is None else self._delay)
        assert self._decode_times is not None
        time_base = self._source.time_base
        shift = round(self._shift / time_base)
        durations = self._unusual_durations(part, times, end)
        try:
            for frame, dts in zip(part.frames, self._decode_times.after(times), strict=True):
                self._note_rounding((frame.pts - shift) * time_base)
                self._copier.copy_until(dts * time_base, shift=self._shift)
                packet = Packet(frame.data)
                packet.stream = self._stream
                packet.time_base = time_base
                packet.pts, packet.dts = frame.pts - shift, dts - shift
                packet.is_keyframe = frame.is_keyframe
                packet.duration = durations.get(frame.pts, 0)
                self._mux(packet)
        except av.FFmpegError as error:
            raise self._write_error(error) from error

    def _mux(self, packet: Packet) -> None:
        """Mux a picture. A refusal may concern a packet of another stream that was waiting."""
        seconds = (packet.pts or 0) * packet.time_base
        try:
            self._output.mux_one(packet)
        except av.FFmpegError as error:
            if not is_refusal(error):
                raise
            _log.debug("at %.3f s of %s: %s", seconds, self._path, error)
            self._refusal = self._refusal or f"{reason_of(error)} at {float(seconds):.3f} s"

    def _check_pictures(self) -> None:
        """Raise PicturesRefusedError if pictures are missing after any packet was refused."""
        if self._refusal is None and not self._copier.is_surprised:
            return
        written = _picture_count(self._path)
        if written < self._frame_count:
            missing = self._frame_count - written
            raise PicturesRefusedError(
                f"{self._path.suffix} does not take {missing} of {self._frame_count} pictures at "
                f"their times{'' if self._refusal is None else f' ({self._refusal})'}: write to "
                f"{'.mp4' if self._path.suffix.lower() == '.mkv' else '.mkv'}"
            )
        if self._refusal is not None:
            suffix = self._path.suffix
            _log.warning("%s does not take a packet beside the video: %s", suffix, self._refusal)

    def _end(self) -> int | None:
        """The pts at which the last picture of the film ends; None if unknown."""
        source, part = self._source, self._last_part
        assert part is not None
        if source.duration is None or not source.has_own_duration or self._is_truncated():
            return None
        end = source.start_pts + round(source.duration / source.time_base)
        if self._span.end is not None:
            end = min(end, round(self._span.end / source.time_base))
        return end if end > max(frame.pts for frame in part.frames) else None

    def _unusual_durations(self, part: Part, times: list[int], end: int | None) -> dict[int, int]:
        """Durations by pts of the pictures shown clearly longer or shorter than the rate says.

        FFmpeg gives the other pictures the duration of the rate. MP4 and MOV end with the picture
        that is decoded last, which therefore lasts until `end`.
        """
        usual = self._encoding.frame_duration
        ends = times[1:] if end is None else [*times[1:], end]
        durations = {pts: after - pts for pts, after in zip(times, ends, strict=False)}
        unusual = {pts: long for pts, long in durations.items() if abs(long - usual) > usual / 2}
        if end is not None and times[-1] in unusual and holds_exact_times(self._path):
            last_decoded = part.frames[-1].pts
            unusual[last_decoded] = end - last_decoded
        return unusual

    def _is_truncated(self) -> bool:
        """True if clearly fewer frames came than the source announces."""
        expected, whole = self._source.frame_count, self._span == WHOLE
        return whole and expected is not None and self._frame_count < _MOST_OF_FRAMES * expected

    def abort(self) -> None:
        """Close the unfinished file; errors no longer matter."""
        try:
            self._stack.close()
        except (av.FFmpegError, ValueError) as error:
            _log.debug("closing the unfinished %s: %s", self._path, error)

    def _begin(self, first_pts: int, delay: int) -> None:
        if self._span.begin is not None or first_pts < 0:
            self._shift = first_pts * self._source.time_base
        self._decode_times = _DecodeTimes(first_pts, delay, self._encoding.frame_duration)

    def _open(self) -> None:
        source = self._source
        for loss in container_losses(source, self._path):
            _log.warning("%s: %s", source.path, loss)
        options = muxer_options(self._path)
        if holds_exact_times(self._path):
            options["video_track_timescale"] = str(source.time_base.denominator)
            options |= tag_options(source, self._path)
        self._output: OutputContainer = self._stack.enter_context(
            av.open(
                str(self._path.absolute()),
                "w",
                format=FORMATS[self._path.suffix.lower()],
                container_options=options,
                metadata_errors=TAG_ERRORS,
            )
        )
        self._stream = self._add_video()
        if source.is_image_folder:
            self._copier: StreamCopier | _NothingToCopy = _NothingToCopy()
        else:
            container, video = self._stack.enter_context(
                open_video(source.path, playlists=source.is_playlist)
            )
            tags = kept_tags(video, self._output)
            self._stream.metadata.update(tags)
            if "stereo_mode" in tags and holds_exact_times(self._path):
                _log.warning(
                    "%s: the tag of a stereoscopic film is left out; .mkv holds it", source.path
                )
            self._stream.disposition = video.disposition
            kept = streams_to_copy(source, container, self._path, span=self._span)
            self._copier = StreamCopier(
                source, container, self._output, streams=kept, span=self._span
            )
        self._stream.metadata[MARK_TAG] = MARK
        with ordinary_threads():  # it opens the encoder
            self._output.start_encoding()

    def _add_video(self) -> VideoStream:
        """The video stream. Its encoder only makes the header: it never gets a frame."""
        source, encoding = self._source, self._encoding
        stream: Any = self._output.add_stream(
            ENCODERS[encoding.codec].name, rate=encoding.rate, options=dict(encoding.options)
        )
        context = stream.codec_context
        encoding.configure(context)
        stream.time_base = source.time_base
        if encoding.codec == "x265" and holds_exact_times(self._path):
            context.codec_tag = "hvc1"  # the tag that Apple's players ask for
        if source.display_matrix is not None:
            stream.set_display_matrix(_enlarged_matrix(source, encoding.width, encoding.height))
        return stream

    def _note_rounding(self, seconds: Fraction) -> None:
        if self._rounds_times or holds_exact_times(self._path):
            return
        if (seconds * 1000).denominator != 1:
            self._rounds_times = True
            _log.info(
                "%s keeps times to 1 ms only: those of this source are rounded; .mp4 and .mov "
                "keep them exactly",
                self._path.suffix,
            )

    def _write_error(self, error: av.FFmpegError) -> OutputError:
        return OutputError(f"{self._path} cannot be written: {reason_of(error)}")


def _picture_count(path: Path) -> int:
    """The number of pictures in a film; 0 if it cannot be read."""
    try:
        with open_video(path) as (container, stream):
            return sum(packet.size > 0 for packet in container.demux(stream))
    except (InputError, av.FFmpegError):
        return 0


class _DecodeTimes:
    """Decode times: each frame is decoded when the frame `delay` places before it is shown.

    The decode times of a part begin before its first frame is shown, so they would overlap those
    of the part before. Times taken from places do not depend on the ends of parts, and every frame
    is still decoded before it is shown, because no part needs more than its own delay.
    """

    def __init__(self, first_pts: int, delay: int, step: int) -> None:
        self._waiting = deque(first_pts - step * place for place in range(delay, 0, -1))

    def after(self, times: list[int]) -> Iterator[int]:
        """The decode times of the next part, whose frames are shown at `times` (ascending)."""
        for pts in times:
            self._waiting.append(pts)
            yield self._waiting.popleft()


class _NothingToCopy:
    """Stands for the other streams of a source that has none."""

    is_surprised = False

    def copy_until(self, seconds: Fraction | None, *, shift: Fraction) -> None:
        """Do nothing."""


def _enlarged_matrix(source: VideoInfo, width: int, height: int) -> list[int]:
    """The display matrix with its shift (16.16 fixed point pixels) for the new size."""
    assert source.display_matrix is not None
    matrix = list(source.display_matrix)
    matrix[6] = matrix[6] * width // source.width
    matrix[7] = matrix[7] * height // source.height
    return matrix
