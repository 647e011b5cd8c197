"""Several processes make one output, or many, and write what one process would write."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.resume.kills import CLIP_FRAMES, LIGHTS, finish, make_film, start
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import InputError, OutputError
from vsr.jobs.batch import batch_of, upscale_batch
from vsr.jobs.resume.claims import Member, journals
from vsr.jobs.upscale import upscale
from vsr.runtime.launcher import launched_with_others, local_rank

CONFIG = UpscaleConfig(max_clip_frames=CLIP_FRAMES)
SHOTS = (8, 9, 7, 8, 9, 7)
assert len(SHOTS) > len(LIGHTS)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4", SHOTS)


@pytest.fixture(scope="module")
def whole(film: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    upscale(film, output, CONFIG, model=EchoModel())
    return output.read_bytes()


def clips_by_process(log: Path) -> dict[int, int]:
    """How many clips each process has begun."""
    begun = [int(line.split()[0]) for line in log.read_text().splitlines()]
    return {process: begun.count(process) for process in begun}


def wait_for_clips(log: Path, processes: int) -> None:
    """Wait until so many processes are at work."""
    deadline = time.monotonic() + 60
    while not log.exists() or len(clips_by_process(log)) < processes:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_processes_share_the_shots_and_write_the_bytes_of_one(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    options = ("--set", "share=true", "--pace", "0.15", "--log", str(log))
    first, second = (start(film, output, *options) for _ in range(2))
    printed = finish(first) + finish(second)
    assert output.read_bytes() == whole
    assert "frames at 128x96" in printed
    shares = clips_by_process(log)
    assert len(shares) == 2
    assert min(shares.values()) > 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "out.mp4"]


def test_the_shots_of_a_killed_process_are_taken_over(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    options = ("--set", "share=true", "--pace", "0.15", "--log", str(log))
    survivor, victim = (start(film, output, *options) for _ in range(2))
    wait_for_clips(log, 2)
    victim.kill()
    victim.communicate()
    finish(survivor)
    assert output.read_bytes() == whole


def test_a_launcher_makes_its_processes_share(
    tmp_path: Path, film: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    running = []
    for rank in "01":
        monkeypatch.setenv("LOCAL_RANK", rank)
        running.append(start(film, output, "--pace", "0.15", "--log", str(log)))
    for process in running:
        finish(process)
    assert output.read_bytes() == whole
    assert len(clips_by_process(log)) == 2


def test_a_process_that_comes_when_all_is_done_has_nothing_to_do(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upscale(film, tmp_path / "out.mp4", CONFIG, model=EchoModel())
    with pytest.raises(OutputError, match="exists"):
        upscale(film, tmp_path / "out.mp4", CONFIG, model=EchoModel())
    monkeypatch.setenv("WORLD_SIZE", "2")
    parent = os.getppid()
    monkeypatch.setattr(os, "getppid", os.getpid)  # as if this process had launched others
    report = upscale(film, tmp_path / "out.mp4", CONFIG, model=EchoModel())
    assert "is whole" in str(report)
    assert parent != os.getpid()


@pytest.mark.parametrize(
    ("world", "rank", "expected"),
    [("2", "1", (True, 1)), ("1", "0", (False, 0)), ("", "", (False, 0))],
)
def test_the_launcher_s_environment_is_understood(
    monkeypatch: pytest.MonkeyPatch, world: str, rank: str, expected: tuple[bool, int]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("LOCAL_RANK", rank)
    assert (launched_with_others(), local_rank()) == expected


def test_of_two_runs_on_one_output_the_second_is_refused(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    first = start(film, output, "--pace", "0.2", "--log", str(log))
    wait_for_clips(log, 1)
    for share in (False, True):
        with pytest.raises(OutputError, match=rf"another run is writing .* \(process {first.pid}"):
            upscale(film, output, replace(CONFIG, share=share), model=EchoModel())
    finish(first)
    assert output.read_bytes() == whole


def test_a_task_belongs_to_one_living_process_and_a_dead_one_loses_it(tmp_path: Path) -> None:
    task = tmp_path / "task"
    with Member(tmp_path) as first, Member(tmp_path) as second:
        assert first.claim(task) is not None
        assert first.claim(task) is None
        assert second.claim(task) is None
        owner = second.owner(task)
        assert owner is not None
        assert owner.pid == os.getpid()
        assert len(second.others()) == 1
    with Member(tmp_path) as third:
        assert third.owner(task) is None
        assert third.claim(task) is not None
        assert len(journals(task)) == 2


def test_silence_is_death_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    elsewhere = Member(tmp_path).__enter__()
    monkeypatch.undo()
    with Member(tmp_path) as here:
        assert [str(other) for other in here.others()] == [f"process {os.getpid()} on elsewhere"]
        [path] = tmp_path.glob(f"{elsewhere.token}.process")
        elsewhere._ended.set()  # its pulse stops, as if the machine had lost power
        os.utime(path, (0, time.time() - 120))
        assert here.others() == []


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
    assert "2 of 3 films are upscaled" in str(report)
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


def test_two_processes_share_the_films_of_a_batch(tmp_path: Path, folder: Path) -> None:
    (folder / "b.mp4").unlink()
    batch = batch_of(folder, tmp_path / "alone", CONFIG)
    assert batch is not None
    upscale_batch(batch, CONFIG, model=EchoModel())
    log = tmp_path / "log"
    options = ("--set", "share=true", "--pace", "0.15", "--log", str(log), "--batch")
    running = [start(folder, tmp_path / "out", *options) for _ in range(2)]
    for process in running:
        finish(process)
    alone, shared = (sorted((tmp_path / name).iterdir()) for name in ("alone", "out"))
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in alone]
    assert len(clips_by_process(log)) == 2


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
