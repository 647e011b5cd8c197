"""Properties of Matroska that FFmpeg does not read are named, each in one line."""

import logging
from pathlib import Path

import av

from vsr.video.matroska import matroska_tables
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video

FLAGS = Path(__file__).parents[1] / "fixtures" / "flags.mkv"
"""Made by mkvmerge: languages with regions, cropping, a disabled track, chapters of every kind."""


def element(number: int, content: bytes = b"", *, unknown_size: bool = False) -> bytes:
    id = number.to_bytes((number.bit_length() + 7) // 8)
    size = b"\x01" + b"\xff" * 7 if unknown_size else (len(content) | 1 << 28).to_bytes(4)
    return id + size + content


def matroska(*tables: bytes, unknown_size: bool = False) -> bytes:
    return element(0x1A45DFA3, b"\x42\x86\x81\x01") + element(
        0x18538067, b"".join(tables), unknown_size=unknown_size
    )


def tracks(*entries: bytes) -> bytes:
    return element(0x1654AE6B, b"".join(element(0xAE, entry) for entry in entries))


VIDEO, SOUND = element(0x83, b"\x01"), element(0x83, b"\x02")


def test_each_property_has_its_line():
    assert matroska_tables(FLAGS).losses() == (
        "players crop stream 0 (pixels: 8 left, 8 right, 4 top, 4 bottom): its edges are upscaled "
        "too, and the output shows them",
        "the language of stream 1, pt-BR, is kept as por",
        "the language of stream 3, zh-Hant-TW, is kept as chi",
        "stream 3 is disabled in the file, and is not in the output",
        "its chapters play in an order of their own: the output plays straight through",
        "of its 2 editions of chapters one is kept",
        "chapters inside of chapters are left out (1)",
        "hidden chapters are left out (1)",
        "of the names of chapters (eng, ger) one language is kept",
    )


def test_a_plain_file_and_one_of_another_kind_lose_nothing(make_video, tmp_path):
    assert matroska_tables(make_video("plain.mkv")).losses() == ()
    assert matroska_tables(make_video("plain.mp4")).losses() == ()
    (tmp_path / "empty.mkv").touch()
    assert matroska_tables(tmp_path / "empty.mkv").losses() == ()


def test_an_element_that_says_to_be_larger_than_the_file_ends_the_tables(tmp_path):
    file = tmp_path / "damaged.mkv"
    endless = b"\x1f\x43\xb6\x75" + b"\x01" + b"\xff" * 6 + b"\xfe"  # a cluster of 2^56 - 2 bytes
    file.write_bytes(matroska(tracks(VIDEO), endless, endless))
    assert len(matroska_tables(file).tracks) == 1


def test_tables_are_found_behind_clusters_and_in_segments_of_unknown_size(tmp_path):
    chapters = element(0x1043A770, element(0x45B9, element(0x45DD, b"\x01")))
    path = tmp_path / "live.mkv"
    table = tracks(VIDEO, SOUND + element(0x22B59D, b"fr-CA"))
    cluster = element(0x1F43B675, bytes(5000))
    path.write_bytes(matroska(table, cluster, chapters, unknown_size=True))
    assert matroska_tables(path).losses() == (
        "the language of stream 1, fr-CA, is kept as eng",
        "its chapters play in an order of their own: the output plays straight through",
    )


def test_a_file_that_is_cut_off_anywhere_is_read_as_far_as_it_goes(tmp_path):
    content = FLAGS.read_bytes()
    path = tmp_path / "cut.mkv"
    for length in (1, 3, 4, 5, 40, 47, 60, 300, 500, 12500, 12700, 12800):
        path.write_bytes(content[:length])
        assert len(matroska_tables(path).losses()) <= 9


def test_the_lines_are_logged_and_hidden_chapters_left_out(tmp_path, caplog, make_video):
    source = probe(FLAGS)
    target = tmp_path / "target.mkv"
    with VideoReader(source) as reader:
        frames = [(frame.pixels, frame.pts) for frame in reader]
    size = (source.width, source.height)
    with caplog.at_level(logging.WARNING):
        write_video(frames, target, source=source, size=size, settings=EncoderSettings())
    for line in matroska_tables(FLAGS).losses():
        assert f"{FLAGS}: {line}" in caplog.text
    assert "has pixels of" not in caplog.text, "the aspect ratio of the container is no change"
    with av.open(target) as output:
        assert [chapter["start"] for chapter in output.chapters()] == [400_000_000]
        assert [stream.metadata.get("language") for stream in output.streams][1:4] == [
            *("por", "jpn", "chi")
        ]
