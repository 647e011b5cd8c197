"""Kill a job at random moments and compare what comes out in the end.

python tests/jobs/resume/kills.py --kills 100 --seed 0
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from vsr.video.writing.encoders import STEADY_X264

STANDIN = Path(__file__).with_name("standin.py")
PACE = 0.1
CLIP_FRAMES = 4
SHOTS = (9, 14, 6, 17, 5)
LIGHTS = (190, 90, 150, 50)


@dataclass(frozen=True)
class Tally:
    """How often a job was killed, how many films came whole out of it, and the most clips that were
    begun again after a kill."""

    kills: int
    films: int
    most_lost: int


def make_film(path: Path, shots: Sequence[int] = SHOTS, *, gaps: Sequence[int] = (1,)) -> Path:
    """A film of 32x24 with shots of so many frames, and a tone.

    `gaps` are the distances between frames, in 1/24 s, again and again.
    """
    time_base = Fraction(1, 24)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=24, options={"crf": "10", **STEADY_X264})
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        video.codec_context.time_base = video.time_base = time_base
        audio = container.add_stream("aac", rate=16000, layout="mono")
        pts = 0
        for number, picture in enumerate(film_pictures(shots)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = pts, time_base
            pts += gaps[number % len(gaps)]
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for number in range(pts * 16000 // 24 // 1024):
            samples = np.sin(np.arange(1024, dtype=np.float32) / 8)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 1024 * number
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def film_pictures(shots: Sequence[int]) -> Iterator[np.ndarray]:
    """Waves that move; each shot is much brighter or darker than those beside it."""
    rows, columns = np.mgrid[:24, :32]
    for number, length in enumerate(shots):
        light = LIGHTS[number % len(LIGHTS)]
        for t in range(length):
            phases = [(columns - t) / 5, rows / 4 + number, (columns - t + rows) / 7]
            waves = [light + 30 * np.sin(phase) for phase in phases]
            yield np.stack(waves, axis=-1).astype(np.uint8)


def start(
    source: Path, output: Path, *options: str, rank: int = 0, world: int = 1
) -> "subprocess.Popen[str]":
    """Start a job, as rank `rank` of `world` as by a launcher."""
    command = [sys.executable, str(STANDIN), str(source), str(output)]
    command += ["--set", f"max_clip_frames={CLIP_FRAMES}", *options]
    launch = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **launch, "MASTER_PORT": str(os.getpid())},
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """What it printed; an AssertionError with what went wrong if anything did."""
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return printed


def kill_at_random(
    folder: Path, kills: int, seed: int, *, name: str = "out.mp4", world: int = 1
) -> Tally:
    """Kill jobs at random moments, again and again until each film is whole.

    Of the ranks of a launch one is killed, and the others must end with an error that names it; or
    all are killed, as by a power cut.

    Raises AssertionError where the bytes differ from those of a run that nobody disturbed.
    """
    chance = random.Random(seed)
    source = make_film(folder / "film.mp4")
    began = time.monotonic()
    whole = folder / f"whole_{name}"
    finish(start(source, whole, "--pace", str(PACE)))
    seconds = time.monotonic() - began
    done, films, most_lost = 0, 0, 0
    while done < kills:
        output, log = folder / f"{films}_{name}", folder / f"{films}.log"
        while not output.exists() or list(folder.glob(f"{output.name}.vsr*")):
            options = ("--pace", str(PACE), "--log", str(log))
            running = [start(source, output, *options, rank=r, world=world) for r in range(world)]
            try:
                running[0].wait(chance.uniform(0.3, 0.95) * seconds if done < kills else 120)
                for process in running:
                    finish(process)
            except subprocess.TimeoutExpired:
                victims = [chance.choice(running)] if chance.random() < 0.5 else running
                _kill(victims, running)
                done += 1
        assert output.read_bytes() == whole.read_bytes(), f"film {films} differs"
        most_lost = max(most_lost, lost_clips(log) if world == 1 else 0)
        films += 1
    left = [path.name for path in folder.iterdir() if "vsr" in path.name]
    assert not left, left
    return Tally(done, films, most_lost)


def _kill(victims: Sequence["subprocess.Popen[str]"], all_ranks: Sequence[Any]) -> None:
    """Kill ranks; the others end, after up to 240 s if they miss one that died at its start."""
    for process in victims:
        process.kill()
    for process in all_ranks:
        _, errors = process.communicate(timeout=300)
        if process not in victims and process.returncode != 0:
            assert "run the same command again" in errors, errors


def clips_by_process(log: Path) -> dict[int, int]:
    """How many clips each process has begun."""
    begun = [int(line.split()[0]) for line in log.read_text().splitlines()]
    return {process: begun.count(process) for process in begun}


def lost_clips(log: Path) -> int:
    """The most clips that one run had begun and the next began again."""
    begun = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    clips = sorted({first for _, first, _ in begun})
    runs = [[first for _, first, _ in run] for _, run in groupby(begun, key=lambda line: line[0])]
    return max((clips.index(a[-1]) - clips.index(b[0]) + 1 for a, b in pairwise(runs)), default=0)


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="out.mp4", help="its ending chooses the codec")
    parser.add_argument("--world", type=int, default=1, help="number of launched ranks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = kill_at_random(
            Path(folder), options.kills, options.seed, name=options.name, world=options.world
        )
    print(f"seed {options.seed}: {tally}")


if __name__ == "__main__":
    main()
