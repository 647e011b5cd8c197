"""GIF and APNG: the parts of an output, which are pictures, made into one animation."""

import logging
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsr.errors import OutputError
from vsr.video.container import open_video, reason_of
from vsr.video.images import decode_image, upright
from vsr.video.mark import mark_animation
from vsr.video.pixels import Pixels
from vsr.video.probe import VideoInfo
from vsr.video.writing.parts import Part
from vsr.video.writing.stream_fates import profile_loss

_log = logging.getLogger(__name__)

_TIME_BASES = {"gif": Fraction(1, 100), "apng": Fraction(1, 100_000)}
_NETSCAPE = b"NETSCAPE2.0\x03\x01"
"""The GIF extension that is followed by the number of repetitions (0: without end)."""
_DITHER = "dither=sierra2_4a:diff_mode=rectangle"
_USUAL_RATE = Fraction(25)


class AnimationFile:
    """An animation being written from the PNG pictures of parts, with the source's own delays.

    GIF gets one palette for all, so the pictures wait in a file without a name until the last one
    is known. It is played as often as the source is, and without end where that is no animation.
    A rotation, which it has no tag for, is done.
    """

    def __init__(self, path: Path, *, source: VideoInfo, codec: str) -> None:
        self._path = path
        self._source = source
        self._codec = codec
        self._pictures = _Spool(path.parent)
        if (loss := profile_loss(source, path)) is not None:
            _log.warning("%s: %s", source.path, loss)
        others = [str(stream) for stream in source.streams if stream.index != source.stream_index]
        if others:
            _log.warning(
                "%s holds pictures only: these streams of %s are left out: %s",
                path.suffix,
                source.path,
                "; ".join(others),
            )

    def add(self, part: Part) -> None:
        """Keep the next pictures."""
        for frame in part.frames:
            self._pictures.add(frame.data, frame.pts)

    def finish(self) -> None:
        """Encode the pictures that were kept."""
        times = self._pictures.times
        delays = self._delays(times)
        try:
            with av.open(
                str(self._path.absolute()), "w", format=self._codec, container_options=delays
            ) as output:
                self._encode(output)
            mark_animation(self._path)
        except (av.FFmpegError, OSError) as error:
            raise OutputError(f"{self._path} cannot be written: {reason_of(error)}") from error
        finally:
            self._pictures.close()

    def abort(self) -> None:
        """Forget the pictures."""
        self._pictures.close()

    def _encode(self, output: Any) -> None:
        frames: Callable[[], Iterator[VideoFrame]] = self._frames
        first = next(frames())
        stream: VideoStream = output.add_stream(
            self._codec, rate=self._source.average_rate or _USUAL_RATE
        )
        stream.width, stream.height = first.width, first.height
        stream.codec_context.time_base = _TIME_BASES[self._codec]
        if self._codec == "gif":
            stream.pix_fmt = "pal8"
            pictures = _with_palette(frames, _palette(frames))
        else:
            stream.pix_fmt = "rgb24" if first.format.name == "rgb24" else "rgb48be"
            pictures = (frame.reformat(format=stream.pix_fmt) for frame in frames())
        for frame in pictures:
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))

    def _frames(self) -> Iterator[VideoFrame]:
        time_base = _TIME_BASES[self._codec]
        begin = self._pictures.times[0]
        last = -1
        for pixels, pts in self._pictures:
            seconds = (pts - begin) * self._source.time_base
            pixels = upright(pixels, self._source.rotation)
            frame = VideoFrame.from_ndarray(pixels, "rgb24" if pixels.itemsize == 1 else "rgb48le")
            last = max(last + 1, round(seconds / time_base))
            frame.pts, frame.time_base = last, time_base
            yield frame

    def _delays(self, times: list[int]) -> dict[str, str]:
        """The muxer's options: how often it is played and how long the last picture is shown."""
        time_base = _TIME_BASES[self._codec]
        unit = self._source.time_base / time_base
        if any(((pts - times[0]) * unit).denominator > 1 for pts in times):
            _log.info(
                "%s keeps times to %s s only: those of this source are rounded",
                self._path.suffix,
                f"{float(time_base):g}",
            )
        last = _last_duration(self._source, times[-1])
        plays = play_count(self._source.path)
        if self._codec == "gif":
            # The muxer counts repetitions: -1 are none, and 0 is without end.
            repetitions = {0: 0, 1: -1}.get(plays, plays - 1)
            return {"loop": str(repetitions), "final_delay": str(round(last * 100))}
        whole = last.limit_denominator(65535)
        return {"plays": str(plays), "final_delay": f"{whole.numerator}/{whole.denominator}"}


