"""The encoding of an output's pictures, which all its parts share."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.codec.context import CodecContext, Flags
from av.video.codeccontext import VideoCodecContext

from vsr.errors import OutputError
from vsr.runtime.scheduling import ordinary_threads
from vsr.video.color import ColorTags
from vsr.video.container import reason_of
from vsr.video.probe import VideoInfo
from vsr.video.writing.encoders import (
    ENCODERS,
    EncoderSettings,
    encoder_options,
    losses,
    output_color,
    output_siting,
    pixel_format,
    siting_options,
)

_log = logging.getLogger(__name__)

_INTRA = ("prores", "ffv1")
_THREADS = 8
"""x264 writes other bytes with another number of threads, so it cannot be that of the machine."""
_USUAL_RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Everything that an encoder needs before the first frame; times in units of `time_base`.

    Two encoders of the same encoding write the same header, so their parts can follow each other
    in one file.
    """

    codec: str
    width: int
    height: int
    pix_fmt: str
    color: ColorTags
    time_base: Fraction
    rate: Fraction
    sample_aspect_ratio: Fraction
    options: Mapping[str, str]
    siting: str | None = None

    @classmethod
    def of(
        cls, source: VideoInfo, codec: str, size: tuple[int, int], settings: EncoderSettings
    ) -> "Encoding":
        """The encoding of `source` by `codec` (one of ENCODERS) at a size (width, height)."""
        encoder = ENCODERS[codec]
        width, height = size
        pix_fmt = pixel_format(encoder, settings, source.pix_fmt, width=width, height=height)
        siting = output_siting(source.siting, codec, pix_fmt)
        if (width % 2 or height % 2) and settings.pix_fmt is None:
            _log.info("%dx%d is an odd size: encoded as %s", *size, pix_fmt)
        for loss in losses(encoder, source.pix_fmt, pix_fmt, hdr=source.hdr):
            _log.warning("%s: %s", source.path, loss)
        return cls(
            codec=codec,
            width=size[0],
            height=size[1],
            pix_fmt=pix_fmt,
            color=output_color(source.resolved_color, codec, pix_fmt, size[1]),
            time_base=source.time_base,
            rate=source.average_rate or _USUAL_RATE,
            sample_aspect_ratio=source.sample_aspect_ratio,
            options={
                **encoder_options(encoder, settings, pix_fmt=pix_fmt, hdr=source.hdr),
                **siting_options(siting, pix_fmt),
            },
            siting=siting,
        )

    @property
    def is_intra(self) -> bool:
        """True if every frame is a keyframe, so that short parts cost nothing."""
        return self.codec in _INTRA

    @property
    def frame_duration(self) -> int:
        """Duration of a frame at the average rate, in units of `time_base`."""
        return max(1, round(1 / (self.rate * self.time_base)))

    def new_context(self) -> VideoCodecContext:
        """A new, opened encoder that keeps its header apart from the packets.

        Raises OutputError for settings that the encoder refuses.
        """
        context = CodecContext.create(ENCODERS[self.codec].name, "w")
        assert isinstance(context, VideoCodecContext)
        context.framerate = self.rate
        context.options = dict(self.options)
        try:
            self.configure(context)
            with ordinary_threads():
                context.open()
        except (av.FFmpegError, ValueError) as error:
            raise OutputError(f"{self.codec} cannot be set up so: {reason_of(error)}") from error
        return context

    def configure(self, context: Any) -> None:
        """Set everything but the options and the rate of an encoder that is not open yet."""
        if self.codec == "av1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; the library has no other switch
        context.width, context.height = self.width, self.height
        context.pix_fmt = self.pix_fmt
        context.time_base = self.time_base
        context.sample_aspect_ratio = self.sample_aspect_ratio
        context.color_primaries = self.color.primaries
        context.color_trc = self.color.transfer
        context.colorspace = self.color.matrix
        context.color_range = self.color.range
        context.thread_count = _THREADS
        context.thread_type = "AUTO"
        context.flags |= Flags.global_header
