"""Sound that no file type can hold as it is: decoded, and kept without loss as FLAC."""

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.video.container import reason_of

_log = logging.getLogger(__name__)

_LONGEST_JITTER = 0.1
"""Seconds by which times may differ from the count of samples; some containers round them."""
_SHORT_FORMATS = ("u8", "u8p", "s16", "s16p")
"""The sample formats for which 16 bits are enough; of the others FLAC keeps 24."""


class FlacTrack:
    """A stream of the output that takes the packets of a stream of the source, decoded.

    Samples are counted from the first one's time; a gap in the sound becomes silence.
    """

    def __init__(self, output: OutputContainer, source: Stream) -> None:
        self._decoder: Any = source.codec_context
        self._rate: int = self._decoder.sample_rate
        self._next_sample: int | None = None
        short = self._decoder.format.name in _SHORT_FORMATS
        target: Any = output.add_stream("flac", rate=self._rate)
        target.layout = self._decoder.layout
        target.format = "s16" if short else "s32"
        self.stream: Stream = target
        self._encode = target.encode

    def packets(self, packet: Packet | None) -> Iterator[Packet]:
        """FLAC packets for a packet of the source, possibly delayed; None flushes the encoder."""
        frames: Iterable[AudioFrame] = ()
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError as error:
            _log.warning("a piece of sound does not decode and is left out: %s", reason_of(error))
        for frame in frames:
            for counted in self._counted(frame):
                yield from self._encode(counted)
        if packet is None:
            yield from self._encode(None)

    def _counted(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """The frame with its time in samples, and silence before it where some is missing."""
        time = self._next_sample
        if frame.pts is not None and frame.time_base is not None:
            time = round(frame.pts * frame.time_base * self._rate)
        if self._next_sample is None:
            self._next_sample = time or 0
        missing = 0 if time is None else time - self._next_sample
        if missing > _LONGEST_JITTER * self._rate:
            yield self._at_next(_silence(frame, missing))
        yield self._at_next(frame)

    def _at_next(self, frame: AudioFrame) -> AudioFrame:
        assert self._next_sample is not None
        frame.pts, frame.time_base = self._next_sample, Fraction(1, self._rate)
        self._next_sample += frame.samples
        return frame


def _silence(like: AudioFrame, samples: int) -> AudioFrame:
    planes: Any = like.to_ndarray()
    width = samples * (planes.shape[1] // like.samples)
    zero = 128 if planes.dtype == np.uint8 else 0
    quiet = np.full((len(planes), width), zero, planes.dtype)
    frame = AudioFrame.from_ndarray(quiet, format=like.format.name, layout=like.layout.name)
    frame.sample_rate = like.sample_rate
    return frame
