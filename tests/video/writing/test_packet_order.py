from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO

import av
import pytest

from vsr.video.writing.packet_order import PacketOrder

MS = Fraction(1, 1000)


def target(form: str, rate: int) -> Iterator[av.stream.Stream]:
    """A stream of an open output, in steps of 1/rate s (Matroska: of 1 ms)."""
    with av.open(BytesIO(), "w", format=form) as container:
        stream = container.add_stream("flac", rate=rate)
        container.start_encoding()
        yield stream


@pytest.fixture
def stream() -> Iterator[av.stream.Stream]:
    yield from target("mp4", 48000)


@pytest.fixture
def matroska_stream() -> Iterator[av.stream.Stream]:
    yield from target("matroska", 48000)


def packet(
    stream: av.stream.Stream, dts: int | None, pts: int | None, time_base: Fraction = MS
) -> av.Packet:
    made = av.Packet(b"sound")
    made.stream, made.time_base = stream, time_base
    made.dts, made.pts = dts, pts
    return made


def moved(order: PacketOrder, *packets: av.Packet) -> list[tuple[int | None, int | None]]:
    for one in packets:
        order.move(one)
    return [(one.dts, one.pts) for one in packets]


def test_packets_whose_times_rise_keep_them(stream):
    order = PacketOrder()
    packets = [packet(stream, *times) for times in ((0, 5), (10, 8), (20, 30))]
    assert moved(order, *packets) == [(0, 5), (10, 8), (20, 30)]
    assert (order.count, order.late) == (3, 0)


def test_a_packet_that_goes_back_moves_to_the_first_time_that_can_follow(stream):
    order = PacketOrder()
    packets = [packet(stream, at, at) for at in (100, 87, 111)]
    assert moved(order, *packets) == [(100, 100), (101, 101), (111, 111)]
    assert (order.late, order.farthest) == (1, Fraction(14, 1000))


def test_a_packet_without_decode_time_is_judged_by_the_other(stream):
    packets = [packet(stream, None, 100), packet(stream, None, 100)]
    assert moved(PacketOrder(), *packets) == [(None, 100), (101, 101)]


def test_equal_times_are_late_only_where_the_muxer_refuses_them(stream, matroska_stream):
    for output, late in ((matroska_stream, 0), (stream, 1)):
        order = PacketOrder()
        moved(order, packet(output, 4, 4), packet(output, 4, 4))
        assert order.late == late


def test_times_are_compared_in_the_units_of_the_output(stream):
    fine = Fraction(1, 90000)
    packets = [packet(stream, 1000, 1000, fine), packet(stream, 1000, 1000, fine)]
    ticks = [round(pts * fine / stream.time_base) for _, pts in moved(PacketOrder(), *packets)]
    assert ticks[1] == ticks[0] + 1
