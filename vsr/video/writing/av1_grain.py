"""Film grain in AV1: encoded parts get the parameters with which players add it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vsr.errors import OutputError
from vsr.video.writing.av1_frame import INTER, FrameHeader, FrameHeaders
from vsr.video.writing.av1_sequence import SequenceHeader, read_sequence
from vsr.video.writing.bits import BitWriter
from vsr.video.writing.encoding import Encoding
from vsr.video.writing.film_grain import BY_LUMA, LAG, FilmGrain
from vsr.video.writing.parts import Part

_SEQUENCE, _FRAME_HEADER, _FRAME, _REPEATED_HEADER = 1, 3, 6, 7
_SEED_STEP = 0x9E37
"""Odd, so that the seeds of 65536 frames are all different."""


def announcing_grain(encoding: Encoding) -> Encoding:
    """Return the encoding whose header says that frames tell their grain."""
    given = encoding.options.get("svtav1-params")
    parameters = ":".join([*([given] if given else []), "film-grain=1"])
    return replace(encoding, options={**encoding.options, "svtav1-params": parameters})


def with_film_grain(part: Part, grain: FilmGrain | None, *, is_full: bool, seed: int) -> Part:
    """Return the part with this grain in the header of each frame; None: with no grain.

    `is_full` is the range of the film; `seed` that of the first frame, of which the others follow.
    Raises OutputError where a header is not understood.
    """
    told = _ToldGrain(grain, is_full, seed)
    try:
        header = told.units(part.header)
        frames = tuple(replace(frame, data=told.units(frame.data)) for frame in part.frames)
    except ValueError as error:
        raise OutputError(
            f"the grain cannot be told to the player, since the encoder wrote {error}: leave out "
            "--grain-table"
        ) from error
    return replace(part, header=header, frames=frames)


@dataclass(slots=True)
class _ToldGrain:
    grain: FilmGrain | None
    is_full: bool
    seed: int
    sequence: SequenceHeader | None = None
    headers: FrameHeaders | None = None

    def units(self, data: bytes) -> bytes:
        """Return the units (OBUs) of a packet with their grain."""
        return b"".join(self._unit(*unit) for unit in _units(data))

    def _unit(self, head: bytes, kind: int, payload: bytes) -> bytes:
        if kind == _SEQUENCE:
            payload = self._announced(payload)
        elif kind == _FRAME:
            payload = self._told(payload, has_tiles=True)
        elif kind == _FRAME_HEADER:
            payload = self._told(payload, has_tiles=False)
        elif kind == _REPEATED_HEADER:
            raise ValueError("a header twice")
        return head + _size(len(payload)) + payload

    def _announced(self, payload: bytes) -> bytes:
        sequence = read_sequence(payload)
        if self.headers is None or sequence != self.sequence:
            self.sequence, self.headers = sequence, FrameHeaders(sequence)
        place = sequence.film_grain_bit
        changed = bytearray(payload)
        changed[place // 8] |= 0x80 >> place % 8
        return bytes(changed)

    def _told(self, payload: bytes, *, has_tiles: bool) -> bytes:
        if self.headers is None or self.sequence is None:
            raise ValueError("a frame before the header of its sequence")
        header = self.headers.read(payload)
        if header.shows_existing or not header.tells_grain:
            return payload
        write = BitWriter(payload, header.end)
        if self.grain is None:
            write(0)
        else:
            self._write(write, header, self.grain)
        if not has_tiles:
            write(1)
            return write.aligned()
        return write.aligned() + payload[-(-header.end // 8) :]

    def _write(self, write: BitWriter, header: FrameHeader, grain: FilmGrain) -> None:
        """Write the parameters, as section 5.9.30 has them."""
        assert self.sequence is not None
        write(1)
        write(self.seed, 16)
        self.seed = (self.seed + _SEED_STEP) % 2**16
        if header.frame_type == INTER:
            write(1)
        _write_points(write, grain, self.sequence)
        write(grain.scaling_shift - 8, 2)
        write(LAG, 2)
        _write_coefficients(write, grain, self.sequence)
        write(grain.ar_shift - 6, 2)
        write(grain.grain_scale_shift, 2)
        for points in _chroma(grain, self.sequence):
            if points:
                for value, bits in zip(BY_LUMA, (8, 8, 9), strict=True):
                    write(value, bits)
        write(1)  # blocks of grain overlap
        write(0 if self.is_full else 1)


def _chroma(grain: FilmGrain, sequence: SequenceHeader) -> list[tuple[tuple[int, int], ...]]:
    return [] if sequence.is_monochrome else list(grain.points[1:])


def _write_points(write: BitWriter, grain: FilmGrain, sequence: SequenceHeader) -> None:
    planes = [grain.points[0], *_chroma(grain, sequence)]
    for number, points in enumerate(planes):
        if number == 1:
            write(0)  # chroma has its own strengths
        write(len(points), 4)
        for value in (v for point in points for v in point):
            write(value, 8)


def _write_coefficients(write: BitWriter, grain: FilmGrain, sequence: SequenceHeader) -> None:
    planes = [grain.points[0], *_chroma(grain, sequence)]
    for points, coefficients in zip(planes, grain.coefficients, strict=False):
        if points:
            for value in coefficients:
                write(value + 128, 8)


def _units(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the first bytes, the kind and the payload of each unit of a packet."""
    place = 0
    while place < len(data):
        first = data[place]
        head = data[place : place + (2 if first & 4 else 1)]
        if not first & 2:
            raise ValueError("a unit without a size")
        place += len(head)
        size = shift = 0
        while True:
            size |= (data[place] & 127) << shift
            shift += 7
            place += 1
            if not data[place - 1] & 128:
                break
        yield head, first >> 3 & 15, data[place : place + size]
        place += size


def _size(count: int) -> bytes:
    """Return a size in groups of seven bits (`leb128()`)."""
    found = bytearray()
    while True:
        found.append(count & 127 | (128 if count > 127 else 0))
        count >>= 7
        if not count:
            return bytes(found)
