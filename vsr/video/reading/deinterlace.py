"""Interlaced video: recognised by FFmpeg's idet and by its combs, and its frames made whole."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.container.input import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsr.errors import InputError
from vsr.video.container import open_video
from vsr.video.pixels import depth_of, is_rgb

CONTEXT_FRAMES = 4
"""Frames before the first wanted one that are given to the filters, which look at neighbours."""

_MIN_HEIGHT, _MAX_HEIGHT = 16, 1152
"""No interlaced system has more lines; judging pictures holds many of them in memory."""
_MOST_FRAMES, _ENOUGH_FRAMES = 500, 100
"""Frames are analysed until `_ENOUGH_FRAMES` of them move, `_MOST_FRAMES` at most."""
_MOVED_LEVELS = 8
_FEWEST_MOVED = 20
"""Combs count only where this many pixels differ by that many levels from the frame before."""
_COMBED_SHARE, _COMBED_SHARE_OF_TELECINE = 0.25, 0.15
_FLAGGED_COMB = 0.75
"""Photographed progressive frames comb by 0.35 to 0.6, interlaced ones by 0.8 to 1.6."""
_REPEATED_SHARE = 0.08
"""3:2 pulldown repeats a top field in one frame of five, and a bottom field in another."""
_BOTTOM_FIRST_ORDERS = (3, 5)
"""FFmpeg's AV_FIELD_BB and AV_FIELD_BT."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The field structure of a video; `top_first`: the top field is the earlier one."""

    kind: Literal["progressive", "interlaced", "telecined"]
    top_first: bool = True

    def __str__(self) -> str:
        if self.kind == "progressive":
            return self.kind
        return f"{self.kind}, {'top' if self.top_first else 'bottom'} field first"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence of fields: votes of the idet filter, and the comb strength of moving frames."""

    votes: Counter[str]
    repeats: Counter[str]
    combs: tuple[float, ...]
    flagged: bool
    bottom_first_flag: bool

    def verdict(self) -> Fields:
        """The kind of fields; the container's flag decides where the pictures do not."""
        tff, bff = self.votes["tff"], self.votes["bff"]
        top_first = tff > bff if tff != bff else not self.bottom_first_flag
        determined = tff + bff + self.votes["progressive"]
        if not self.combs or determined == 0:
            return Fields("interlaced" if self.flagged else "progressive", top_first)
        if max(tff, bff) <= determined / 2:
            return Fields("progressive", top_first)
        combed = sum(comb > 1 for comb in self.combs) / len(self.combs)
        repeated = min(self.repeats["top"], self.repeats["bottom"]) / self.repeats.total()
        if repeated > _REPEATED_SHARE and combed > _COMBED_SHARE_OF_TELECINE:
            return Fields("telecined", top_first)
        flag_agrees = self.flagged and float(np.median(self.combs)) > _FLAGGED_COMB
        kind = "interlaced" if combed > _COMBED_SHARE or flag_agrees else "progressive"
        return Fields(kind, top_first)


def fields_of(path: Path, *, playlists: bool = False) -> Fields:
    """The field structure of a video file, judged by its first frames."""
    with open_video(path, playlists=playlists) as (container, stream):
        stream.thread_type = "AUTO"
        order = stream.codec_context.field_order
        return recognise_fields(_decodable(container, stream), field_order=order)


def recognise_fields(pictures: Iterable[VideoFrame], *, field_order: int) -> Fields:
    """The field structure of a video's first pictures; `field_order` is FFmpeg's number for it.

    Takes only as many of `pictures` as it needs, 500 at most.
    """
    pictures = iter(pictures)
    first = next(pictures, None)
    if first is None or not may_have_fields(first):
        return Fields("progressive")
    votes: Counter[str] = Counter()
    repeats: Counter[str] = Counter()
    combs: list[float] = []
    graph = FilterChain(first, [("idet", None)])
    before: NDArray[np.int16] | None = None
    flagged = False
    same = takewhile(lambda picture: form_of(picture) == form_of(first), pictures)
    for picture in islice(chain((first,), same), _MOST_FRAMES):
        flagged = flagged or picture.interlaced_frame
        for judged in graph.through(picture):
            _count(judged, votes, repeats)
        luma = luma_of(picture)
        if before is not None:
            combs += comb_strength(luma, before)
        before = luma
        if len(combs) >= _ENOUGH_FRAMES:
            break
    for judged in graph.through(None):
        _count(judged, votes, repeats)
    bottom_first = field_order in _BOTTOM_FIRST_ORDERS
    return Evidence(votes, repeats, tuple(combs), flagged, bottom_first).verdict()


