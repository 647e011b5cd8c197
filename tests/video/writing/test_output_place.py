"""The place of an output: complete or not at all, and never over something else."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.video.conftest import pictures
from tests.video.writing.outputs import DEFAULT, LOSSLESS, at_rate, enlarge, times_of
from vsr.errors import OutputError
from vsr.video.probe import probe
from vsr.video.writing.encoders import EncoderSettings
from vsr.video.writing.output_file import PlaceTakenError, check_output, write_video


def broken_off() -> Iterator[tuple[np.ndarray, int]]:
    """One frame, then an interrupt from the keyboard."""
    yield next(pictures(1)), 0
    raise KeyboardInterrupt


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "partial" in path.name]


def test_nothing_is_under_the_name_before_the_end(make_video, tmp_path):
    info = probe(make_video(frames=2))
    output = tmp_path / "out.mp4"

    def watched() -> Iterator[tuple[np.ndarray, int]]:
        for frame in at_rate(pictures(2)):
            yield frame
            assert not output.exists()

    write_video(watched(), output, source=info, size=(64, 48), settings=DEFAULT)
    assert output.exists()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["out.mp4", "out"])
def test_an_exception_leaves_nothing_behind(make_video, tmp_path, name):
    info = probe(make_video(frames=2, audio=["aac"]))
    output = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        write_video(broken_off(), output, source=info, size=(64, 48), settings=DEFAULT)
    assert not output.exists()
    assert leftovers(tmp_path) == []


def test_an_output_without_frames_is_an_error(make_video, tmp_path):
    info = probe(make_video())
    with pytest.raises(OutputError, match="no frame to write"):
        write_video([], tmp_path / "out.mp4", source=info, size=(64, 48), settings=DEFAULT)
    assert [path.name for path in tmp_path.iterdir()] == ["source.mp4"]


def test_an_existing_output_is_replaced_only_when_allowed(make_video, tmp_path):
    source = make_video()
    output = tmp_path / "out.mp4"
    output.write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        enlarge(source, output)
    assert output.read_text() == "precious"
    enlarge(source, output, overwrite=True)
    assert len(times_of(output)) == 12


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out"])
def test_a_film_whose_place_is_taken_meanwhile_stays_and_is_named(make_video, tmp_path, name):
    info = probe(make_video(frames=2))
    output = tmp_path / name

    def taken() -> Iterator[tuple[np.ndarray, int]]:
        yield from at_rate(pictures(2))
        output.write_text("precious")

    with pytest.raises(PlaceTakenError, match=r"the finished film is (\S+): move") as caught:
        write_video(taken(), output, source=info, size=(64, 48), settings=DEFAULT)
    assert output.read_text() == "precious"
    kept = Path(str(caught.value).split("the finished film is ")[1].split(": move")[0])
    assert len(times_of(kept)) == 2


def test_a_folder_of_other_things_is_never_replaced(make_video, tmp_path):
    source = make_video(frames=2)
    output = tmp_path / "out"
    output.mkdir()
    (output / "diary.txt").write_text("precious")
    with pytest.raises(OutputError, match="holds more than PNG files"):
        enlarge(source, output, overwrite=True)
    (output / "diary.txt").rename(output / "0.png")
    enlarge(source, output, overwrite=True)
    assert sorted(path.name for path in output.iterdir()) == ["00000000.png", "00000001.png"]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("source.mp4", DEFAULT, "is the source itself"),
        ("nowhere/out.mp4", DEFAULT, "folder .*nowhere of the output does not exist"),
        ("out.avi", DEFAULT, r"out\.avi has the ending \.avi; x264 is written to \.mp4"),
        ("out.mp4", LOSSLESS, r"ffv1 is written to \.mkv, and \.mp4 holds x264, x265, av1"),
        ("out.mp4", EncoderSettings(codec="prores"), r"prores is written to \.mov, \.mkv"),
        ("out", EncoderSettings(codec="x264"), "has no ending"),
        ("out.mp4", EncoderSettings(codec="png"), r"give a name without the ending \.mp4"),
        ("out.mp4", EncoderSettings(crf=60), "crf = 60 is out of range; x264 takes 0"),
        ("out.mov", EncoderSettings(codec="prores", crf=10), "prores has no crf"),
        ("out.mkv", EncoderSettings(codec="ffv1", preset="slow"), "ffv1 has no preset"),
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(
    make_video, tmp_path, name, settings, message
):
    source = make_video()
    with pytest.raises(OutputError, match=message) as caught:
        check_output(tmp_path / name, source=probe(source), settings=settings, overwrite=True)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source.mp4"]


def test_sound_that_the_container_cannot_hold_is_an_error_up_front(make_video, tmp_path):
    source = make_video(audio=["aac"])
    settings = EncoderSettings(codec="av1")
    with pytest.raises(OutputError, match=r"\.webm cannot hold audio stream 1 \(aac\)"):
        check_output(tmp_path / "o.webm", source=probe(source), settings=settings, overwrite=False)


def test_settings_that_the_encoder_refuses_are_an_output_error(make_video, tmp_path):
    with pytest.raises(OutputError, match="x264 cannot be set up so"):
        enlarge(make_video(), tmp_path / "out.mp4", EncoderSettings(preset="warp"))
    assert [path.name for path in tmp_path.iterdir()] == ["source.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_an_error_up_front(make_video, tmp_path):
    source = make_video()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="is not writable"):
        check_output(closed / "o.mp4", source=probe(source), settings=DEFAULT, overwrite=False)
