"""Outputs: times, sound, tags, colours, sizes and depth come through."""

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.conftest import pictures
from tests.video.writing.outputs import (
    DEFAULT,
    LOSSLESS,
    at_rate,
    enlarge,
    times_of,
    with_subtitles,
)
from vsr.video.pixels import as_uint8
from vsr.video.probe import probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """Time and content of every packet, for every stream of a kind."""
    found = []
    with av.open(path) as container:
        for index in [stream.index for stream in container.streams if stream.type == kind]:
            container.seek(0)
            demuxed = container.demux(container.streams[index])
            found.append([(p.pts * p.time_base, bytes(p)) for p in demuxed if p.size])
    return found


@pytest.mark.parametrize("codec", ["x264", "x265", "av1"])
@pytest.mark.parametrize(
    ("time_base", "pts"),
    [
        (Fraction(1, 12800), [512 * n for n in range(12)]),
        (Fraction(1001, 30000), list(range(12))),
        (Fraction(1, 90000), [0, 3003, 6006, 9009, 15015, 15016, 27000, 30030]),
        (Fraction(1, 25), [5, 6, 7, 10, 20, 21]),
    ],
)
def test_mp4_gives_back_every_pts_exactly(make_video, tmp_path, codec, time_base, pts):
    rate = Fraction(30000, 1001) if time_base.denominator != 12800 else 25
    source = make_video(frames=len(pts), pts=pts, time_base=time_base, rate=rate)
    output = tmp_path / "out.mp4"
    assert enlarge(source, output, EncoderSettings(codec=codec)) == [n * time_base for n in pts]
    assert times_of(output) == [n * time_base for n in pts]
    assert probe(output).time_base == probe(source).time_base


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov"])
def test_the_other_way_of_the_time_base_is_kept_by_every_container(make_video, tmp_path, name):
    source = make_video("source.mkv", frames=30)
    assert enlarge(source, tmp_path / name) == times_of(tmp_path / name)


def test_matroska_rounds_to_a_millisecond_and_says_so(make_video, tmp_path, caplog):
    source = make_video(rate=30, time_base=Fraction(1, 15360))
    with caplog.at_level(logging.INFO):
        times = enlarge(source, tmp_path / "out.mkv")
    errors = [a - b for a, b in zip(times, times_of(tmp_path / "out.mkv"), strict=True)]
    assert max(map(abs, errors)) <= Fraction(1, 2000)
    assert ".mkv keeps times to 1 ms only" in caplog.text


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_all_sound_is_copied_bit_for_bit_at_its_time(make_video, tmp_path, name):
    source = make_video(frames=50, audio=["aac", "ac3"])
    enlarge(source, tmp_path / name)
    before, after = packets(source, "audio"), packets(tmp_path / name, "audio")
    assert len(after) == 2
    for wanted, got in zip(before, after, strict=True):
        assert [content for _, content in got] == [content for _, content in wanted]
        # AAC begins before zero, where Matroska has no times; and it rounds to 1 ms.
        shifts = [a - b for (a, _), (b, _) in zip(got, wanted, strict=True) if b >= 0]
        assert max(map(abs, shifts)) <= Fraction(1, 1000)
    assert times_of(tmp_path / name)[0] == 0


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_of_a_range_both_sound_and_video_begin_at_zero_and_stay_together(
    make_video, tmp_path, name
):
    source = make_video(frames=100, audio=["ac3"], options={"g": "30", "crf": "12"})
    times = enlarge(source, tmp_path / name, start=1.0, duration=2.0)
    assert times[0] == 1
    assert times_of(tmp_path / name) == [time - 1 for time in times]
    [before], [after] = packets(source, "audio"), packets(tmp_path / name, "audio")
    wanted = [(time - 1, content) for time, content in before if 1 <= time < 3]
    assert [content for _, content in after] == [content for _, content in wanted]
    for (a, _), (b, _) in zip(after, wanted, strict=True):
        assert abs(a - b) <= Fraction(1, 1000)


