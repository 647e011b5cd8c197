"""Measure the peak memory of `vsr restore`, and its speed, with and without repairs.

PYTHONPATH=. python tools/restore_memory.py [--size 640x480] [--frames 110] [--repairs LIST ...]
"""

import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

import cv2
import numpy as np

from vsr.config import NO_MODEL, UpscaleConfig
from vsr.degradation.film import add_dust, add_grain
from vsr.jobs.upscale import upscale
from vsr.runtime.memory import peak_resident_bytes

_NOTHING = "nothing"
_LISTS = (_NOTHING, "film", "film,scratches,fading")


def worn_film(folder: Path, size: tuple[int, int], frames: int) -> None:
    """One shot of a soft pan with grain and dust, as pictures."""
    width, height = size
    rng = np.random.default_rng(0)
    wide = cv2.resize(rng.random((12, 24, 3), np.float32), (width + 2 * frames, height))
    folder.mkdir()
    for number in range(frames):
        shown = wide[None, :, 2 * number : 2 * number + width]
        shown = add_grain(shown, sigma=6 / 255, size=0.8, colour=False, rng=rng)
        worn = add_dust(
            np.clip(shown, 0, 1),
            per_frame=20,
            radius=2.5,
            opacity=0.8,
            dark_share=0.5,
            fibre_share=0.1,
            rng=rng,
        )
        pixels = np.rint(np.clip(worn[0], 0, 1) * 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:06d}.png"), pixels)


def restore(film: Path, output: Path, repairs: str) -> None:
    """Restore a film and print the peak of memory in bytes, and the seconds."""
    chosen = None if repairs == _NOTHING else repairs
    began = time.monotonic()
    config = UpscaleConfig(model=NO_MODEL, restore=chosen, grain=0.5, lossless=True, fps="24")
    upscale(film, output, config)
    print(peak_resident_bytes(), time.monotonic() - began)


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--frames", type=int, default=110)
    parser.add_argument("--repairs", nargs="+", default=list(_LISTS), help="lists, each a run")
    parser.add_argument("--film", type=Path, nargs=2, metavar=("FILM", "OUTPUT"))
    options = parser.parse_args()
    if options.film:
        restore(*options.film, options.repairs[0])
        return
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film"
        worn_film(film, (width, height), options.frames)
        for number, repairs in enumerate(options.repairs):
            output = str(Path(folder) / f"{number}.mkv")
            command = [sys.executable, __file__, "--film", str(film), output, "--repairs", repairs]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            peak, seconds = map(float, printed.split()[-2:])
            print(f"| {repairs} | {peak / 1e6:.0f} MB | {options.frames / seconds:.1f} frames/s |")


if __name__ == "__main__":
    main()
