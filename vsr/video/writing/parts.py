"""Parts: closed runs of encoded frames, each made by itself, that join to one film unchanged."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np
from av.packet import Packet
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vsr.errors import OutputError
from vsr.video.color import frame_from_rgb
from vsr.video.container import reason_of
from vsr.video.pixels import Pixels
from vsr.video.writing.encoding import Encoding

PART_FRAMES = 240
"""The longest part in frames: keyframes at this distance cost next to nothing."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """The bytes of one frame; `pts` (shown) and `dts` (decoded) in the time base of the source."""

    data: bytes
    pts: int
    dts: int
    is_keyframe: bool


@dataclass(frozen=True, slots=True)
class Part:
    """Frames in the order in which they are decoded; the first is a keyframe, and none refers to
    another part. `header` is FFmpeg's extradata, which a decoder needs first.
    """

    frames: tuple[EncodedFrame, ...]
    header: bytes

    @property
    def delay(self) -> int:
        """Decode delay in frames (B-frame reordering)."""
        first = min(frame.pts for frame in self.frames)
        return sum(frame.dts < first for frame in self.frames)

    def to_bytes(self) -> bytes:
        """Serialize to safetensors, which `load` reads."""
        table = [[len(f.data), f.pts, f.dts, f.is_keyframe] for f in self.frames]
        return save(
            {
                "data": np.frombuffer(b"".join(frame.data for frame in self.frames), np.uint8),
                "header": np.frombuffer(self.header, np.uint8),
                "frames": np.array(table, np.int64),
            }
        )

    @classmethod
    def load(cls, path: Path) -> "Part":
        """Read a part; OutputError if the file is damaged or is not a part."""
        try:
            with safe_open(path, framework="numpy") as file:
                data, header, table = (file.get_tensor(k) for k in ("data", "header", "frames"))
            ends = np.cumsum(table[:, 0]).tolist()
            if table.shape != (len(ends), 4) or ends[-1:] != [len(data)] or min(table[:, 0]) < 0:
                raise ValueError("its table does not fit its data")
        except (OSError, SafetensorError, ValueError, IndexError) as error:
            raise OutputError(f"the part {path} cannot be read: {error}") from error
        frames = [
            EncodedFrame(data[end - size : end].tobytes(), pts, dts, bool(key))
            for end, (size, pts, dts, key) in zip(ends, table.tolist(), strict=True)
        ]
        return cls(tuple(frames), header.tobytes())


class PartEncoder(Protocol):
    """Frames go in one by one, a part comes out at the end."""

    def write(self, pixels: Pixels, pts: int) -> None:
        """Add a frame: RGB `h w 3`, and its pts in the source's units."""
        ...

    def finish(self) -> Part:
        """Return the part of all frames written, at least one."""
        ...


def part_encoder(encoding: Encoding | None) -> PartEncoder:
    """An encoder of one part; without an `encoding`, of PNG pictures."""
    return PngPartEncoder() if encoding is None else VideoPartEncoder(encoding)


def encoded_parts(
    frames: Iterable[tuple[Pixels, int]], encoding: Encoding | None
) -> Iterator[Part]:
    """Parts of PART_FRAMES frames each, the last one shorter, made of frames and their pts."""
    frames = iter(frames)
    for first in frames:
        encoder = part_encoder(encoding)
        for pixels, pts in chain([first], islice(frames, PART_FRAMES - 1)):
            encoder.write(pixels, pts)
        yield encoder.finish()


class VideoPartEncoder:
    """Encodes a part by FFmpeg: the same frames and times give the same bytes."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._context = encoding.new_context()
        self._frames: list[EncodedFrame] = []

    def write(self, pixels: Pixels, pts: int) -> None:
        """Encode one frame; see PartEncoder."""
        encoding = self._encoding
        frame = frame_from_rgb(pixels, encoding.pix_fmt, encoding.color, siting=encoding.siting)
        frame.pts = pts
        frame.time_base = encoding.time_base
        frame.duration = encoding.frame_duration
        self._encode(frame)

    def finish(self) -> Part:
        """Flush the encoder; see PartEncoder."""
        self._encode(None)
        return Part(tuple(self._frames), bytes(self._context.extradata or b""))

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            self._frames += map(_encoded, self._context.encode(frame))
        except av.FFmpegError as error:
            raise OutputError(f"{self._encoding.codec} fails: {reason_of(error)}") from error


class PngPartEncoder:
    """Encodes pictures: a part is a run of PNG files."""

    def __init__(self) -> None:
        self._frames: list[EncodedFrame] = []

    def write(self, pixels: Pixels, pts: int) -> None:
        """Encode one picture; see PartEncoder."""
        _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        self._frames.append(EncodedFrame(encoded.tobytes(), pts, pts, is_keyframe=True))

    def finish(self) -> Part:
        """See PartEncoder."""
        return Part(tuple(self._frames), b"")


def _encoded(packet: Packet) -> EncodedFrame:
    assert packet.pts is not None
    dts = packet.pts if packet.dts is None else packet.dts
    return EncodedFrame(bytes(packet), packet.pts, dts, packet.is_keyframe)
