"""Every picture is shown as long as in the source, the last one too."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.video.conftest import pictures
from tests.video.writing.test_animation import animation
from tests.video.writing.test_output_file import enlarge, times_of
from vsr.video.probe import probe
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.muxer import PicturesRefusedError
from vsr.video.writing.output_file import write_video


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_a_last_picture_that_stays_long_does_so_in_the_output(name: str, tmp_path: Path) -> None:
    """At the average rate of 1.85 frames/s, the last of the four would be shown for 0.54 s."""
    source = animation(tmp_path / "in.gif", plays=0, delays=(4, 9, 3, 200))
    enlarge(source, tmp_path / name)
    assert times_of(tmp_path / name) == [Fraction(n, 100) for n in (0, 4, 13, 16)]
    assert probe(tmp_path / name).duration == Fraction(216, 100)
    with av.open(tmp_path / name) as container:
        last = max(container.decode(video=0), key=lambda frame: frame.pts or 0)
        assert last.duration * last.time_base == 2


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_a_long_last_picture_that_is_not_decoded_last_keeps_its_duration(
    name: str, tmp_path: Path
) -> None:
    """B-frames make the two orders differ, and MP4 ends with the picture that is decoded last."""
    source = animation(tmp_path / "in.gif", plays=0, delays=(4, 9, 3, 200))
    enlarge(source, tmp_path / "a.mp4")
    enlarge(tmp_path / "a.mp4", tmp_path / "b.mkv")
    enlarge(tmp_path / "b.mkv", tmp_path / name)
    with av.open(tmp_path / name) as container:
        shown = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert shown[-1] != max(shown)
    assert probe(tmp_path / name).duration == Fraction(216, 100)


def test_pictures_at_an_even_rate_keep_it_to_the_last(make_video, tmp_path: Path) -> None:
    enlarge(make_video(frames=10), tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").duration == Fraction(10, 25)


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_pictures_that_the_file_type_does_not_take_are_an_error_with_one_that_does(
    make_video, tmp_path: Path, name: str
) -> None:
    """MP4 holds no duration of more than 2^31 units: here, of nanoseconds."""
    source = replace(probe(make_video(audio=["aac"])), time_base=Fraction(1, 10**9))
    times = (0, 5 * 10**9, 10**10)

    def written(path: Path) -> int:
        frames = zip(pictures(3), times, strict=True)
        return write_video(frames, path, source=source, size=(64, 48), settings=EncoderSettings())

    with pytest.raises(PicturesRefusedError, match=r"not take \d of 3 pictures .*write to \.mkv"):
        written(tmp_path / name)
    assert written(tmp_path / "out.mkv") == 3
    assert times_of(tmp_path / "out.mkv") == [0, 5, 10]