def test_sound_and_video_are_interleaved_in_the_file(make_video, tmp_path):
    source = make_video(frames=150, audio=["aac"])
    enlarge(source, tmp_path / "out.mkv")
    with av.open(tmp_path / "out.mkv") as container:
        order = [packet.stream.type for packet in container.demux() if packet.size]
    half = order[: len(order) // 2]
    assert 0.3 < half.count("audio") / order.count("audio") < 0.7


def test_aspect_rotation_tags_and_chapters_are_kept(make_video, tmp_path):
    chapters = [
        {
            "id": number,
            "start": 400 * number,
            "end": 400 * (number + 1),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": title},
        }
        for number, title in enumerate(["Once upon a time", "The end"])
    ]
    source = make_video(
        frames=20,
        sample_aspect_ratio=Fraction(16, 15),
        rotation=90,
        metadata={"title": "A test"},
        chapters=chapters,
        color=(6, 6, 6, 1),
    )
    for name in ("out.mp4", "out.mkv"):
        enlarge(source, tmp_path / name)
        info = probe(tmp_path / name)
        assert info.sample_aspect_ratio == Fraction(16, 15)
        assert info.rotation == 90
        assert info.metadata["title"] == "A test"
        assert info.color == probe(source).color
        with av.open(tmp_path / name) as container:
            found = container.chapters()
        assert [chapter["metadata"].get("title") for chapter in found] == [
            "Once upon a time",
            "The end",
        ]
        assert found[1]["start"] * found[1]["time_base"] == Fraction(2, 5)


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("codec", ["x264", "prores"])
def test_colors_do_not_shift_and_the_tags_say_how_to_read_them(
    make_video, tmp_path, matrix, color_range, codec
):
    source = make_video(frames=2, color=(1, 1, matrix, color_range))
    output = tmp_path / "out.mov"
    enlarge(source, output, EncoderSettings(codec=codec))
    with VideoReader(source) as before, VideoReader(output) as after:
        wanted, got = next(before).pixels, as_uint8(next(after).pixels)
        assert after.info.color.matrix == matrix
    reduced = got.reshape(48, 2, 64, 2, 3).mean((1, 3))
    assert np.abs((reduced - wanted).mean((0, 1))).max() < 0.5
    assert np.abs(reduced - wanted).mean() < 1.5


def test_a_source_without_color_tags_is_tagged_as_it_was_read(make_video, tmp_path):
    enlarge(make_video(), tmp_path / "out.mp4")
    color = probe(tmp_path / "out.mp4").color
    assert (color.matrix, color.range) == (6, 1)


@pytest.mark.parametrize("size", [(48, 64), (37, 51)])
def test_lossless_output_is_exact(tmp_path, make_video, size):
    info = probe(make_video(frames=3, pix_fmt="yuv444p"))
    height, width = size
    noise = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    output = tmp_path / "out.mkv"
    write_video(at_rate(noise), output, source=info, size=(width, height), settings=LOSSLESS)
    with VideoReader(output) as reader:
        np.testing.assert_array_equal([frame.pixels for frame in reader], noise)
    assert probe(output).codec == "ffv1"


def test_a_png_folder_is_exact(make_video, tmp_path, caplog):
    source = make_video(frames=3, audio=["aac"])
    enlarge(source, tmp_path / "out")
    with VideoReader(source) as before, VideoReader(tmp_path / "out") as after:
        for a, b in zip(before, after, strict=True):
            np.testing.assert_array_equal(a.pixels, b.pixels[::2, ::2])
    assert "holds no times, tags or sound" in caplog.text


def test_images_become_a_video_of_25_frames_a_second(make_video, tmp_path):
    enlarge(make_video(frames=5), tmp_path / "images")
    enlarge(tmp_path / "images", tmp_path / "out.mp4")
    assert times_of(tmp_path / "out.mp4") == [Fraction(n, 25) for n in range(5)]


@pytest.mark.parametrize(
    ("codec", "name", "pix_fmt"),
    [
        ("x264", "out.mp4", "yuv444p"),
        ("x265", "out.mkv", "yuv444p"),
        ("av1", "out.webm", "yuv420p"),
        ("prores", "out.mov", "yuv444p12le"),  # what its decoder makes of 4444
    ],
)
def test_odd_sizes_are_encoded_at_their_size(make_video, tmp_path, codec, name, pix_fmt):
    info = probe(make_video(frames=4))
    output = tmp_path / name
    settings = EncoderSettings(codec=codec)
    frames = at_rate(pictures(4, 65, 67))
    write_video(frames, output, source=info, size=(67, 65), settings=settings)
    with VideoReader(output) as reader:
        assert (reader.info.width, reader.info.height) == (67, 65)
        assert reader.info.pix_fmt == pix_fmt
        for frame, wanted in zip(reader, pictures(4, 65, 67), strict=True):
            assert np.abs(as_uint8(frame.pixels).astype(int) - wanted).mean() < 4


def with_lines(plain: Path, path: Path, text: str) -> Path:
    """The video with subtitles in SRT."""
    lines = path.with_suffix(".srt")
    lines.write_text(text)
    return with_subtitles(plain, lines, path)


def test_subtitles_go_along_where_the_container_holds_them(make_video, tmp_path, caplog):
    plain = make_video("plain.mkv", frames=50)
    text = "1\n00:00:00,500 --> 00:00:00,900\nHello\n"
    source = with_lines(plain, tmp_path / "source.mkv", text)
    enlarge(source, tmp_path / "out.mkv")
    assert packets(tmp_path / "out.mkv", "subtitle") == [[(Fraction(1, 2), b"Hello")]]
    assert "left out" not in caplog.text
    enlarge(source, tmp_path / "out.mp4")
    assert "stream 1 of" in caplog.text
    assert "(subtitle, subrip) is left out" in caplog.text


def test_a_subtitle_that_is_shown_where_a_part_begins_goes_along(make_video, tmp_path):
    text = (
        "1\n00:00:00,100 --> 00:00:00,900\nOver\n\n"
        "2\n00:00:01,000 --> 00:00:03,000\nShown\n\n"
        "3\n00:00:02,500 --> 00:00:02,800\nNew\n"
    )
    plain = make_video("plain.mkv", frames=100, options={"g": "10"})
    source = with_lines(plain, tmp_path / "source.mkv", text)
    enlarge(source, tmp_path / "out.mkv", start=2)
    with av.open(tmp_path / "out.mkv") as container:
        found = [
            (packet.pts * packet.time_base, packet.duration * packet.time_base, bytes(packet))
            for packet in container.demux(subtitles=0)
            if packet.size
        ]
    assert found == [
        (Fraction(0), Fraction(1), b"Shown"),
        (Fraction(1, 2), Fraction(3, 10), b"New"),
    ]


def test_a_truncated_source_with_sound_gives_what_decodes(make_video, tmp_path):
    source = make_video("source.mkv", frames=60, audio=["aac"], options={"g": "10", "qp": "2"})
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    times = enlarge(source, tmp_path / "out.mkv")
    assert 10 < len(times) < 50
    assert times_of(tmp_path / "out.mkv") == times
    assert len(packets(tmp_path / "out.mkv", "audio")[0]) > 10


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_times_before_zero_are_moved_so_that_no_frame_is_lost(make_video, tmp_path, name):
    info = probe(make_video(frames=4))
    frames = at_rate(pictures(4), first=-2)
    write_video(frames, tmp_path / name, source=info, size=(64, 48), settings=DEFAULT)
    assert times_of(tmp_path / name) == [Fraction(n, 25) for n in range(4)]


def test_attached_files_go_along_in_matroska(make_video, tmp_path):
    plain, source = make_video("plain.mkv"), tmp_path / "source.mkv"
    with av.open(plain) as template, av.open(source, "w") as container:
        video = container.add_stream_from_template(template.streams.video[0], opaque=True)
        container.add_attachment("font.ttf", "font/ttf", b"letters")
        for packet in template.demux():
            if packet.size:
                packet.stream = video
                container.mux(packet)
    enlarge(source, tmp_path / "out.mkv")
    with av.open(tmp_path / "out.mkv") as container:
        [attached] = container.streams.attachments
        assert (attached.name, attached.data) == ("font.ttf", b"letters")


@pytest.mark.parametrize(
    ("codec", "name", "pix_fmt"),
    [("x264", "o.mp4", "yuv422p10le"), ("x265", "o.mkv", "yuv444p12le"), ("ffv1", "o.mkv", None)],
)
def test_deep_sources_come_out_deep_with_every_step_of_a_ramp(
    make_video, tmp_path, codec, name, pix_fmt
):
    ramp = np.linspace(20000, 26000, 64).astype(np.uint16)
    picture = ramp[None, :, None].repeat(48, 0).repeat(3, 2)
    source = make_video(
        "s.mkv",
        pixels=[picture] * 2,
        frames=2,
        codec="ffv1",
        pix_fmt=pix_fmt or "yuv420p10le",
        options={},
    )
    crf = None if codec == "ffv1" else 0
    enlarge(source, tmp_path / name, EncoderSettings(codec=codec, crf=crf))
    with VideoReader(source) as before, VideoReader(tmp_path / name) as after:
        assert after.info.pix_fmt == (pix_fmt or "gbrp16le")
        a, b = next(before).pixels, next(after).pixels[::2, ::2]
    assert len(np.unique(b[24, :, 1])) > 50, "8 bits hold 24 levels of this ramp"
    assert np.abs(a.astype(int) - b).max() < (2 * 65535 / 219 / 4 if codec != "ffv1" else 1)


def test_a_png_folder_of_a_deep_source_has_sixteen_bits(make_video, tmp_path):
    ramp = np.linspace(20000, 26000, 64).astype(np.uint16)[None, :, None].repeat(48, 0)
    source = make_video(
        "s.mkv", pixels=[ramp.repeat(3, 2)], frames=1, codec="ffv1", pix_fmt="gbrp16le", options={}
    )
    enlarge(source, tmp_path / "out")
    with VideoReader(tmp_path / "out") as reader:
        np.testing.assert_array_equal(next(reader).pixels[::2, ::2], ramp.repeat(3, 2))
