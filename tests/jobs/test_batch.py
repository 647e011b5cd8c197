"""Batches: a film that fails does not stop the others, and ranks split films and shots."""

from pathlib import Path

import pytest

from tests.jobs.resume.kills import CLIP_FRAMES, finish, make_film, start
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import InputError
from vsr.jobs.batch import upscale_batch
from vsr.jobs.films import batch_of
from vsr.video.reading.clips import Clip

CONFIG = UpscaleConfig(max_clip_frames=CLIP_FRAMES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two films, and a file that is none."""
    films = tmp_path / "films"
    films.mkdir()
    make_film(films / "a.mp4", (5, 6))
    make_film(films / "c.mkv", (7,))
    (films / "b.mp4").write_text("no film")
    (films / "notes.md").write_text("mine")
    return films


def test_a_film_that_fails_does_not_stop_the_others(tmp_path: Path, folder: Path) -> None:
    batch = batch_of(folder, tmp_path / "out", CONFIG)
    assert batch is not None
    report = upscale_batch(batch, CONFIG, model=EchoModel())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_x4.mp4", "c_x4.mkv"]
    assert "2 of 3 done, 1 failed" in str(report)
    assert f"FAILED {folder / 'b.mp4'}" in str(report)
    with pytest.raises(InputError, match="1 of 3 films failed"):
        report.check()


def test_a_batch_goes_on_with_what_is_left(tmp_path: Path, folder: Path) -> None:
    batch = batch_of(folder, tmp_path / "out", CONFIG)
    assert batch is not None
    upscale_batch(batch, CONFIG, model=EchoModel())
    make_film(folder / "b.mp4", (4, 4))
    begun: list[int] = []
    report = upscale_batch(
        batch, CONFIG, model=EchoModel(lambda clip: begun.append(len(clip.frames)))
    )
    assert sum(begun) == 8
    report.check()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["films", "out"]


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_split_the_films_of_a_batch_or_the_shots_of_fewer_films(
    tmp_path: Path, folder: Path, world: int
) -> None:
    (folder / "b.mp4").unlink()
    batch = batch_of(folder, tmp_path / "alone", CONFIG)
    assert batch is not None
    upscale_batch(batch, CONFIG, model=EchoModel())
    log = tmp_path / "log"
    running = [
        start(folder, tmp_path / "out", "--log", str(log), "--batch", rank=rank, world=world)
        for rank in range(world)
    ]
    for process in running:
        finish(process)
    alone, shared = (sorted((tmp_path / name).iterdir()) for name in ("alone", "out"))
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in alone]
    assert len({line.split()[0] for line in log.read_text().splitlines()}) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone", "films", "log", "out"]


def test_any_error_of_a_library_fails_its_film_alone(tmp_path: Path, folder: Path) -> None:
    (folder / "b.mp4").unlink()
    batch = batch_of(folder, tmp_path / "out", CONFIG)
    assert batch is not None

    def begin(clip: Clip) -> None:
        if len(clip.frames) == 4:  # only in c.mkv
            raise AttributeError("no attribute codec")

    report = upscale_batch(batch, CONFIG, model=EchoModel(begin))
    assert [path.name for path in (tmp_path / "out").glob("*.mp4")] == ["a_x4.mp4"]
    assert f"FAILED {folder / 'c.mkv'}: AttributeError: no attribute codec" in str(report)
    assert "1 of 2 done, 1 failed" in str(report)


def test_a_film_that_was_put_in_place_before_a_kill_is_done(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "b.mp4").unlink()
    batch = batch_of(folder, tmp_path / "out", CONFIG)
    assert batch is not None

    def killed(self: object, film: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("vsr.jobs.batch.BatchFolder.note_done", killed)
        upscale_batch(batch, CONFIG, model=EchoModel())
    upscale_batch(batch, CONFIG, model=EchoModel()).check()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["films", "out"]


def test_a_batch_run_again_skips_what_is_made_and_makes_what_is_new(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "b.mp4").unlink()
    for again in (False, True):
        batch = batch_of(folder, tmp_path / "out", CONFIG)
        assert batch is not None
        with caplog.at_level("INFO"):
            report = upscale_batch(batch, CONFIG, model=EchoModel())
        report.check()
        if not again:
            make_film(folder / "d.mp4", (4,))
    assert [done.output.name for done in report.done] == ["d_x4.mp4"]
    assert str(report).endswith("1 of 3 done, 2 skipped")
    assert f"{folder / 'a.mp4'} is skipped: " in caplog.text
    assert "a_x4.mp4 exists; --overwrite makes it again" in caplog.text
    replaced = UpscaleConfig(max_clip_frames=CLIP_FRAMES, overwrite=True)
    assert len(upscale_batch(batch, replaced, model=EchoModel()).done) == 3


def test_a_name_that_no_file_can_have_fails_alone_and_in_words(
    tmp_path: Path, folder: Path
) -> None:
    names = folder / "list.txt"
    names.write_text(f"a.mp4\n{'x' * 300}.mkv\nb\0.mp4\nc.mkv\n")
    batch = batch_of(names, tmp_path / "out", CONFIG)
    assert batch is not None
    report = upscale_batch(batch, CONFIG, model=EchoModel())
    assert sorted(path.name for path in (tmp_path / "out").glob("*.m*")) == ["a_x4.mp4", "c_x4.mkv"]
    assert len(report.failed) == 2
    assert "... is too long for this file system" in str(report)