def play_count(path: Path) -> int:
    """Number of times that an animation is played; 0 (endless) also for other files."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if head.startswith(b"GIF8"):
        at = head.find(_NETSCAPE)
        if at < 0:
            return 1
        repetitions = struct.unpack_from("<H", head, at + len(_NETSCAPE))[0]
        return repetitions + 1 if repetitions else 0
    at = head.find(b"acTL")
    if head.startswith(b"\x89PNG") and at >= 0:
        return struct.unpack_from(">I", head, at + 8)[0]
    return 0


def _last_duration(source: VideoInfo, last_pts: int) -> Fraction:
    """Seconds for which the source shows the picture of a time."""
    if source.container in _TIME_BASES:
        with open_video(source.path) as (container, stream):
            for packet in container.demux(stream):
                if packet.pts == last_pts and packet.duration:
                    return packet.duration * packet.time_base
    return 1 / (source.average_rate or _USUAL_RATE)


class _Spool:
    """PNG pictures with their times, one after the other in a file without a name."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by close)
        self._sizes: list[int] = []
        self.times: list[int] = []

    def add(self, data: bytes, pts: int) -> None:
        self._file.write(data)
        self._sizes.append(len(data))
        self.times.append(pts)

    def __iter__(self) -> Iterator[tuple[Pixels, int]]:
        self._file.seek(0)
        for size, pts in zip(self._sizes, self.times, strict=True):
            yield decode_image(self._file.read(size)), pts

    def close(self) -> None:
        self._file.close()


def _palette(frames: Callable[[], Iterator[VideoFrame]]) -> VideoFrame:
    """The 256 colours that serve all frames best; FFmpeg holds no more than their histogram."""
    graph, source, sink = Graph(), None, None
    for frame in frames():
        if source is None:
            source = _buffer(graph, frame)
            node, sink = graph.add("palettegen"), graph.add("buffersink")
            graph.link_nodes(source, node, sink)
            graph.configure()
        assert sink is not None
        source.push(frame)
        with suppress(av.BlockingIOError):  # asking counts the frame, which would wait in memory
            sink.pull()
    assert source is not None and sink is not None
    source.push(None)
    palette: Any = sink.pull()
    return palette


def _with_palette(
    frames: Callable[[], Iterator[VideoFrame]], palette: VideoFrame
) -> Iterator[VideoFrame]:
    graph = Graph()
    source = _buffer(graph, next(frames()))
    palette.time_base = _TIME_BASES["gif"]
    colors = _buffer(graph, palette)
    node, sink = graph.add("paletteuse", _DITHER), graph.add("buffersink")
    source.link_to(node, 0, 0)
    colors.link_to(node, 0, 1)
    node.link_to(sink)
    graph.configure()
    palette.pts = 0
    colors.push(palette)
    colors.push(None)
    for frame in chain(frames(), (None,)):
        source.push(frame)
        while True:
            try:
                reduced: Any = sink.pull()
            except (av.BlockingIOError, av.EOFError):
                break
            yield reduced


def _buffer(graph: Graph, template: VideoFrame) -> Any:
    return graph.add_buffer(
        width=template.width,
        height=template.height,
        format=template.format,
        time_base=template.time_base,
    )
