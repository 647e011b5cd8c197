"""A job with a stand-in for the networks, which starts in a second and is quick: to be killed.

    python tests/jobs/resume/standin.py INPUT OUTPUT [--pace SECONDS] [--log FILE]
                                        [--set KEY=VALUE ...] [--batch]

Its frames depend on all frames of the shot before them, by a state that clips hand on: a run that
goes on wrongly writes other bytes. The log has a line for every clip that is begun.
"""

import json
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from vsr.config import UpscaleConfig
from vsr.errors import VsrError
from vsr.jobs.batch import upscale_batch
from vsr.jobs.films import batch_of
from vsr.jobs.upscale import upscale
from vsr.runtime.timing import Timer
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip


@dataclass(frozen=True)
class MadeClip:
    pixels: np.ndarray
    pts: tuple[int, ...]


@dataclass
class Echo:
    """Enlarges frames and mixes each with the mean of those before it, in its clip at least."""

    size: Size
    begin: Callable[[Clip], None]
    hands_on: bool = True
    state: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __call__(self, clip: Clip) -> MadeClip:
        self.begin(clip)
        if clip.starts_shot or not self.hands_on:
            self.state = np.zeros(0)
        made = []
        for frame in clip.frames:
            size = (self.size.width, self.size.height)
            large = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_NEAREST).astype(float)
            self.state = large if self.state.size == 0 else 0.5 * self.state + 0.5 * large
            made.append(self.state.round().astype(np.uint8))
        return MadeClip(np.stack(made), tuple(frame.pts for frame in clip.frames))

    def carried(self) -> bytes:
        return self.state.tobytes()

    def resume(self, carried: bytes) -> None:
        self.state = np.frombuffer(carried).reshape(self.size.height, self.size.width, 3)


@dataclass(frozen=True)
class EchoModel:
    begin: Callable[[Clip], None] = lambda clip: None
    name: str = "echo"

    def identity(self) -> Mapping[str, Any]:
        return {"content of the model": self.name}

    def load(self, size: Size, timer: Timer) -> Echo:
        return Echo(size, self.begin)


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--batch", action="store_true")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    chosen = dict(pair.split("=", 1) for pair in options.set)
    config = UpscaleConfig(**{key: json.loads(value) for key, value in chosen.items()})

    def begin(clip: Clip) -> None:
        if options.log:
            with options.log.open("a") as file:
                file.write(f"{os.getpid()} {clip.first_frame_index} {len(clip.frames)}\n")
        time.sleep(options.pace)

    try:
        model = EchoModel(begin)
        if options.batch:
            batch = batch_of(options.source, options.output, config)
            assert batch is not None
            print(upscale_batch(batch, config, model=model))
        else:
            print(upscale(options.source, options.output, config, model=model))
    except VsrError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(error, file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
