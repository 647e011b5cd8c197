"""Sound that no file type can hold as it is: decoded, and kept without loss as FLAC or PCM."""

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.errors import OutputError
from vsr.video.container import TAG_ERRORS, reason_of

_log = logging.getLogger(__name__)

LOSSLESS_CODECS = {".mkv": "flac", ".mp4": "flac", ".m4v": "flac", ".mov": "pcm"}
"""The codec without loss that each file type holds, with any number of channels."""

_LONGEST_JITTER = 0.1
"""Seconds by which times may differ from the count of samples; some containers round them."""
_SHORT_FORMATS = ("u8", "u8p", "s16", "s16p")
"""The sample formats for which 16 bits are enough; of the others 24 are kept."""
_FIRST_PACKETS = 100
"""Packets of a sound in which one has to decode, or it is no sound that can be kept."""


class LosslessTrack:
    """A stream of the output that takes the packets of a stream of the source, decoded.

    Samples are counted from the first one's time; a gap in the sound becomes silence. A format that
    changes inside the sound becomes that of its beginning.
    """

    def __init__(
        self, output: OutputContainer, source: Stream, *, like: AudioFrame, codec: str = "flac"
    ) -> None:
        """Add the stream to `output`, in the format of `like`, the first frame that decodes."""
        self._decoder: Any = source.codec_context
        self._rate = like.sample_rate
        self._form = (like.format.name, like.layout.name, like.sample_rate)
        self._resampler = AudioResampler(*self._form)
        self._latest_form = self._form
        self._next_sample: int | None = None
        short = like.format.name in _SHORT_FORMATS
        encoder = codec if codec == "flac" else "pcm_s16le" if short else "pcm_s24le"
        target: Any = output.add_stream(encoder, rate=self._rate)
        target.layout = like.layout
        target.format = "s16" if short else "s32"
        self.stream: Stream = target
        self._encode = target.encode

    def packets(self, packet: Packet | None) -> Iterator[Packet]:
        """Encoded packets for a packet of the source, maybe delayed; None flushes the encoder."""
        frames: Iterable[AudioFrame] = ()
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError as error:
            _log.warning("a piece of sound does not decode and is left out: %s", reason_of(error))
        for frame in frames:
            for alike in self._in_form(frame):
                for counted in self._counted(alike):
                    yield from self._encode(counted)
        if packet is None and self._next_sample is not None:
            yield from self._encode(None)

    def _in_form(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """The frame in the format of the first one."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form == self._form:
            yield frame
            return
        if form != self._latest_form:
            self._resampler = AudioResampler(*self._form)
            self._latest_form = form
        yield from self._resampler.resample(frame)

    def _counted(self, frame: AudioFrame) -> Iterator[AudioFrame]:
        """The frame with its time in samples, and silence before it where some is missing."""
        time = self._next_sample
        if frame.pts is not None and frame.time_base is not None:
            time = round(frame.pts * frame.time_base * self._rate)
        if self._next_sample is None:
            self._next_sample = time or 0
        missing = 0 if time is None else time - self._next_sample
        if missing > _LONGEST_JITTER * self._rate:
            for piece in _pieces(missing, self._rate):
                yield self._at_next(_silence(frame, piece))
        yield self._at_next(frame)

    def _at_next(self, frame: AudioFrame) -> AudioFrame:
        assert self._next_sample is not None
        frame.pts, frame.time_base = self._next_sample, Fraction(1, self._rate)
        self._next_sample += frame.samples
        return frame


def first_sound(source: Path, index: int) -> AudioFrame | None:
    """The first frame of a sound that decodes, by a reading of its own; None if none does.

    Only a frame tells the format of some sounds: neither their header nor their decoder does.
    """
    with av.open(str(source.absolute()), metadata_errors=TAG_ERRORS) as container:
        stream = container.streams[index]
        for number, packet in enumerate(container.demux(stream)):
            if number == _FIRST_PACKETS:
                break
            try:
                frames: list[Any] = packet.decode()
            except av.FFmpegError as error:
                _log.debug("packet %d of stream %d: %s", number, index, error)
                continue
            if frames and frames[0].samples and frames[0].sample_rate:
                return frames[0]
    return None


def lossless_track(
    output: OutputContainer, source: Path, template: Stream, codec: str
) -> LosslessTrack:
    """The track for a sound of the source; OutputError if none of its beginning decodes."""
    like = first_sound(source, template.index)
    if like is None:
        raise OutputError(f"the sound of stream {template.index} does not decode")
    return LosslessTrack(output, template, like=like, codec=codec)


def _pieces(samples: int, most: int) -> Iterator[int]:
    """Numbers that add up to `samples`, each of at most `most`: a gap can last for hours."""
    while samples > 0:
        yield min(samples, most)
        samples -= most


def _silence(like: AudioFrame, samples: int) -> AudioFrame:
    planes: Any = like.to_ndarray()
    width = samples * (planes.shape[1] // like.samples)
    zero = 128 if planes.dtype == np.uint8 else 0
    quiet = np.full((len(planes), width), zero, planes.dtype)
    frame = AudioFrame.from_ndarray(quiet, format=like.format.name, layout=like.layout.name)
    frame.sample_rate = like.sample_rate
    return frame
