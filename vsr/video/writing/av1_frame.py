"""Headers of AV1 frames, read to where their film grain is told (section 5.9).

The end of the header depends on all that comes before, and that on the frames that are referred to:
`FrameHeaders` follows a stream from its first frame on.
"""

from dataclasses import dataclass, field

from vsr.video.writing.av1_sequence import CHOSEN, SequenceHeader
from vsr.video.writing.av1_tiles import read_tile_info
from vsr.video.writing.bits import BitReader

KEY, INTER, INTRA_ONLY, SWITCH = range(4)
_NONE = 7
_ALL = 0xFF
_REFERENCES = 7
_SLOTS = 8
_IDENTITY_MOTION: tuple[int, ...] = (0, 0, 1 << 16, 0, 0, 1 << 16)
_FEATURES = (
    (8, True),
    (6, True),
    (6, True),
    (6, True),
    (6, True),
    (3, False),
    (0, False),
    (0, False),
)
"""Bits of each feature of a segment, and if it has a sign."""

Motion = tuple[tuple[int, ...], ...]
Segments = tuple[tuple[int | None, ...], ...]

_NO_MOTION: Motion = (_IDENTITY_MOTION,) * _REFERENCES
_NO_SEGMENTS: Segments = ((None,) * len(_FEATURES),) * _SLOTS


@dataclass(slots=True)
class FrameHeader:
    """A header that was read up to the film grain, which begins at the bit `end`."""

    frame_type: int = KEY
    show_frame: bool = True
    showable_frame: bool = False
    shows_existing: bool = False
    error_resilient: bool = True
    disables_update: bool = False
    screen_content: bool = False
    integer_mv: bool = False
    high_precision: bool = False
    has_size: bool = False
    order_hint: int = 0
    primary: int = _NONE
    refresh: int = _ALL
    references: list[int] = field(default_factory=list[int])
    intrabc: bool = False
    upscaled_width: int = 0
    width: int = 0
    height: int = 0
    base_quantizer: int = 0
    has_deltas: bool = False
    segments: Segments = _NO_SEGMENTS
    is_segmented: bool = False
    motion: Motion = _NO_MOTION
    end: int = 0

    @property
    def is_intra(self) -> bool:
        """True for frames that refer to no other."""
        return self.frame_type in (KEY, INTRA_ONLY)

    @property
    def tells_grain(self) -> bool:
        """True for frames that are shown, now or later."""
        return self.show_frame or self.showable_frame

    @property
    def is_lossless(self) -> bool:
        """True if no segment is quantized (`CodedLossless`)."""
        if self.has_deltas:
            return False
        rows = self.segments if self.is_segmented else _NO_SEGMENTS
        return all(min(max(self.base_quantizer + (row[0] or 0), 0), 255) == 0 for row in rows)


