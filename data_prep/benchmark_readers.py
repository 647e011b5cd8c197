"""Times decord and PyAV reading a few frames at random positions of 720p videos, as training does.

    python data_prep/benchmark_readers.py FOLDER_OF_VIDEOS --clips 40

The first videos of the folder are re-encoded at 1280x720 with a key frame every 12 frames and every
250 frames, since seeking decodes all frames from the previous key frame. Both readers read the same
positions in turn, on one thread each, and open the file for every clip.
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
    parser.add_argument("folder", type=Path, help="folder of videos")
    parser.add_argument("--files", type=int, default=3, help="number of videos (default: 3)")
    parser.add_argument("--clips", type=int, default=40, help="clips per table row (default: 40)")
    parser.add_argument("--frames", type=int, default=8, help="frames per clip (default: 8)")
    parser.add_argument("--codec", default="libx264", help="encoder (default: libx264)")
    options = parser.parse_args(argv)
    videos = [p for p in list_media(options.folder) if p.suffix.lower() in VIDEO_SUFFIXES]
    print(
        "| key frame interval | reader | median ms per clip | 90th percentile | CPU ms per clip |"
    )
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
        f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.frames} frames per clip"
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
    """Wall-clock and CPU seconds of each clip, by reader."""
    rng = np.random.default_rng(0)
    seconds: dict[Access, list[tuple[float, float]]] = {reader: [] for reader in READERS}
    infos = {file: probe(file) for file in files}
    for number in range(clips + 1):
        file = files[int(rng.integers(len(files)))]
        length = frames / float(infos[file].average_rate or 25)
        # Not exactly at the time of a frame, where rounding would decide the first frame.
        start = float(rng.uniform(0, float(infos[file].duration or 1) - 2 * length))
        for reader in READERS if number % 2 else READERS[::-1]:
            began, began_cpu = time.perf_counter(), time.process_time()
            found = len(list(read_part(file, start=start, seconds=length, access=reader)))
            taken = time.perf_counter() - began, time.process_time() - began_cpu
            if number:  # the first clip also loads the libraries
                seconds[reader].append(taken)
            assert abs(found - frames) <= 1, f"{reader} gave {found} frames"
    return seconds


def row(seconds: Sequence[tuple[float, float]]) -> str:
    clock, cpu = (1000 * np.array(column) for column in zip(*seconds, strict=True))
    return f"{np.median(clock):.0f} | {np.percentile(clock, 90):.0f} | {cpu.mean():.0f}"


if __name__ == "__main__":
    sys.exit(main())
