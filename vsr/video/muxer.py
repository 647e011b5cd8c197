"""Encoding into one file, with the source's times and everything else that the source holds."""

import logging
import os
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container.output import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsr.errors import OutputError
from vsr.video.color import ColorTags, frame_from_rgb
from vsr.video.encoders import (
    ENCODERS,
    EncoderSettings,
    encoder_options,
    holds_exact_times,
    output_color,
    pixel_format,
)
from vsr.video.probe import VideoInfo, open_video, reason_of
from vsr.video.streams import (
    StreamCopier,
    TimeRange,
    kept_tags,
    log_left_out,
    streams_to_copy,
)

_log = logging.getLogger(__name__)


class Muxer:
    """One output file being written: video encoded here, all other streams copied.

    With `span.begin`, or where the source begins before zero, all times are moved so that the first
    frame is at zero; otherwise they are the source's own.
    """

    def __init__(
        self,
        path: Path,
        *,
        source: VideoInfo,
        size: tuple[int, int],
        settings: EncoderSettings,
        span: TimeRange,
    ) -> None:
        self._path = path
        self._source = source
        self._span = span
        self._codec = settings.codec_for(path)
        encoder = ENCODERS[self._codec]
        self._pix_fmt = pixel_format(encoder, settings, *size)
        if self._pix_fmt != encoder.pix_fmt and settings.pix_fmt is None:
            _log.info("%dx%d is an odd size: encoded as %s", *size, self._pix_fmt)
        self._color = output_color(source.resolved_color, self._codec, self._pix_fmt, size[1])
        self._shift: Fraction | None = None
        self._rounds_times = False
        self._frame_duration = 0
        if source.average_rate:
            self._frame_duration = round(1 / (source.average_rate * source.time_base))
        self._stack = ExitStack()
        try:
            self._open(size, settings)
        except (av.FFmpegError, ValueError) as error:
            self.abort()
            raise OutputError(f"{self._codec} cannot be set up so: {reason_of(error)}") from error
        except BaseException:
            self.abort()
            raise

    def write(self, pixels: NDArray[np.uint8], pts: int) -> None:
        """Encode one frame (RGB `h w 3`) for a time in units of the source's time base."""
        time_base = self._source.time_base
        seconds = pts * time_base
        if self._shift is None:
            self._shift = seconds if self._span.begin is not None or pts < 0 else Fraction(0)
        self._note_rounding(seconds - self._shift)
        frame = frame_from_rgb(pixels, self._pix_fmt, self._color)
        frame.pts = pts - round(self._shift / time_base)
        frame.time_base = time_base
        frame.duration = self._frame_duration
        try:
            self._copier.copy_until(seconds, shift=self._shift)
            self._output.mux(self._stream.encode(frame))
        except av.FFmpegError as error:
            raise self._write_error(error) from error

    def finish(self) -> None:
        """Write what is still held back, the rest of the other streams and the end of the file."""
        try:
            self._output.mux(self._stream.encode(None))
            self._copier.copy_until(None, shift=self._shift or Fraction(0))
            self._output.close()
        except av.FFmpegError as error:
            raise self._write_error(error) from error
        finally:
            self._stack.close()

    def abort(self) -> None:
        """Close the file without its end; errors of that do not matter any more."""
        try:
            self._stack.close()
        except (av.FFmpegError, ValueError) as error:
            _log.debug("closing the unfinished %s: %s", self._path, error)

    def _open(self, size: tuple[int, int], settings: EncoderSettings) -> None:
        source = self._source
        if holds_exact_times(self._path):
            options = {"video_track_timescale": str(source.time_base.denominator)}
        else:
            # Sound often begins a little before zero, and all times would be moved for it. So a
            # packet before zero loses its time, which Matroska cannot hold, but nothing else.
            options = {"avoid_negative_ts": "disabled"}
        self._output: OutputContainer = self._stack.enter_context(
            av.open(str(self._path.absolute()), "w", container_options=options)
        )
        self._stream = self._add_video(size, settings)
        if source.is_image_folder:
            self._copier: StreamCopier | _NothingToCopy = _NothingToCopy()
        else:
            container, video = self._stack.enter_context(open_video(source.path))
            self._stream.metadata.update(kept_tags(video))
            kept = streams_to_copy(source, container, self._path)
            log_left_out(source, container, kept)
            self._copier = StreamCopier(
                source, container, self._output, streams=kept, span=self._span
            )
        self._output.start_encoding()

    def _add_video(self, size: tuple[int, int], settings: EncoderSettings) -> VideoStream:
        source = self._source
        encoder = ENCODERS[self._codec]
        if self._codec == "av1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; the library has no other switch
        stream: Any = self._output.add_stream(
            encoder.name,
            rate=source.average_rate or Fraction(25),
            options=encoder_options(encoder, settings),
        )
        context = stream.codec_context
        context.width, context.height = size
        context.pix_fmt = self._pix_fmt
        context.time_base = source.time_base
        stream.time_base = source.time_base
        context.sample_aspect_ratio = source.sample_aspect_ratio
        _tag_color(context, self._color)
        context.thread_count = 0
        context.thread_type = "AUTO"
        if self._codec == "x265" and holds_exact_times(self._path):
            context.codec_tag = "hvc1"  # the tag that Apple's players ask for
        if source.display_matrix is not None:
            stream.set_display_matrix(_enlarged_matrix(source, size))
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


class _NothingToCopy:
    """Stands for the other streams of a source that has none."""

    def copy_until(self, seconds: Fraction | None, *, shift: Fraction) -> None:
        """Do nothing."""


def _tag_color(context: Any, color: ColorTags) -> None:
    context.color_primaries = color.primaries
    context.color_trc = color.transfer
    context.colorspace = color.matrix
    context.color_range = color.range


def _enlarged_matrix(source: VideoInfo, size: tuple[int, int]) -> list[int]:
    """The display matrix with its shift (16.16 fixed point pixels) for the new size."""
    assert source.display_matrix is not None
    matrix = list(source.display_matrix)
    matrix[6] = matrix[6] * size[0] // source.width
    matrix[7] = matrix[7] * size[1] // source.height
    return matrix
