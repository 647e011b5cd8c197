"""Kill workers and drivers at random moments, and compare what comes out in the end.

    python tests/jobs/cluster/kills.py --workers 10 --drivers 5 --cluster auto --seed 0

Without --cluster the workers are processes of this machine.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.jobs.resume.kills import clips_by_process, make_film

ROOT = Path(__file__).parents[3]
STANDIN = Path(__file__).with_name("standin.py")
SHOTS = (17, 9, 26, 14, 6, 21, 17, 12)
PACE = 0.15
DEADLINE = 300.0


@dataclass(frozen=True)
class Tally:
    """How often workers and drivers were killed, and how many films came whole out of it."""

    workers: int
    drivers: int
    films: int


def start(source: Path, output: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(STANDIN), str(source), str(output), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )


def finish(process: "subprocess.Popen[str]") -> str:
    printed, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, printed
    return printed


def kill_at_random(
    folder: Path,
    seed: int,
    *,
    workers: int,
    drivers: int,
    place: Sequence[str],
    split: bool = False,
) -> Tally:
    """Kill so many workers and drivers while films are upscaled, until each film is whole.

    `place` are the options that say where the workers are; `split`: shots are split. Raises
    AssertionError where the bytes differ from those of a run that nobody disturbed.
    """
    chance = random.Random(seed)
    source = make_film(folder / "film.mp4", SHOTS)
    ending, kind = (".mkv", ["--split"]) if split else (".mp4", [])
    whole = folder / f"whole{ending}"
    finish(start(source, whole, *kind))
    victims = ["worker"] * workers + ["driver"] * drivers
    chance.shuffle(victims)
    films = 0
    while victims:
        output = folder / f"{films}{ending}"
        while not output.exists():
            log = folder / "log"
            log.write_text("")
            driver = start(source, output, "--pace", str(PACE), "--log", str(log), *place, *kind)
            _disturb(driver, log, victims, chance)
        assert output.read_bytes() == whole.read_bytes(), f"film {films} differs"
        films += 1
    left = [path.name for path in folder.iterdir() if path.name.endswith((".vsr", ".old"))]
    assert not left, left
    return Tally(workers, drivers, films)


def _disturb(
    driver: "subprocess.Popen[str]", log: Path, victims: list[str], chance: random.Random
) -> None:
    """Kill the next victims of a run, at most two of its workers, until it ends."""
    for _ in range(2):
        if not victims or not _wait_for_clip(driver, log):
            break
        time.sleep(chance.uniform(0, 6 * PACE))
        if driver.poll() is not None:
            break
        if victims[-1] == "driver":
            driver.kill()
            driver.communicate()
            victims.pop()
            return
        if _kill_worker(log, chance):
            victims.pop()
    finish(driver)


def _wait_for_clip(driver: "subprocess.Popen[str]", log: Path) -> bool:
    """Wait until a clip is begun, by a worker that lives; False if the run has ended."""
    seen = log.read_text()
    deadline = time.monotonic() + DEADLINE
    while driver.poll() is None:
        if log.read_text() != seen and _living(log):
            return True
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return False


def _living(log: Path) -> list[int]:
    return [process for process in clips_by_process(log) if psutil.pid_exists(process)]


def _kill_worker(log: Path, chance: random.Random) -> bool:
    with suppress(IndexError, ProcessLookupError):
        os.kill(chance.choice(_living(log)), 9)
        return True
    return False


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--drivers", type=int, default=5)
    parser.add_argument("--cluster")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", action="store_true", help="split shots")
    options = parser.parse_args()
    place = ["--cluster", options.cluster] if options.cluster else ["--processes", "2"]
    with tempfile.TemporaryDirectory() as folder:
        tally = kill_at_random(
            Path(folder),
            options.seed,
            workers=options.workers,
            drivers=options.drivers,
            place=place,
            split=options.split,
        )
    print(f"seed {options.seed}: {tally}")


if __name__ == "__main__":
    main()
