"""The sequence header of AV1, as far as headers of frames are read by it (section 5.5)."""

from dataclasses import dataclass

from vsr.video.writing.bits import BitReader

CHOSEN = 2
"""A tool about which each frame says whether it is used (`SELECT_...`)."""
_BT709, _SRGB, _IDENTITY = 1, 13, 0


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """Facts of a sequence; names follow the specification."""

    size_bits: tuple[int, int]
    largest: tuple[int, int]
    frame_id_bits: int
    delta_frame_id_bits: int
    use_128x128_superblock: bool
    enable_warped_motion: bool
    enable_ref_frame_mvs: bool
    order_hint_bits: int
    force_screen_content_tools: int
    force_integer_mv: int
    enable_superres: bool
    enable_cdef: bool
    enable_restoration: bool
    is_monochrome: bool
    is_subsampled: bool
    """True for 4:2:0."""
    separate_uv_delta_q: bool
    film_grain_bit: int
    """Place of `film_grain_params_present` in the header."""

    @property
    def planes(self) -> int:
        """The number of planes."""
        return 1 if self.is_monochrome else 3


def read_sequence(data: bytes) -> SequenceHeader:
    """Read the payload of a sequence header; ValueError for what no encoder of vsr makes."""
    read = BitReader(data)
    profile = read(3)
    if read(1) or read(1):
        raise ValueError("a still picture")
    _read_operating_points(read)
    size_bits = (read(4) + 1, read(4) + 1)
    largest = (read(size_bits[0]) + 1, read(size_bits[1]) + 1)
    id_bits = delta_bits = 0
    if read.flag():
        delta_bits = read(4) + 2
        id_bits = read(3) + delta_bits + 1
    use_128 = read.flag()
    read(4)  # filter intra, intra edges, two kinds of compounds
    warped = read.flag()
    read(1)  # dual filter
    order_hint = read.flag()
    mvs = bool(read(2) & 1) if order_hint else False  # after joint compounds
    tools, integer = _read_screen_content(read)
    hint_bits = read(3) + 1 if order_hint else 0
    superres, cdef, restoration = read.flag(), read.flag(), read.flag()
    mono, subsampled, separate = _read_color(read, profile)
    return SequenceHeader(
        size_bits=size_bits,
        largest=largest,
        frame_id_bits=id_bits,
        delta_frame_id_bits=delta_bits,
        use_128x128_superblock=use_128,
        enable_warped_motion=warped,
        enable_ref_frame_mvs=mvs,
        order_hint_bits=hint_bits,
        force_screen_content_tools=tools,
        force_integer_mv=integer,
        enable_superres=superres,
        enable_cdef=cdef,
        enable_restoration=restoration,
        is_monochrome=mono,
        is_subsampled=subsampled,
        separate_uv_delta_q=separate,
        film_grain_bit=read.place,
    )


def _read_operating_points(read: BitReader) -> None:
    if read.flag():
        read(64)
        if read.flag():
            read.uvlc()
        if read.flag():
            raise ValueError("a decoder model")
    has_delays = read.flag()
    for _ in range(read(5) + 1):
        read(12)
        if read(5) > 7:
            read(1)
        if has_delays and read.flag():
            read(4)


def _read_screen_content(read: BitReader) -> tuple[int, int]:
    tools = CHOSEN if read.flag() else read(1)
    if not tools:
        return tools, CHOSEN
    return tools, CHOSEN if read.flag() else read(1)


def _read_color(read: BitReader, profile: int) -> tuple[bool, bool, bool]:
    """Return if there is luma alone, if chroma is 4:2:0, and if its planes differ in quantizers."""
    if profile == 2:
        raise ValueError("the professional profile")
    read(1)  # ten bits
    mono = profile == 0 and read.flag()
    color = (read(8), read(8), read(8)) if read.flag() else (2, 2, 2)
    if not mono and color == (_BT709, _SRGB, _IDENTITY):
        return mono, False, read.flag()
    read(1)
    if mono:
        return mono, True, False
    if profile == 0:
        read(2)
    return mono, profile == 0, read.flag()