class Deinterlacer:
    """Makes pictures whole, with a pts each: as many as before, at the same times.

    Interlaced ones get the other field's lines by bwdif. Telecined ones of 8 bits get the fields of
    one film frame matched, and bwdif where none match, so that every fifth repeats another.
    """

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._form: tuple[int, int, str] | None = None
        self._filters: FilterChain | None = None
        self._waiting: deque[int | None] = deque()

    def push(self, picture: VideoFrame, pts: int | None) -> Iterator[tuple[VideoFrame, int]]:
        """Add a picture, and give those that are whole; one without a pts is a mere neighbour."""
        if form_of(picture) != self._form:
            yield from self.flush()
            self._form = form_of(picture)
            self._filters = FilterChain(picture, _filters(picture, self._fields))
        assert self._filters is not None
        self._waiting.append(pts)
        yield from self._timed(self._filters.through(picture))

    def flush(self) -> Iterator[tuple[VideoFrame, int]]:
        """Give the pictures that are left."""
        if self._filters is not None:
            yield from self._timed(self._filters.through(None))
        self._filters, self._form = None, None
        assert not self._waiting, "these filters give as many frames as they take"

    def _timed(self, filtered: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, int]]:
        for picture in filtered:
            pts = self._waiting.popleft()
            if pts is not None:
                yield picture, pts


def deinterlaced(
    pictures: Iterable[tuple[VideoFrame, int]], fields: Fields
) -> Iterator[tuple[VideoFrame, int]]:
    """Every picture with its pts, made whole as `Deinterlacer` does."""
    deinterlacer = Deinterlacer(fields)
    for picture, pts in pictures:
        yield from deinterlacer.push(picture, pts)
    yield from deinterlacer.flush()


def _filters(picture: VideoFrame, fields: Fields) -> list[tuple[str, str | None]]:
    """The last one gives back the format that the colour tags are meant for."""
    parity = "tff" if fields.top_first else "bff"
    name = picture.format.name
    if fields.kind == "telecined" and depth_of(name) <= 8:  # all that it takes
        return [
            ("fieldmatch", f"order={parity}:combmatch=full"),
            ("bwdif", f"mode=send_frame:parity={parity}:deint=interlaced"),
            ("format", name),
        ]
    return [("bwdif", f"mode=send_frame:parity={parity}:deint=all"), ("format", name)]


def form_of(picture: VideoFrame) -> tuple[int, int, str]:
    """Width, height and pixel format."""
    return picture.width, picture.height, picture.format.name


def may_have_fields(picture: VideoFrame) -> bool:
    """False for pictures too low to be judged or too high for fields, and formats of no video."""
    pix_fmt = picture.format.name
    is_video = not is_rgb(pix_fmt) and not pix_fmt.startswith(("bayer", "xyz"))
    return is_video and _MIN_HEIGHT <= picture.height <= _MAX_HEIGHT


class FilterChain:
    """FFmpeg filters one after the other, made for pictures of one form."""

    def __init__(self, template: VideoFrame, filters: list[tuple[str, str | None]]) -> None:
        graph = Graph()
        self._source = graph.add_buffer(
            width=template.width,
            height=template.height,
            format=template.format,
            time_base=template.time_base,
        )
        nodes = [graph.add(name, options) for name, options in filters]
        self._sink = graph.add("buffersink")
        graph.link_nodes(self._source, *nodes, self._sink)
        try:
            graph.configure()
        except av.FFmpegError as error:
            name = template.format.name
            raise InputError(f"frames in {name} cannot be deinterlaced: turn it off") from error
        self._graph = graph  # which its filters do not keep alive

    def through(self, picture: VideoFrame | None) -> Iterator[VideoFrame]:
        """Push a picture, or None for the end, and give what comes out."""
        self._source.push(picture)
        while True:
            try:
                filtered: Any = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            yield filtered


def _decodable(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The frames that decode, without a word about the others."""
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue
    except av.FFmpegError:
        return


def _count(judged: VideoFrame, votes: Counter[str], repeats: Counter[str]) -> None:
    votes[judged.metadata["lavfi.idet.multiple.current_frame"]] += 1
    repeats[judged.metadata["lavfi.idet.repeated.current_frame"]] += 1


def luma_of(picture: VideoFrame) -> NDArray[np.int16]:
    """Luma in 8 bits, of some 500 columns at most: combs run along the others too."""
    gray = np.asarray(picture.reformat(format="gray").to_ndarray())
    return gray[:, :: max(1, gray.shape[1] // 512)].astype(np.int16)


def comb_strength(luma: NDArray[np.int16], before: NDArray[np.int16]) -> list[float]:
    """Comb strength: how moving lines differ from adjacent lines, over lines two away.

    Adjacent lines belong to the other field. They are nearer, so a ratio above 1 shows that they
    were taken at another time. Empty if too little moves.
    """
    here = luma[2:-2]
    moved = np.abs(here - before[2:-2]) > _MOVED_LEVELS
    if moved.sum() < _FEWEST_MOVED:
        return []
    near = np.abs(luma[1:-3] + luma[3:-1] - 2 * here)[moved].sum()
    far = np.abs(luma[:-4] + luma[4:] - 2 * here)[moved].sum()
    return [float(near / far)] if far else []
