"""Every picture is shown as long as in the source, the last one too."""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.video.writing.test_animation import animation
from tests.video.writing.test_output_file import enlarge, times_of
from vsr.video.probe import probe


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
