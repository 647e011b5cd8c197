"""A batch outlives the process that upscales its films, and takes it along when it ends itself."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.jobs.resume.kills import CLIP_FRAMES, make_film
from tests.processes import is_running, wait_for_end
from vsr.config import UpscaleConfig
from vsr.jobs.batch import BatchReport, upscale_batch
from vsr.jobs.films import batch_of
from vsr.jobs.progress import Advance, Meter

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

ROOT = Path(__file__).parents[3]
CONFIG = UpscaleConfig(model="bicubic", max_clip_frames=CLIP_FRAMES)
PROCESS = re.compile(r"films are upscaled by process (\d+)")
LONG = 5000
"""Frames of a film that takes longer than anything that a test does meanwhile."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three films, of which the second has the most frames, and a file that is none."""
    films = tmp_path / "films"
    films.mkdir()
    make_film(films / "a.mp4", (5, 6))
    make_film(films / "b.mp4", (60,))
    make_film(films / "c.mkv", (7,))
    (films / "d.mp4").write_text("no film")
    return films


class Killer:
    """Sends a signal to the process of the films when the film with so many frames begins."""

    def __init__(self, kill: int, frames: int) -> None:
        self.kill, self.frames = kill, frames
        self.processes: list[int] = []

    def note(self, record: logging.LogRecord) -> None:
        if found := PROCESS.search(record.getMessage()):
            self.processes.append(int(found[1]))

    @contextmanager
    def progress(self, total: int | None) -> Generator[Advance]:
        if total == self.frames:
            os.kill(self.processes[-1], self.kill)
        yield Meter(total)


def batch_with(killer: Killer, films: Path, output: Path) -> BatchReport:
    batch = batch_of(films, output, CONFIG)
    assert batch is not None
    handler = logging.Handler()
    handler.emit = killer.note
    logger = logging.getLogger("vsr")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        return upscale_batch(batch, CONFIG, progress=killer.progress)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


REASONS = {
    signal.SIGSEGV: r"crashed at it \(SIGSEGV, segmentation fault\): convert the film",
    signal.SIGKILL: r"was killed \(SIGKILL\), as the system does when memory runs out",
}


