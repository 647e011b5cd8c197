"""The ranks of a launch make one output, and write what one process would write."""

import shutil
import time
from pathlib import Path

import pytest

from tests.jobs.resume.kills import (
    CLIP_FRAMES,
    LIGHTS,
    clips_by_process,
    finish,
    kill_at_random,
    make_film,
    start,
)
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, OutputError
from vsr.jobs.upscale import upscale
from vsr.runtime.launcher import ALONE, Ranks, launched_ranks, local_rank

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


def wait_for_clips(log: Path, processes: int) -> None:
    """Wait until that many processes have begun a clip."""
    deadline = time.monotonic() + 60
    while not log.exists() or len(clips_by_process(log)) < processes:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_split_the_shots_and_write_the_bytes_of_one_process(
    tmp_path: Path, film: Path, whole: bytes, world: int
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    running = [
        start(film, output, "--log", str(log), rank=rank, world=world) for rank in range(world)
    ]
    printed = [finish(process) for process in running]
    assert output.read_bytes() == whole
    assert "frames at 128x96" in printed[0]
    assert "another rank has made it" in printed[1]
    clips = {0: 12, 1: 12} if world == 2 else {0: 8, 1: 8, 2: 8}
    assert sum(clips_by_process(log).values()) <= sum(clips.values())
    assert len(clips_by_process(log)) == world
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "out.mp4"]


def test_a_rank_that_died_is_named_and_the_same_command_continues(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    options = ("--pace", "0.3", "--log", str(log))
    leader, victim = (start(film, output, *options, rank=rank, world=2) for rank in (0, 1))
    wait_for_clips(log, 2)
    victim.kill()
    victim.communicate()
    _, error = leader.communicate(timeout=60)
    assert leader.returncode == 1
    assert f"rank 1 (process {victim.pid} on" in error
    assert "run the same command again" in error
    upscale(film, output, CONFIG, model=EchoModel())  # by one process: the split may change
    assert output.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "out.mp4"]


def test_ranks_whose_rank_0_died_say_so(tmp_path: Path, film: Path) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    options = ("--pace", "0.3", "--log", str(log))
    victim, other = (start(film, output, *options, rank=rank, world=2) for rank in (0, 1))
    wait_for_clips(log, 2)
    victim.kill()
    victim.communicate()
    _, error = other.communicate(timeout=60)
    assert other.returncode == 1
    assert f"rank 0 (process {victim.pid} on" in error


def test_killed_while_the_work_is_removed_ranks_find_the_output_whole(
    tmp_path: Path, film: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    with monkeypatch.context() as patched:
        patched.setattr("vsr.jobs.resume.run_folder.delete_work", lambda folder: None)
        upscale(film, output, CONFIG, model=EchoModel())
    assert (tmp_path / "out.mp4.vsr.old" / "joined.json").exists()
    running = [start(film, output, "--log", str(log), rank=rank, world=2) for rank in (0, 1)]
    for process in running:
        assert "is whole" in finish(process)
    assert not log.exists(), "nothing is made again"
    assert output.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_rank_that_never_comes_is_named(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsr.jobs.resume.run_folder._START_SECONDS", 0.3)
    with pytest.raises(OutputError, match="rank 1 of 2 did not begin within 0 s"):
        upscale(film, tmp_path / "out.mp4", CONFIG, model=EchoModel(), ranks=Ranks(0, 2))
    assert list(tmp_path.iterdir()) == []


def test_killed_at_random_moments_ranks_end_in_the_bytes_of_one_process(tmp_path: Path) -> None:
    assert kill_at_random(tmp_path, kills=3, seed=5, world=2).kills == 3


@pytest.mark.slow
def test_killed_fifty_times_ranks_end_in_the_bytes_of_one_process(tmp_path: Path) -> None:
    assert kill_at_random(tmp_path, kills=50, seed=1, world=2).kills == 50


@pytest.mark.parametrize(
    ("world", "rank", "expected"),
    [("2", "1", (1, 2)), ("1", "0", (0, 1)), ("", "", (0, 1))],
)
def test_the_launcher_s_environment_is_understood(
    monkeypatch: pytest.MonkeyPatch, world: str, rank: str, expected: tuple[int, int]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", world)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("LOCAL_RANK", rank)
    ranks = launched_ranks()
    assert (ranks.rank, ranks.world) == expected
    assert local_rank() == expected[0]


def test_processes_without_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="RANK is not set"):
        launched_ranks()


def test_of_two_runs_on_one_output_the_second_is_refused(
    tmp_path: Path, film: Path, whole: bytes
) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log"
    first = start(film, output, "--pace", "0.5", "--log", str(log))
    wait_for_clips(log, 1)
    for ranks in (ALONE, Ranks(0, 2, "another launch"), Ranks(1, 2, "another launch")):
        with pytest.raises(OutputError, match=rf"another run is writing .* \(process {first.pid}"):
            upscale(film, output, CONFIG, model=EchoModel(), ranks=ranks)
    finish(first)
    assert output.read_bytes() == whole


@pytest.mark.parametrize("kind", ["folder", "link", "removed"])
def test_a_folder_that_vsr_did_not_make_is_never_touched(
    tmp_path: Path, film: Path, kind: str
) -> None:
    output, mine = tmp_path / "out.mp4", tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("precious")
    work = tmp_path / ("out.mp4.vsr.old" if kind == "removed" else "out.mp4.vsr")
    if kind == "link":
        work.symlink_to(mine)
    else:
        shutil.copytree(mine, work)
    for config in (CONFIG, UpscaleConfig(max_clip_frames=CLIP_FRAMES, restart=True)):
        with pytest.raises(OutputError, match="is in the way"):
            upscale(film, output, config, model=EchoModel())
    assert (work / "letter.txt").read_text() == "precious"
    assert not output.exists()


def test_a_file_that_a_person_put_into_the_work_folder_stays(tmp_path: Path, film: Path) -> None:
    output = tmp_path / "out.mp4"
    mine = tmp_path / "out.mp4.vsr.old" / "letter.txt"

    def begin(clip: object) -> None:
        (tmp_path / "out.mp4.vsr" / "letter.txt").write_text("precious")

    upscale(film, output, CONFIG, model=EchoModel(begin))
    assert output.exists()
    assert mine.read_text() == "precious"
