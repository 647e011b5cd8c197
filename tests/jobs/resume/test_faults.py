"""What can go wrong while a film is made: a clear error, nothing lost, and on it goes after."""

import os
import resource
import shutil
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.jobs.resume.kills import CLIP_FRAMES, finish, make_film, start
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.upscale import upscale
from vsr.video.reading.clips import Clip

CONFIG = UpscaleConfig(max_clip_frames=CLIP_FRAMES)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture
def film(tmp_path: Path, original: Path) -> Path:
    """A copy of the film, to do harm to."""
    return Path(shutil.copy(original, tmp_path / "film.mp4"))


@pytest.fixture(scope="module")
def whole(original: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What comes out where nothing goes wrong."""
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    upscale(original, output, CONFIG, model=EchoModel())
    return output.read_bytes()


def at_frame(number: int, act: Callable[[], object]) -> Callable[[Clip], None]:
    """Acts when the clip that begins with frame `number` is begun."""

    def begin(clip: Clip) -> None:
        if clip.first_frame_index == number:
            act()

    return begin


@contextmanager
def largest_file(size: int) -> Generator[None]:
    """Files of this process cannot grow above `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limit")
@pytest.mark.parametrize("size", [1_500, 25_000, 150_000])
def test_a_full_disk(tmp_path: Path, film: Path, whole: bytes, size: int) -> None:
    """It is full at once, when the output is joined, or when pictures are kept."""
    output = tmp_path / "out.mp4"
    with (
        largest_file(size),
        pytest.raises(OutputError, match=r"(?i)cannot be written: .*too large"),
    ):
        upscale(film, output, CONFIG, model=EchoModel())
    assert not output.exists()
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_disk_that_fills_up_in_the_middle(tmp_path: Path, film: Path, whole: bytes) -> None:
    output = tmp_path / "out.mp4"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = at_frame(29, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard)))
    try:
        with pytest.raises(OutputError, match="what is finished is kept"):
            upscale(film, output, CONFIG, model=EchoModel(full))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    begun: list[int] = []
    again = EchoModel(lambda clip: begun.append(clip.first_frame_index))
    upscale(film, output, CONFIG, model=again)
    assert output.read_bytes() == whole
    assert begun[0] in (26, 29)


@pytest.mark.parametrize("frame", [0, 29, 48])
def test_a_source_that_is_taken_away_in_the_middle(
    tmp_path: Path, film: Path, whole: bytes, frame: int
) -> None:
    output, away = tmp_path / "out.mp4", tmp_path / "away.mp4"
    model = EchoModel(at_frame(frame, lambda: film.rename(away)))
    with pytest.raises(InputError, match="cannot be read any more"):
        upscale(film, output, CONFIG, model=model)
    away.rename(film)
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_source_that_is_cut_off_in_the_middle(tmp_path: Path, film: Path, whole: bytes) -> None:
    """As by a network that breaks: what cannot be read any more is not taken for the end."""
    output, copy = tmp_path / "out.mp4", tmp_path / "copy.mp4"
    shutil.copy(film, copy)
    model = EchoModel(at_frame(13, lambda: film.write_bytes(copy.read_bytes()[:5000])))
    with pytest.raises(InputError, match="was changed or replaced"):
        upscale(film, output, CONFIG, model=model)
    shutil.copy(copy, film)
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_source_that_is_replaced_in_the_middle(tmp_path: Path, film: Path, whole: bytes) -> None:
    output = tmp_path / "out.mp4"
    kept, other = tmp_path / "kept.mp4", make_film(tmp_path / "other.mp4", (20, 31))
    shutil.copy(film, kept)
    model = EchoModel(at_frame(13, lambda: other.replace(film)))
    with pytest.raises(InputError, match=r"was changed or replaced .* bring it back"):
        upscale(film, output, CONFIG, model=model)
    with pytest.raises(Exception, match="content of the source was"):
        upscale(film, output, CONFIG, model=EchoModel())
    kept.replace(film)
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_folder_that_cannot_be_written(tmp_path: Path, film: Path, whole: bytes) -> None:
    """A file in its place, since who runs as root may write into any folder."""
    output = tmp_path / "out.mp4"
    (tmp_path / "out.mp4.vsr").write_text("mine")
    with pytest.raises(OutputError, match=r"out\.mp4\.vsr, where finished work is kept"):
        upscale(film, output, CONFIG, model=EchoModel())
    assert (tmp_path / "out.mp4.vsr").read_text() == "mine"
    (tmp_path / "out.mp4.vsr").unlink()
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_the_names_of_new_folders_and_journals_are_flushed(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may take a name whose folder was not flushed, with all that is under it."""
    output, flushed = tmp_path / "out.mp4", set[int]()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def check() -> None:
        work = tmp_path / "out.mp4.vsr"
        assert {path.stat().st_ino for path in (tmp_path, work, work / "00000000")} <= flushed

    monkeypatch.setattr(os, "fsync", noted)
    upscale(film, output, CONFIG, model=EchoModel(at_frame(29, check)))


def test_work_that_vanishes_in_the_middle(tmp_path: Path, film: Path, whole: bytes) -> None:
    output = tmp_path / "out.mp4"
    model = EchoModel(at_frame(29, lambda: (tmp_path / "out.mp4.vsr").rename(tmp_path / "gone")))
    with pytest.raises(OutputError, match="cannot be written"):
        upscale(film, output, CONFIG, model=model)
    upscale(film, output, CONFIG, model=EchoModel())
    assert output.read_bytes() == whole


def test_a_read_only_folder_that_opens_again(tmp_path: Path, film: Path, whole: bytes) -> None:
    output = tmp_path / "out" / "out.mp4"
    with pytest.raises(OutputError, match=r"folder .* does not exist"):
        upscale(film, output, CONFIG, model=EchoModel())
    output.parent.mkdir()
    finish(start(film, output))
    assert output.read_bytes() == whole
