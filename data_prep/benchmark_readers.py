"""Times decord against PyAV at what training asks of them: a few frames at random places of 720p.

    python data_prep/benchmark_readers.py FOLDER_OF_VIDEOS --clips 40

The first videos of the folder are encoded anew at 1280x720, once with a key frame every 12 frames
and once every 250, since seeking costs what lies between key frame and place. Both readers get the
same places in turn, each on one thread; every clip opens its file, as training does.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np

from vsr.training.data.random_access import Access, read_part
from vsr.training.data.videos import VIDEO_SUFFIXES
from vsr.training.preparation.clips import list_media
from vsr.video.probe import probe

READERS: tuple[Access, ...] = ("decord", "av")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=3, help="videos taken from the folder: 3")
    parser.add_argument("--clips", type=int, default=40, help="random clips a table row: 40")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--codec", default="libx264", help="encoder of the files: libx264")
    options = parser.parse_args(argv)
    videos = [p for p in list_media(options.folder) if p.suffix.lower() in VIDEO_SUFFIXES]
    print("| key frames every | reader | ms a clip, median | 90 % below | ms of CPU a clip |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for interval in (12, 250):
            files = [
                encode(video, Path(folder) / f"{interval}_{number}.mp4", interval, options.codec)
                for number, video in enumerate(videos[: options.files])
            ]
            for reader, seconds in time_readers(files, options.clips, options.frames).items():
                print(f"| {interval} frames | {reader} | {row(seconds)} |")
    print(
        f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.frames} frames a clip"
    )
    return 0


def encode(source: Path, target: Path, interval: int, codec: str) -> Path:
    video = ffmpeg.input(str(source)).video.filter("scale", 1280, 720)
    output = video.output(
        str(target), vcodec=codec, g=interval, keyint_min=interval, crf=20, preset="veryfast",
        pix_fmt="yuv420p", sc_threshold=0,
    )  # fmt: skip
    output.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), overwrite_output=True, quiet=True)
    return target


def time_readers(
    files: Sequence[Path], clips: int, frames: int
) -> dict[Access, list[tuple[float, float]]]:
    """Seconds of the clock and of all threads' CPU, by reader and clip."""
    rng = np.random.default_rng(0)
    seconds: dict[Access, list[tuple[float, float]]] = {reader: [] for reader in READERS}
    infos = {file: probe(file) for file in files}
    for number in range(clips + 1):
        file = files[int(rng.integers(len(files)))]
        length = frames / float(infos[file].average_rate or 25)
        # Not on a frame's time, where rounding decides which frame is the first.
        start = float(rng.uniform(0, float(infos[file].duration or 1) - 2 * length))
        for reader in READERS if number % 2 else READERS[::-1]:
            began, began_cpu = time.perf_counter(), time.process_time()
            found = len(list(read_part(file, start=start, seconds=length, access=reader)))
            taken = time.perf_counter() - began, time.process_time() - began_cpu
            if number:  # the first clip loads libraries
                seconds[reader].append(taken)
            assert abs(found - frames) <= 1, f"{reader} gave {found} frames"
    return seconds


def row(seconds: Sequence[tuple[float, float]]) -> str:
    clock, cpu = (1000 * np.array(column) for column in zip(*seconds, strict=True))
    return f"{np.median(clock):.0f} | {np.percentile(clock, 90):.0f} | {cpu.mean():.0f}"


if __name__ == "__main__":
    sys.exit(main())
