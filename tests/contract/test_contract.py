"""Any film in, the same film out: its frames, times, streams, tags and files, in its container."""

import logging
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from tests.contract.cases import CASES, Case
from tests.contract.contents import Contents, Track, contents
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.target import default_output
from vsr.video.reading.reader import VideoReader
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import write_video

MILLISECOND = Fraction(1, 1000)
RGB = 0
"""The matrix of pictures, of which those of luma and chroma are no longer true."""
FAST = {".webm": "12", ".gif": None, ".apng": None, ".png": None}


def enlarged(source: Path, case: Case) -> Path:
    """The default output, with every pixel four times."""
    output = default_output(source, UpscaleConfig())
    settings = EncoderSettings(preset=FAST.get(output.suffix, "ultrafast"))
    with VideoReader(source, tolerant=case.damaged, deinterlace="auto") as reader:
        info = reader.info
        size = (2 * info.width, 2 * info.height)
        frames = ((frame.pixels.repeat(2, 0).repeat(2, 1), frame.pts) for frame in reader)
        write_video(frames, output, source=info, size=size, settings=settings)
    return output


@pytest.mark.parametrize("name", CASES)
def test_the_same_film_comes_out(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    case = CASES[name]
    source = case.make(tmp_path)
    caplog.set_level(logging.INFO)
    if case.refused is not None:
        with pytest.raises((InputError, OutputError), match=case.refused):
            enlarged(source, case)
        return
    output = enlarged(source, case)
    assert output.suffix == (case.suffix or source.suffix)
    before, after = contents(source), contents(output)
    assert len(before.times) == case.frames
    assert after.size == (2 * before.size[0], 2 * before.size[1])
    assert_same_times(before, after, rounded=output.suffix in (".mkv", ".webm"))
    assert_same_picture_tags(before, after, case)
    assert_same_tracks(before, after, case)
    assert after.files == before.files
    assert_same_tags(before, after)
    assert case.says in caplog.text
    assert ("left out" in caplog.text) == bool(case.left_out or case.says)
    left_out = re.findall(r"stream \d+ of .* \((\w+), .*\) is left out: \S", caplog.text)
    assert left_out == list(case.left_out)
    if case.deinterlaced is not None:
        assert f"is {case.deinterlaced}" in caplog.text
    else:
        assert "interlaced" not in caplog.text


def assert_same_times(before: Contents, after: Contents, *, rounded: bool) -> None:
    shift = min(Fraction(0), before.times[0])
    tolerance = MILLISECOND if rounded else 0
    assert len(after.times) == len(before.times)
    for a, b in zip(after.times, before.times, strict=True):
        assert abs(a - (b - shift)) <= tolerance
    frame = max((b - a for a, b in pairwise(before.times)), default=before.end)
    assert abs(after.end - (before.end - shift)) <= frame


def assert_same_picture_tags(before: Contents, after: Contents, case: Case) -> None:
    assert (after.aspect, after.rotation) == (before.aspect, before.rotation)
    assert after.depth == (case.depth or before.depth)
    assert after.hdr == before.hdr
    tags = 2 if after.color[2] == RGB else 4
    for a, b in zip(after.color[:tags], before.color, strict=False):
        assert a == b or b in (0, 2), "a tag that is not there is set to what it was read as"


def assert_same_tracks(before: Contents, after: Contents, case: Case) -> None:
    if case.converted:
        assert [track.codec for track in after.tracks] == ["flac"] * len(before.tracks)
        return
    kept = [track for track in before.tracks if track.kind not in case.left_out]
    assert [describe(t) for t in after.tracks] == [describe(t) for t in kept]
    shift = min(Fraction(0), before.times[0])
    for a, b in zip(after.tracks, kept, strict=True):
        assert a.hashes == b.hashes
        shown = [(x, y - shift) for x, y in zip(a.times, b.times, strict=True) if y >= shift]
        assert all(abs(x - y) <= MILLISECOND for x, y in shown)
        ends = zip(a.durations, b.durations, strict=True)
        assert all(abs(x - y) <= MILLISECOND for x, y in ends)


def describe(track: Track) -> tuple[object, ...]:
    language = {k: v for k, v in track.tags.items() if v != "und"}
    return track.kind, track.codec, language, track.flags & ~1


def assert_same_tags(before: Contents, after: Contents) -> None:
    assert after.tags == before.tags
    assert after.video_tags.items() >= {(k, v) for k, v in before.video_tags.items() if v != "und"}
    shift = min(Fraction(0), before.times[0])
    assert [title for title, *_ in after.chapters] == [title for title, *_ in before.chapters]
    for (_, *a), (_, *b) in zip(after.chapters, before.chapters, strict=True):
        assert all(abs(x - y + shift) <= MILLISECOND for x, y in zip(a, b, strict=True))
