"""One stream of the source on its way into an output: copied or converted, in rising order."""

import logging
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container.output import OutputContainer
from av.packet import Packet
from av.stream import Stream

from vsr.errors import OutputError
from vsr.video.container import codec_context
from vsr.video.writing.lossless import LosslessTrack, lossless_track
from vsr.video.writing.packet_order import PacketOrder

_log = logging.getLogger(__name__)

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
"""The usual order of channels of a sound that does not say it, by their number."""


class Track:
    """Muxes the packets of one stream of the source, in an order that the muxer takes.

    `refused` has the numbers of the packets that it did not take, counted from the first one that
    came. Those in `skip` are not tried. With `codec` the sound is decoded, and encoded by it.
    """

    def __init__(
        self,
        output: OutputContainer,
        source: Path,
        template: Stream,
        *,
        codec: str | None = None,
        skip: frozenset[int] = frozenset(),
    ) -> None:
        self._output = output
        self._converter: LosslessTrack | None = None
        if codec is None:
            self.stream = _copied_stream(output, template)
        else:
            self._converter = lossless_track(output, source, template, codec)
            self.stream = self._converter.stream
        self._skip = skip
        self.order = PacketOrder()
        self.count = 0
        self.refused = set[int]()

    @property
    def is_surprised(self) -> bool:
        """True if a packet was refused that was not to be skipped."""
        return not self.refused.issubset(self._skip)

    def write(self, packet: Packet, *, shift: Fraction) -> None:
        """Mux a packet of the source, `shift` s earlier."""
        number, self.count = self.count, self.count + 1
        if number in self._skip:
            self.refused.add(number)
        elif self._converter is None:
            packet.stream = self.stream
            self._mux([packet], number, shift)
        else:
            self._mux(self._converter.packets(packet), number, shift)

    def finish(self, *, shift: Fraction) -> None:
        """Mux the packets that a converter still holds."""
        if self._converter is not None:
            self._mux(self._converter.packets(None), self.count - 1, shift)

    def _mux(self, packets: Iterable[Packet], number: int, shift: Fraction) -> None:
        for packet in packets:
            offset = round(shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - offset
            packet.dts = None if packet.dts is None else packet.dts - offset
            if packet.stream.type == "subtitle" and packet.pts is not None and packet.pts < 0:
                packet.pts = packet.dts = 0  # shown since before the first frame
            self.order.move(packet)
            try:
                self._output.mux(packet)
            except av.FFmpegError as error:
                if not is_refusal(error):
                    raise
                # One packet of sound or of subtitles is no reason to lose the film.
                self.refused.add(number)
                _log.debug("packet %d of a stream at %s: %s", number, packet.pts, error)


def is_refusal(error: Exception) -> bool:
    """True if a muxer does not take a packet, a header or an end; false if the disk does not."""
    return isinstance(error, av.FFmpegError) and not isinstance(error, (OSError, MemoryError))


REFUSALS = (av.FFmpegError, OutputError, ValueError, AttributeError)
"""Errors of a stream that cannot be set up; the last two are PyAV's, without a decoder."""


def _copied_stream(output: OutputContainer, template: Stream) -> Stream:
    """A stream of the output with the template's header. MP4 wants to know which channel is which:
    it gets the usual order where the source says only how many there are.
    """
    stream = output.add_stream_from_template(template, opaque=True)
    context: Any = codec_context(stream)
    if isinstance(context, av.AudioCodecContext):
        layout = context.layout
        if layout.name == f"{layout.nb_channels} channels" and layout.nb_channels in _LAYOUTS:
            context.layout = _LAYOUTS[layout.nb_channels]
    return stream
