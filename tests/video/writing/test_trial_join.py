"""Streams go through the muxer before any work, so that none of them spoils the join."""

import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.video.conftest import pictures
from tests.video.writing.test_output_file import DEFAULT, at_rate, enlarge, packets
from vsr.errors import OutputError
from vsr.video.probe import probe
from vsr.video.writing.output_file import write_video
from vsr.video.writing.stream_fates import stream_fates, without_streams
from vsr.video.writing.time_range import TimeRange
from vsr.video.writing.trial_join import try_join


def test_a_stream_that_the_muxer_takes_passes_with_all_its_packets(make_video, tmp_path) -> None:
    source = make_video(frames=50, audio=["aac"])
    trial = try_join(probe(source), Path("out.mkv"), {1: None}, most=None)[1]
    assert (trial.count, trial.failure) == (len(packets(source, "audio")[0]), None)


def test_before_work_only_the_first_packets_are_tried(make_video) -> None:
    source = make_video(frames=100, audio=["aac"])
    trials = try_join(probe(source), Path("out.mp4"), {1: None}, most=7)
    assert trials[1].count == 7


def test_only_packets_of_the_range_are_tried(make_video) -> None:
    source = make_video(frames=100, audio=["ac3"])
    span = TimeRange(Fraction(1), Fraction(2))
    [found] = packets(source, "audio")
    trials = try_join(probe(source), Path("out.mkv"), {1: None}, span=span, most=None)
    assert trials[1].count == sum(1 <= time < 2 for time, _ in found)


def test_a_header_that_the_muxer_refuses_is_a_failure(make_video) -> None:
    source = make_video(audio=["aac"])
    assert try_join(probe(source), Path("out.webm"), {1: None})[1].failure is not None


def with_lost_packets(source: Path, path: Path, seed: int) -> Path:
    """The transport stream without one packet of a hundred."""
    data, chance = source.read_bytes(), random.Random(seed)
    pieces = [data[place : place + 188] for place in range(0, len(data), 188)]
    path.write_bytes(b"".join(p for n, p in enumerate(pieces) if n < 20 or chance.random() > 0.01))
    return path


@pytest.mark.parametrize("codec", ["aac", "mp2"])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.mov"])
def test_a_recording_with_lost_packets_keeps_its_sound(
    make_video: Callable[..., Path], tmp_path: Path, codec: str, name: str
) -> None:
    whole = make_video("whole.ts", frames=100, audio=[codec])
    source = with_lost_packets(whole, tmp_path / "lost.ts", seed=1)
    enlarge(source, tmp_path / name, tolerant=True)
    [before], [after] = packets(source, "audio"), packets(tmp_path / name, "audio")
    assert len(after) >= 0.9 * len(before)


def test_a_stream_is_left_out_on_wish(make_video: Callable[..., Path]) -> None:
    info = probe(make_video(audio=["aac", "ac3"]))
    fates = stream_fates(without_streams(info, (("audio", 2),)), Path("out.mkv"))
    assert [fate.is_kept for fate in fates] == [True, False]
    assert str(fates[1].reason).startswith("--without")


def test_sound_that_is_left_out_on_wish_is_no_reason_to_refuse(make_video) -> None:
    info = probe(make_video(audio=["aac"]))
    with pytest.raises(OutputError, match=r"write to \.mkv"):
        stream_fates(info, Path("out.webm"))
    [fate] = stream_fates(without_streams(info, (("audio", None),)), Path("out.webm"))
    assert not fate.is_kept


def test_a_stream_that_is_not_there_is_an_error_and_so_is_the_video(make_video) -> None:
    info = probe(make_video(audio=["aac"]))
    with pytest.raises(OutputError, match="has no stream audio:2"):
        without_streams(info, (("audio", 2),))
    with pytest.raises(OutputError, match="the video that is upscaled"):
        without_streams(info, (("video", 1),))
    assert without_streams(info, (("video", None), ("subtitle", None))) == replace(
        info, left_out=frozenset()
    )


def test_the_output_is_without_what_was_left_out(make_video, tmp_path) -> None:
    info = without_streams(probe(make_video(audio=["aac", "ac3"])), (("audio", 1),))
    output = tmp_path / "out.mkv"
    write_video(at_rate(pictures(4)), output, source=info, size=(64, 48), settings=DEFAULT)
    with av.open(output) as container:
        assert [stream.codec_context.name for stream in container.streams.audio] == ["ac3"]
