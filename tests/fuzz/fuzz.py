"""Upscale damaged films with a stand-in network: each must be made or refused in one line.

python tests/fuzz/fuzz.py --mutations 500 --seed 0
python tests/fuzz/fuzz.py --only film.mkv:17        # one of them again, with its trace
"""

import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import write_seeds
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import VsrError
from vsr.jobs.info import describe
from vsr.jobs.upscale import upscale

HANG_SECONDS = 20
"""Of computing time."""
_WAIT_SECONDS = 60
"""For a case that computes less than that."""
_MEMORY = 12 << 30
_OUTPUT = ("out.mkv", "out.mkv.vsr")
_MADE, _REFUSED, _TRACE, _OUTSIDE = range(4)
_RESULTS = {_MADE: "made", _REFUSED: "refused", _TRACE: "trace", _OUTSIDE: "write outside"}
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink")


@dataclass
class Tally:
    """The number of cases by result, and those that failed, in words."""

    counts: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))
        return "\n".join([*self.failures, counts])


def fuzz(folder: Path, *, mutations: int, seed: int, minutes: float = 30) -> Tally:
    """Try so many mutations of each film, as far as the time allows."""
    tally, end = Tally(), time.monotonic() + 60 * minutes
    films = write_seeds(_new(folder / "seeds"))
    for number in range(mutations):
        for film in films:
            if time.monotonic() > end:
                return tally
            case = _new(folder / f"{film.name}.{number}")
            source = make_case(case, film, number, seed=seed)
            result, message = run(lambda source=source: use(source), case)
            if others := {path.name for path in case.iterdir()} - {film.name, *_OUTPUT}:
                result, message = _RESULTS[_OUTSIDE], ", ".join(sorted(others))
            tally.counts[result] += 1
            if result not in (_RESULTS[_MADE], _RESULTS[_REFUSED]):
                tally.failures.append(f"{film.name}:{number}: {result}: {message}")
            shutil.rmtree(case)
    return tally


def make_case(folder: Path, film: Path, number: int, *, seed: int) -> Path:
    """Write a mutation of a film into a folder, and return it."""
    chance = random.Random(f"{seed} {film.name} {number}")
    source = folder / film.name
    source.write_bytes(mutated(film.read_bytes(), chance))
    return source


def use(source: Path) -> None:
    """Describe and upscale a film, at its own size."""
    config = UpscaleConfig(max_clip_frames=4, scale=1, tolerant=True)
    describe(str(source))
    upscale(source, source.with_name(_OUTPUT[0]), config, model=EchoModel())


def run(work: Callable[[], None], folder: Path) -> tuple[str, str]:
    """Do the work in a forked process that may write into `folder` only; result and message."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work_in_child(work, folder, writing)
    os.close(writing)
    ended = select.select([reading], [], [], _WAIT_SECONDS)[0]
    message = os.read(reading, 1000).decode(errors="replace") if ended else ""
    os.close(reading)
    if not ended:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGXCPU:
        return "hang", f"over {HANG_SECONDS} s of computing"
    if not ended:
        return "hang", f"over {_WAIT_SECONDS} s"
    return _RESULTS.get(code, f"end by signal {-code}" if code < 0 else f"exit {code}"), message


def _work_in_child(work: Callable[[], None], folder: Path, pipe: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # FFmpeg's lines
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (HANG_SECONDS, HANG_SECONDS + 5))
    outside: list[str] = []
    sys.addaudithook(lambda event, args: outside.extend(_writes(event, args, folder)))
    result, message = _MADE, ""
    try:
        work()
    except (VsrError, MemoryError) as error:
        result, message = _REFUSED, str(error)
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        result, message = _TRACE, f"{type(error).__name__}: {error} ({place.name}, {place.lineno})"
    if outside:
        result, message = _OUTSIDE, outside[0]
    os.write(pipe, message[:900].encode(errors="replace") or b" ")
    os._exit(result)


def _writes(event: str, args: Sequence[Any], folder: Path) -> Iterator[str]:
    """Yield the paths outside of the folder that an event of Python changes."""
    if event == "open" and isinstance(args[2], int):
        paths = args[:1] if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else ()
    else:
        paths = args[:2] if event in _CHANGES else ()
    for path in paths:
        if isinstance(path, str | bytes | os.PathLike):
            name = os.path.realpath(os.fsdecode(path))
            if not name.startswith((f"{folder.resolve()}/", "/dev/")):
                yield f"{event} {name}"


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _again(folder: Path, only: str, seed: int) -> None:
    name, _, number = only.partition(":")
    films = {film.name: film for film in write_seeds(_new(folder / "seeds"))}
    use(make_case(_new(folder / "case"), films[name], int(number), seed=seed))


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=500, help="of each of the eight films")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30, help="stop after this time")
    parser.add_argument("--only", metavar="FILM:NUMBER", help="try one mutation, with its trace")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.only:
            _again(Path(name), options.only, options.seed)
            return
        tally = fuzz(
            Path(name), mutations=options.mutations, seed=options.seed, minutes=options.minutes
        )
    print(f"seed {options.seed}: {tally}")


if __name__ == "__main__":
    main()