@pytest.mark.parametrize(
    "kill", [signal.SIGSEGV, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_a_film_that_ends_its_process_fails_and_the_next_one_gets_a_new_process(
    tmp_path: Path, folder: Path, kill: signal.Signals
) -> None:
    for name in ("a.mp4", "c.mkv"):
        (folder / name).unlink()
    killer = Killer(kill, 60)
    report = batch_with(killer, folder, tmp_path / "out")
    line, other, count = str(report).splitlines()
    assert re.fullmatch(
        rf"FAILED {folder / 'b.mp4'}: .*{REASONS[kill]}.*finished clips are kept", line
    )
    assert other.startswith(f"FAILED {folder / 'd.mp4'}: ")
    assert "is not a video that can be read" in other
    assert count == "0 of 2 done, 2 failed"
    assert len(killer.processes) == 2
    assert not any(map(is_running, killer.processes))
    assert "Traceback" in "".join(report.failed[1][1].__notes__), "for --debug"


@pytest.mark.slow
def test_the_films_around_one_that_ends_its_process_are_made(tmp_path: Path, folder: Path) -> None:
    report = batch_with(Killer(signal.SIGSEGV, 60), folder, tmp_path / "out")
    assert [done.output.name for done in report.done] == ["a_x4.mp4", "c_x4.mkv"]
    assert [film.source.name for film, _ in report.failed] == ["b.mp4", "d.mp4"]
    again = batch_with(Killer(signal.SIGSEGV, -1), folder, tmp_path / "out")
    assert [film.source.name for film, _ in again.failed] == ["d.mp4"]
    assert (tmp_path / "out" / "b_x4.mp4").exists()


@pytest.mark.slow
def test_log_and_progress_of_the_process_are_those_of_the_batch(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    batch = batch_of(folder, tmp_path / "out", CONFIG)
    assert batch is not None
    meters: list[Meter] = []

    @contextmanager
    def progress(total: int | None) -> Generator[Advance]:
        meters.append(Meter(total))
        yield meters[-1]

    with caplog.at_level("INFO"):
        upscale_batch(batch, CONFIG, progress=progress)
    assert [str(meter.place) for meter in meters] == [f"film {n} of 4" for n in (1, 2, 3)]
    assert [(meter.done, meter.total) for meter in meters] == [(11, 11), (60, 60), (7, 7)]
    assert caplog.messages.count("bicubic on cpu in float32") == 1, "the model is loaded once"


@pytest.mark.slow
@pytest.mark.parametrize("films", [1, 3])
def test_two_ranks_upscale_their_films_or_shots_in_processes_of_their_own(
    tmp_path: Path, folder: Path, films: int
) -> None:
    (folder / "d.mp4").unlink()
    for name in ("b.mp4", "c.mkv")[films - 1 :]:
        (folder / name).unlink()
    alone = batch_of(folder, tmp_path / "alone", CONFIG)
    assert alone is not None
    upscale_batch(alone, CONFIG)
    command = [sys.executable, "-m", "vsr", "upscale", str(folder), str(tmp_path / "out")]
    command += ["--model", "bicubic", "--max-clip-frames", str(CLIP_FRAMES)]
    launch = {"WORLD_SIZE": "2", "MASTER_PORT": str(os.getpid())}
    ranks = [
        subprocess.Popen(
            command, env={**os.environ, **launch, "RANK": str(rank)}, cwd=ROOT, text=True
        )
        for rank in range(2)
    ]
    assert [rank.wait(200) for rank in ranks] == [0, 0]
    made, shared = (sorted((tmp_path / name).iterdir()) for name in ("alone", "out"))
    assert len(made) == films
    assert [path.read_bytes() for path in shared] == [path.read_bytes() for path in made]


@pytest.fixture
def running(tmp_path: Path) -> Generator["Callable[[], tuple[subprocess.Popen[str], int]]"]:
    """Start the command on a batch of a long film, and return it and the process of its films."""
    films = tmp_path / "films"
    films.mkdir()
    make_film(films / "a.mp4", (5,))
    make_film(films / "b.mp4", [50] * (LONG // 50))
    log = tmp_path / "log"
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple[subprocess.Popen[str], int]:
        command = [sys.executable, "-m", "vsr", "upscale", str(films), str(tmp_path / "out")]
        options = ["--model", "bicubic", "--max-clip-frames", str(CLIP_FRAMES), "--debug"]
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, *options], stderr=file, stdout=file, text=True, cwd=ROOT
            )
        started.append(process)
        journal = tmp_path / "out" / "b_x4.mp4.vsr" / "00000000.jsonl"
        deadline = time.monotonic() + 120
        while not (journal.exists() and journal.stat().st_size):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        return process, int(PROCESS.findall(log.read_text())[-1])

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_batch_that_is_killed_leaves_no_process(
    running: "Callable[[], tuple[subprocess.Popen[str], int]]",
) -> None:
    process, other = running()
    process.kill()
    process.wait()
    wait_for_end([other], 5)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("of_group", [False, True])
def test_a_batch_that_is_interrupted_says_what_is_kept(
    tmp_path: Path,
    running: "Callable[[], tuple[subprocess.Popen[str], int]]",
    number: signal.Signals,
    of_group: bool,
) -> None:
    """A terminal sends the signal to both processes, and `kill` to one."""
    process, other = running()
    if of_group:
        os.kill(other, number)
    process.send_signal(number)
    assert process.wait(10) == 130
    wait_for_end([other], 5)
    printed = (tmp_path / "log").read_text().splitlines()
    assert re.fullmatch(
        r"vsr: error: interrupted; \d+ frames are kept in .*: the same command goes on", printed[-1]
    )
    assert sum("film_server" in line for line in printed) == 0, "no trace of the other process"
