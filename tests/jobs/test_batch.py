"""Batches: a film that fails does not stop the others, and ranks split films and shots."""

from pathlib import Path

import pytest

from tests.jobs.resume.kills import CLIP_FRAMES, finish, make_film, start
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.batch import batch_of, upscale_batch
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


def test_a_list_names_films_beside_it(tmp_path: Path, folder: Path) -> None:
    names = folder / "list.txt"
    names.write_text("# mine\na.mp4\n\nc.mkv\n")
    batch = batch_of(names, None, CONFIG)
    assert batch is not None
    assert [film.source.name for film in batch.films] == ["a.mp4", "c.mkv"]
    assert [film.output.name for film in batch.films] == ["a_x4.mp4", "c_x4.mkv"]
    assert {film.output.parent for film in batch.films} == {folder}


def test_a_folder_of_pictures_and_a_file_are_one_film(tmp_path: Path, folder: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "1.png").touch()
    assert batch_of(pictures, None, CONFIG) is None
    assert batch_of(folder / "a.mp4", None, CONFIG) is None


def test_what_cannot_be_a_batch_is_explained(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OutputError, match="has the sources in it"):
        batch_of(folder, folder, CONFIG)
    with pytest.raises(OutputError, match="is a file"):
        batch_of(folder, folder / "a.mp4", CONFIG)
    (folder / "c.mp4").touch()
    (folder / "other").mkdir()
    (folder / "other" / "c.mp4").touch()
    (folder / "list.txt").write_text("c.mp4\nother/c.mp4\n")
    with pytest.raises(OutputError, match=r"would both become .*c"):
        batch_of(folder / "list.txt", tmp_path / "out", CONFIG)
    (folder / "list.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="names no film"):
        batch_of(folder / "list.txt", None, CONFIG)
    (folder / "x.png").touch()
    with pytest.raises(InputError, match=r"holds videos .* and pictures"):
        batch_of(folder, tmp_path / "out", CONFIG)
