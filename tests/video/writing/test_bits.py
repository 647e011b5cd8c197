"""Bits and the codes of AV1: what a writer writes is read, and each code by its definition."""

import pytest

from vsr.video.writing.bits import BitReader, BitWriter


def bits(text: str) -> BitReader:
    text = text.replace(" ", "")
    return BitReader(int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8)))


def test_what_is_written_is_read() -> None:
    write = BitWriter(b"\xf0", 4)
    for value, count in ((5, 3), (0, 1), (1000, 10)):
        write(value, count)
    assert write.length == 18
    read = BitReader(write.aligned())
    assert [read(4), read(3), read(1), read(10)] == [15, 5, 0, 1000]


def test_numbers_with_a_sign_and_below_a_limit() -> None:
    assert bits("1111111").signed(7) == -1
    assert bits("0000011").signed(7) == 3
    # below 5: two bits for 0 to 2, three for 3 and 4
    assert [bits(text).below(5) for text in ("00", "10", "110", "111")] == [0, 2, 3, 4]


def test_a_number_of_variable_length() -> None:
    assert [bits(text).uvlc() for text in ("1", "010", "011", "00100")] == [0, 1, 2, 3]


def test_numbers_near_a_reference() -> None:
    # distances 0, 1 and 2: the number itself, one further from zero, one nearer to it
    for reference, wanted in ((-3, [-3, -4, -2]), (3, [3, 4, 2])):
        found = [bits(f"0 {distance:03b}").near(-16, 17, reference) for distance in (0, 1, 2)]
        assert found == wanted


def test_a_header_that_ends_too_early_is_said() -> None:
    with pytest.raises(ValueError, match="ends too early"):
        BitReader(b"\x00")(9)
