"""Measure the memory of jobs on a short and a long film, through a stand-in for the network.

python tests/jobs/memory.py --seconds 10 600
"""

import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.jobs.resume.kills import make_film
from tests.jobs.resume.standin import EchoModel
from vsr.config import UpscaleConfig
from vsr.jobs.upscale import upscale
from vsr.runtime.memory import peak_resident_bytes

_RATE, _SHOT_FRAMES = 24, 120


def peak_megabytes(film: Path, output: Path, *options: str) -> float:
    """Return the largest resident memory of a process that upscales the film."""
    command = [sys.executable, __file__, "--film", str(film), str(output), *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(printed.split()[-1])


def long_film(path: Path, seconds: float) -> Path:
    """A film of so many seconds, in shots of five, with a tone."""
    return make_film(path, [_SHOT_FRAMES] * round(seconds * _RATE / _SHOT_FRAMES))


def _upscale(film: Path, output: Path, network: str | None) -> None:
    config = UpscaleConfig(max_clip_frames=16, model=network or UpscaleConfig().model)
    upscale(film, output, config, model=None if network else EchoModel())
    print(peak_resident_bytes() / 1024**2)


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 600])
    parser.add_argument("--suffix", default=".mp4", help="of the output: its container")
    parser.add_argument("--model", help="a real network (default: a stand-in)")
    parser.add_argument("--film", type=Path, nargs=2, metavar=("FILM", "OUTPUT"))
    options = parser.parse_args()
    if options.film:
        _upscale(*options.film, options.model)
        return
    model = ["--model", options.model] if options.model else []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in options.seconds:
            film = long_film(Path(folder) / f"{seconds}.mp4", seconds)
            output = Path(folder) / f"out_{seconds}{options.suffix}"
            peak = peak_megabytes(film, output, *model)
            print(f"{seconds:g} s of film: {peak:.1f} MB")


if __name__ == "__main__":
    main()
