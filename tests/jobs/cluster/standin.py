"""A film upscaled on workers with a stand-in for the networks, to be timed and killed.

    python tests/jobs/cluster/standin.py INPUT OUTPUT [--processes N | --cluster ADDRESS]
                                         [--pace SECONDS] [--log FILE] [--warm] [--split]

With --split clips hand no state on, so that shots are split; the output is FFV1. With --warm the
workers start before the time is taken. The log has a line for every clip that is begun. Without
workers the film is upscaled by this process.
"""

import os
import sys
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.jobs.resume.standin import Echo, EchoModel
from vsr.config import UpscaleConfig
from vsr.errors import VsrError
from vsr.jobs.cluster.driver import upscale_batch_on, upscale_on
from vsr.jobs.films import batch_of
from vsr.jobs.upscale import upscale
from vsr.runtime.executor import WorkerOptions, open_executor
from vsr.runtime.timing import Timer
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip

CONFIG = UpscaleConfig(max_clip_frames=4)
SPLIT = UpscaleConfig(max_clip_frames=4, model="lanczos", codec="ffv1")


@dataclass(frozen=True)
class PacedModel(EchoModel):
    """Takes `pace` seconds for a clip, and writes each clip into a log."""

    pace: float = 0.0
    log: Path | None = None
    hands_on: bool = True

    def load(self, size: Size, timer: Timer) -> Echo:
        del timer
        return Echo(size, self._begin_clip, hands_on=self.hands_on)

    def _begin_clip(self, clip: Clip) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{os.getpid()} {clip.first_frame_index} {len(clip.frames)}\n")
        time.sleep(self.pace)


def paced(config: UpscaleConfig, pace: float = 0.0, log: Path | None = None) -> PacedModel:
    return PacedModel(pace=pace, log=log, hands_on=config.model != SPLIT.model)


def _warm_up(seconds: float) -> None:
    """Imports what a worker does, and lasts, so that each worker gets one such task."""
    import vsr.jobs.cluster.worker  # noqa: F401

    time.sleep(seconds)


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--cluster")
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--warm", action="store_true")
    parser.add_argument("--split", action="store_true")
    options = parser.parse_args()
    config = SPLIT if options.split else CONFIG
    load = partial(paced, pace=options.pace, log=options.log)
    began = time.monotonic()
    try:
        if not options.processes and options.cluster is None:
            print(upscale(options.source, options.output, config, model=load(config)))
        else:
            workers = WorkerOptions(processes=options.processes, cluster=options.cluster)
            batch = batch_of(options.source, options.output, config)
            with open_executor(workers) as executor:
                if options.warm:
                    list(executor.map(_warm_up, [5.0] * executor.workers))
                started = time.monotonic()
                if batch is None:
                    films = (options.source, options.output)
                    print(upscale_on(executor, *films, config, load_model=load))
                else:
                    print(upscale_batch_on(executor, batch, config, load_model=load))
                print(f"without the start: {time.monotonic() - started:.1f} s")
    except VsrError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"in all: {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
