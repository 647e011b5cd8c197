"""Parts join to one film: the pictures and times that went in, wherever it is divided."""

import logging
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.conftest import pictures
from vsr.errors import OutputError
from vsr.video.probe import VideoInfo, probe
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import OutputFile, encoding_of
from vsr.video.writing.parts import PART_FRAMES, Part, encoded_parts, part_encoder
from vsr.video.writing.time_range import WHOLE

SIZE = (64, 48)
OUTPUTS = [
    ("x264", "out.mp4"),
    ("x264", "out.mkv"),
    ("x265", "out.mp4"),
    ("x265", "out.mkv"),
    ("av1", "out.mp4"),
    ("av1", "out.webm"),
    ("prores", "out.mov"),
    ("ffv1", "out.mkv"),
    ("png", "out"),
]


def encoded(path: Path, source: VideoInfo, codec: str, times: list[list[int]]) -> list[Part]:
    """The parts of a film whose frames are shown at `times`, part by part."""
    encoding = encoding_of(path, source, SIZE, EncoderSettings(codec=codec))
    frames = pictures(sum(map(len, times)), *SIZE[::-1])
    parts = []
    for part_times in times:
        encoder = part_encoder(encoding)
        for pts in part_times:
            encoder.write(next(frames), pts)
        parts.append(encoder.finish())
    return parts


def join(path: Path, source: VideoInfo, codec: str, parts: list[Part]) -> None:
    encoding = encoding_of(path, source, SIZE, EncoderSettings(codec=codec))
    delay = max(part.delay for part in parts)
    with OutputFile(path, source=source, encoding=encoding, span=WHOLE, delay=delay) as output:
        for part in parts:
            output.add(part)


@pytest.mark.parametrize(("codec", "name"), OUTPUTS)
def test_parts_of_any_length_join_to_all_frames_at_their_times(make_video, tmp_path, codec, name):
    """Parts of a frame and of many, with gaps in time within and between them."""
    source = probe(make_video(audio=["opus"] if name.endswith("webm") else ["ac3"], frames=40))
    lengths = [1, 1, 2, 17, 3, 1, 12]
    steps = np.random.default_rng(0).integers(1, 5, sum(lengths)) * 512
    pts = (np.cumsum(steps) - steps[0]).tolist()
    ends = np.cumsum([0, *lengths]).tolist()
    times = [pts[a:b] for a, b in pairwise(ends)]
    join(tmp_path / name, source, codec, encoded(tmp_path / name, source, codec, times))
    with VideoReader(tmp_path / name) as reader:
        frames = list(reader)
    shown = [Fraction(n, 25) for n in range(len(pts))] if codec == "png" else None
    assert [f.seconds for f in frames] == (shown or [n * source.time_base for n in pts])
    for frame, wanted in zip(frames, pictures(len(pts), *SIZE[::-1]), strict=True):
        got = frame.pixels if frame.pixels.dtype == np.uint8 else frame.pixels / 257
        assert np.abs(got - wanted.astype(float)).mean() < 3


@pytest.mark.parametrize(("codec", "name"), OUTPUTS)
def test_the_same_frames_give_the_same_bytes(make_video, tmp_path, codec, name):
    source = probe(make_video(audio=["opus"] if name.endswith("webm") else ["ac3"], frames=40))
    times = [[512 * n for n in range(7)], [512 * n for n in range(7, 20)]]
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        join(folder / name, source, codec, encoded(folder / name, source, codec, times))
        files = [folder / name, *sorted((folder / name).glob("*"))]
        contents.append([file.read_bytes() for file in files if file.is_file()])
    assert contents[0] == contents[1]


@pytest.mark.parametrize("codec", ["x264", "ffv1"])
def test_a_part_comes_back_from_its_file(make_video, tmp_path, codec):
    source = probe(make_video())
    [part] = encoded(tmp_path / "out.mkv", source, codec, [[512 * n for n in range(9)]])
    (tmp_path / "part").write_bytes(part.to_bytes())
    assert Part.load(tmp_path / "part") == part


def test_a_long_film_becomes_parts_of_bounded_length_and_none_without_frames():
    times = list(range(2 * PART_FRAMES + 1))
    black = np.zeros((2, 2, 3), np.uint8)
    parts = list(encoded_parts(((black, pts) for pts in times), None))
    assert [len(part.frames) for part in parts] == [PART_FRAMES, PART_FRAMES, 1]
    assert [frame.pts for part in parts for frame in part.frames] == times
    assert list(encoded_parts([], None)) == []


def test_a_damaged_part_is_an_error(tmp_path):
    (tmp_path / "part").write_bytes(b"\x40\x00\x00")
    with pytest.raises(OutputError, match=r"part .* cannot be read"):
        Part.load(tmp_path / "part")


def test_a_part_encoded_otherwise_is_refused(make_video, tmp_path):
    source = probe(make_video())
    odd = encoding_of(tmp_path / "o.mkv", source, SIZE, EncoderSettings(crf=40, preset="ultrafast"))
    encoder = part_encoder(odd)
    encoder.write(next(pictures(1)), 0)
    with pytest.raises(OutputError, match="encoded by another x264"):
        join(tmp_path / "o.mkv", source, "x264", [encoder.finish()])
    assert not (tmp_path / "o.mkv").exists()


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_decoding_times_rise_over_the_joins(make_video, tmp_path, name):
    source = probe(make_video())
    times = [[512 * n for n in range(a, a + 10)] for a in (0, 10, 20)]
    join(tmp_path / name, source, "x264", encoded(tmp_path / name, source, "x264", times))
    with av.open(tmp_path / name) as container:
        dts = [packet.dts for packet in container.demux(video=0) if packet.size]
    known = [time for time in dts if time is not None]
    assert known == sorted(set(known))


def test_an_odd_size_is_noted(make_video, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        encoding_of(tmp_path / "o.mp4", probe(make_video()), (67, 65), EncoderSettings())
    assert "67x65 is an odd size: encoded as yuv444p" in caplog.text
