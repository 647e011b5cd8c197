"""What becomes of the streams beside the video is known before anything is written."""

from pathlib import Path

import av
import pytest

from vsr.errors import OutputError
from vsr.video.probe import probe
from vsr.video.writing.stream_fates import stream_fates


@pytest.fixture
def film(source: Path, tmp_path: Path) -> Path:
    """The shared clip as Matroska, with a font beside its sound."""
    path = tmp_path / "film.mkv"
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        font = container.add_attachment("font.ttf", "application/x-truetype-font", b"letters")
        assert font is not None
        streams = [container.add_stream_from_template(stream) for stream in given.streams]
        for packet in given.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    return path


def test_streams_that_the_output_holds_are_kept(film: Path) -> None:
    fates = stream_fates(probe(film), Path("out.mkv"))
    assert {fate.stream.kind for fate in fates} == {"audio", "attachment"}
    assert all(fate.is_kept for fate in fates)


def test_streams_that_it_does_not_hold_are_left_out_with_the_reason(film: Path) -> None:
    reasons = {f.stream.kind: f.reason for f in stream_fates(probe(film), Path("out.mp4"))}
    assert reasons["audio"] is None
    assert str(reasons["attachment"]).startswith(".mp4 cannot hold attachment")


def test_sound_that_it_does_not_hold_is_an_error(film: Path) -> None:
    with pytest.raises(OutputError, match=r"write to \.mkv"):
        stream_fates(probe(film), Path("out.webm"))


def test_a_folder_of_pictures_holds_no_streams(film: Path) -> None:
    fates = stream_fates(probe(film), Path("out"))
    assert [f.reason for f in fates] == ["a folder of pictures holds no other streams"] * 2
