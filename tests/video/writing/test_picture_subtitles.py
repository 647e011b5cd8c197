"""A part of a film begins with the picture subtitles that are shown there."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.packet import Packet

from tests.video.writing.outputs import enlarge, with_subtitles
from vsr.video.writing import picture_subtitles
from vsr.video.writing.picture_subtitles import ShownSubtitles

SIZE = (64).to_bytes(2) + (48).to_bytes(2)
PALETTE = bytes([0, 0, 1, 235, 128, 128, 255])
WINDOW = bytes([1, 0, 0, 0, 0, 0, 0, 8, 0, 2])
ROW = bytes([0, 0x88, 1, 0, 0])
"""Eight pixels of colour 1, and the end of the row."""
OBJECT = bytes([0, 0, 0, 0xC0, 0, 0, 4 + 2 * len(ROW), 0, 8, 0, 2]) + 2 * ROW
NEW, NORMAL = 0x80, 0


def segments(objects: int, state: int = NEW) -> list[tuple[int, bytes]]:
    """The segments of a set of a Blu-ray subtitle, which shows so many objects."""
    composition = SIZE + bytes([0x10, 0, 0, state, 0, 0, objects]) + bytes(8) * objects
    shown = [(0x14, PALETTE), (0x15, OBJECT)] if objects and state == NEW else []
    return [(0x16, composition), (0x17, WINDOW), *shown, (0x80, b"")]


def pgs_data(objects: int, state: int = NEW) -> bytes:
    parts = segments(objects, state)
    return b"".join(bytes([kind]) + len(data).to_bytes(2) + data for kind, data in parts)


def blu_ray_subtitles(path: Path, sets: list[tuple[float, int, int]]) -> Path:
    """A .sup file of sets: seconds, objects, state."""
    with path.open("wb") as file:
        for seconds, objects, state in sets:
            for kind, data in segments(objects, state):
                times = round(seconds * 90000).to_bytes(4) + bytes(4)
                file.write(b"PG" + times + bytes([kind]) + len(data).to_bytes(2) + data)
    return path


def found_in(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(path) as container:
        return [
            (packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(subtitles=0)
            if packet.size
        ]


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ([(0.5, 1, NEW), (3.0, 0, NEW)], [(0, 1, NEW), (1, 0, NEW)]),
        (
            [(0.5, 1, NEW), (1.0, 1, NORMAL), (3.0, 0, NEW)],
            [(0, 1, NEW), (0, 1, NORMAL), (1, 0, NEW)],
        ),
        ([(0.5, 1, NEW), (1.0, 0, NEW), (3.0, 1, NEW)], [(1, 1, NEW)]),
        ([(0.5, 1, NEW), (2.0, 1, NEW)], [(0, 1, NEW)]),
        ([(0.5, 1, NEW)], [(0, 1, NEW)]),
    ],
)
def test_a_blu_ray_subtitle_is_shown_until_the_next_composition(
    make_video, tmp_path, sets, expected
) -> None:
    plain = make_video("plain.mkv", frames=100, options={"g": "10"})
    subtitles = blu_ray_subtitles(tmp_path / "lines.sup", sets)
    source = with_subtitles(plain, subtitles, tmp_path / "source.mkv")
    enlarge(source, tmp_path / "out.mkv", start=2)
    found = found_in(tmp_path / "out.mkv")
    assert [data for _, data in found] == [pgs_data(*one) for _, *one in expected]
    times = [abs(time - seconds) for (time, _), (seconds, *_) in zip(found, expected, strict=True)]
    assert max(times) <= Fraction(2, 1000), "two packets of a stream cannot have one time"


def dvd_data(stop: int | None) -> bytes:
    """A DVD subtitle of no picture that is shown at once, and stops at a date."""
    start = bytes([0x03, 0, 0, 0x04, 0, 0, 0x05, *bytes(6), 0x06, *bytes(4), 0x01, 0xFF])
    second = 4 + 4 + len(start)
    first = (0).to_bytes(2) + (second if stop is not None else 4).to_bytes(2) + start
    last = b"" if stop is None else stop.to_bytes(2) + second.to_bytes(2) + b"\x02\xff"
    return (4 + len(first) + len(last)).to_bytes(2) + (4).to_bytes(2) + first + last


@pytest.mark.parametrize(
    ("stop", "duration", "expected"),
    [
        (352, 0, (176, 0)),  # 352 x 1024 / 90000 s are 4.005 s
        (170, 0, None),
        (352, 4000, (176, 2000)),
        (None, 0, (None, 0)),
        (None, 1000, None),
    ],
)
def test_a_dvd_subtitle_stops_as_it_did(monkeypatch, make_video, stop, duration, expected) -> None:
    monkeypatch.setattr(picture_subtitles, "codec_name", lambda stream: "dvd_subtitle")
    with av.open(make_video("film.mkv", frames=1)) as container:
        packet = Packet(dvd_data(stop))
        packet.stream, packet.time_base = container.streams[0], Fraction(1, 1000)
        packet.pts = packet.dts = 1000
        packet.duration = duration
        shown = ShownSubtitles(container.streams[0])
        shown.add(packet)
        found = [(one.pts, bytes(one), one.duration) for one in shown.begun_at(Fraction(3))]
    assert found == ([] if expected is None else [(3000, dvd_data(expected[0]), expected[1])])