class FrameHeaders:
    """Reads the headers of a stream, frame by frame, and keeps what later ones refer to."""

    def __init__(self, sequence: SequenceHeader) -> None:
        self._sequence = sequence
        self._slots: list[FrameHeader | None] = [None] * _SLOTS

    def read(self, data: bytes) -> FrameHeader:
        """Return the header at the beginning of a payload; ValueError if it is not understood."""
        read = BitReader(data)
        header = FrameHeader()
        if read.flag():
            return self._shown(read)
        self._read_kind(read, header)
        self._read_references(read, header)
        self._read_tools(read, header)
        header.end = read.place
        for slot in range(_SLOTS):
            if header.refresh >> slot & 1:
                self._slots[slot] = header
        return header

    def _shown(self, read: BitReader) -> FrameHeader:
        """Return the frame that is shown again; a keyframe takes all slots."""
        shown = self._slot(read(3))
        if shown.frame_type == KEY:
            self._slots = [shown] * _SLOTS
        return FrameHeader(shows_existing=True)

    def _slot(self, number: int) -> FrameHeader:
        found = self._slots[number]
        if found is None:
            raise ValueError("a frame refers to one that is not there")
        return found

    def _read_kind(self, read: BitReader, header: FrameHeader) -> None:
        sequence = self._sequence
        header.frame_type = read(2)
        header.show_frame = read.flag()
        is_shown_key = header.frame_type == KEY and header.show_frame
        header.showable_frame = header.frame_type != KEY if header.show_frame else read.flag()
        header.error_resilient = header.frame_type == SWITCH or is_shown_key or read.flag()
        if is_shown_key:
            self._slots = [None] * _SLOTS
        header.disables_update = read.flag()
        tools, integer = sequence.force_screen_content_tools, sequence.force_integer_mv
        header.screen_content = read.flag() if tools == CHOSEN else bool(tools)
        if header.screen_content:
            header.integer_mv = read.flag() if integer == CHOSEN else bool(integer)
        read(sequence.frame_id_bits)
        header.has_size = header.frame_type == SWITCH or read.flag()
        header.order_hint = read(sequence.order_hint_bits)
        if not (header.is_intra or header.error_resilient):
            header.primary = read(3)
        if not (header.frame_type == SWITCH or is_shown_key):
            header.refresh = read(_SLOTS)
        if (not header.is_intra or header.refresh != _ALL) and header.error_resilient:
            read(_SLOTS * sequence.order_hint_bits)

    def _read_references(self, read: BitReader, header: FrameHeader) -> None:
        sequence = self._sequence
        if header.is_intra:
            self._read_size(read, header)
            _read_render_size(read)
            if header.screen_content and header.upscaled_width == header.width:
                header.intrabc = read.flag()
        else:
            if sequence.order_hint_bits and read.flag():
                raise ValueError("references that are told in short")
            for _ in range(_REFERENCES):
                header.references.append(read(3))
                read(sequence.delta_frame_id_bits)
            if header.has_size and not header.error_resilient:
                self._read_size_of_reference(read, header)
            else:
                self._read_size(read, header)
                _read_render_size(read)
            header.high_precision = not header.integer_mv and read.flag()
            if not read.flag():
                read(2)
            read(1)
            if not header.error_resilient and sequence.enable_ref_frame_mvs:
                read(1)
        if not header.disables_update:
            read(1)

    def _read_size(self, read: BitReader, header: FrameHeader) -> None:
        header.upscaled_width, header.height = self._sequence.largest
        if header.has_size:
            header.upscaled_width, header.height = (read(n) + 1 for n in self._sequence.size_bits)
        self._read_superres(read, header)

    def _read_superres(self, read: BitReader, header: FrameHeader) -> None:
        header.width = header.upscaled_width
        if self._sequence.enable_superres and read.flag():
            share = read(3) + 9
            header.width = (header.upscaled_width * 8 + share // 2) // share

    def _read_size_of_reference(self, read: BitReader, header: FrameHeader) -> None:
        for number in header.references:
            if read.flag():
                found = self._slot(number)
                header.upscaled_width, header.height = found.upscaled_width, found.height
                self._read_superres(read, header)
                return
        self._read_size(read, header)
        _read_render_size(read)

    def _read_tools(self, read: BitReader, header: FrameHeader) -> None:
        sequence = self._sequence
        previous = None
        if header.primary != _NONE:
            previous = self._slot(header.references[header.primary])
        read_tile_info(read, header.width, header.height, is_large=sequence.use_128x128_superblock)
        self._read_quantizers(read, header)
        _read_segments(read, header, previous)
        if header.base_quantizer and read.flag():
            read(2)
            if not header.intrabc and read.flag():
                read(3)
        self._read_filters(read, header)
        if not header.is_lossless:
            read(1)
        refers_twice = not header.is_intra and read.flag()
        if refers_twice and self._has_skip_mode(header):
            read(1)
        if not (header.is_intra or header.error_resilient) and sequence.enable_warped_motion:
            read(1)
        read(1)
        if not header.is_intra:
            _read_motion(read, header, _NO_MOTION if previous is None else previous.motion)

    def _read_quantizers(self, read: BitReader, header: FrameHeader) -> None:
        header.base_quantizer = read(8)
        deltas = [_read_delta(read)]
        if not self._sequence.is_monochrome:
            differs = self._sequence.separate_uv_delta_q and read.flag()
            deltas += [_read_delta(read) for _ in range(4 if differs else 2)]
        header.has_deltas = any(deltas)
        if read.flag():
            read(12 if self._sequence.separate_uv_delta_q else 8)

    def _read_filters(self, read: BitReader, header: FrameHeader) -> None:
        sequence = self._sequence
        if header.intrabc:
            return
        if not header.is_lossless:
            _read_loop_filter(read, sequence.planes)
            if sequence.enable_cdef:
                read(2)
                count = 1 << read(2)
                read(count * (12 if sequence.planes > 1 else 6))
        is_kept = header.is_lossless and header.width == header.upscaled_width
        if sequence.enable_restoration and not is_kept:
            _read_restoration(read, sequence)

    def _has_skip_mode(self, header: FrameHeader) -> bool:
        """Return if a flag for it is in the header (`skipModeAllowed`, section 5.9.22)."""
        bits = self._sequence.order_hint_bits
        if not bits:
            return False
        hints = [self._slot(number).order_hint for number in header.references]
        distances = [_distance(hint, header.order_hint, bits) for hint in hints]
        if any(distance > 0 for distance in distances):
            return any(distance < 0 for distance in distances)
        return len({distance for distance in distances if distance < 0}) > 1


def _distance(a: int, b: int, bits: int) -> int:
    """Return how far an order hint is after another, both of so many bits (section 7.9.3)."""
    half = 1 << (bits - 1)
    return ((a - b) & (half - 1)) - ((a - b) & half)


def _read_render_size(read: BitReader) -> None:
    if read.flag():
        read(32)


def _read_delta(read: BitReader) -> int:
    return read.signed(7) if read.flag() else 0


def _read_segments(read: BitReader, header: FrameHeader, previous: FrameHeader | None) -> None:
    header.is_segmented = read.flag()
    if not header.is_segmented:
        return
    has_data = True
    if previous is not None:
        if read.flag():
            read(1)
        has_data = read.flag()
        header.segments = previous.segments
    if has_data:
        header.segments = tuple(
            tuple(_read_feature(read, *feature) for feature in _FEATURES) for _ in range(_SLOTS)
        )


def _read_feature(read: BitReader, bits: int, is_signed: bool) -> int | None:
    if not read.flag():
        return None
    return read.signed(bits + 1) if is_signed else read(bits)


def _read_loop_filter(read: BitReader, planes: int) -> None:
    if (read(6) | read(6)) and planes > 1:
        read(12)
    read(3)
    if read.flag() and read.flag():
        for _ in range(_SLOTS + 2):
            if read.flag():
                read(7)


def _read_restoration(read: BitReader, sequence: SequenceHeader) -> None:
    kinds = [read(2) for _ in range(sequence.planes)]
    if not any(kinds):
        return
    if read.flag() and not sequence.use_128x128_superblock:
        read(1)
    if sequence.is_subsampled and any(kinds[1:]):
        read(1)


def _read_motion(read: BitReader, header: FrameHeader, before: Motion) -> None:
    header.motion = tuple(_read_warp(read, header, old) for old in before)


def _read_warp(read: BitReader, header: FrameHeader, old: tuple[int, ...]) -> tuple[int, ...]:
    """Return the motion of the whole picture to a reference (section 5.9.24)."""
    found = list(_IDENTITY_MOTION)
    if not read.flag():
        return tuple(found)
    is_similar = read.flag()
    moves_only = not is_similar and read.flag()
    if not moves_only:
        for place in (2, 3) if is_similar else (2, 3, 4, 5):
            found[place] = _read_parameter(read, old[place], place, 12, 15)
        if is_similar:
            found[4], found[5] = -found[3], found[2]
    coarser = 0 if header.high_precision else 1
    bits, precision = (9 - coarser, 3 - coarser) if moves_only else (12, 6)
    for place in (0, 1):
        found[place] = _read_parameter(read, old[place], place, bits, precision)
    return tuple(found)


def _read_parameter(read: BitReader, old: int, place: int, bits: int, precision: int) -> int:
    shift = 16 - precision
    one = 1 if place in (2, 5) else 0
    most = 1 << bits
    reference = (old >> shift) - (one << precision)
    return (read.near(-most, most + 1, reference) << shift) + (one << 16)
