"""What becomes of the streams beside the video is known before anything is written."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.video.writing.test_output_file import enlarge, packets
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


@pytest.mark.parametrize("output", ["out.mp4", "out.mov", "out.mkv"])
def test_sound_without_a_decoder_is_copied_where_the_file_type_holds_it(
    make_video: Callable[..., Path], tmp_path: Path, output: str
) -> None:
    """A phone's second sound track is in `apac`, which FFmpeg does not know."""
    source = make_video("source.mp4", audio=["aac", "aac"])
    start, second = source.read_bytes().rsplit(b"mp4a", 1)
    source.write_bytes(start + b"apac" + second)
    enlarge(source, tmp_path / output)
    fates = stream_fates(probe(source), Path(output))
    assert [fate.is_kept for fate in fates] == [True, True]
    before, after = packets(source, "audio"), packets(tmp_path / output, "audio")
    assert len(after) == 2
    for wanted, got in zip(before, after, strict=True):
        assert [content for _, content in got] == [content for _, content in wanted]


@pytest.mark.parametrize("output", ["out.mp4", "out.mkv"])
def test_sound_of_an_unknown_codec_is_left_out_with_a_line_and_the_film_is_made(
    make_video: Callable[..., Path], tmp_path: Path, output: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_video("source.mkv", audio=["aac"])
    source.write_bytes(source.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    [fate] = stream_fates(probe(source), Path(output))
    assert fate.reason == f"{Path(output).suffix} cannot hold audio in unknown codec"
    assert len(enlarge(source, tmp_path / output)) == 12
    assert "(audio, unknown codec) is left out" in caplog.text
