"""Time the manifest code on faked clips of several sets, or the steps of `vsr data` on real ones.

    python tools/data_costs.py 10000 100000
    python tools/data_costs.py --media CLIPS

Each set has a process of its own. Its records are invented and no media are read; everything else
is what `vsr data` runs. Merging: four interleaved folders of parts, as four machines would write
them, become one manifest. Filtering: limits and near-duplicates of measured clips, a tenth of which
are copies within 3 bits.
"""

import platform
import random
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from fractions import Fraction
from itertools import islice
from pathlib import Path

from vsr.degradation import DegradationConfig
from vsr.runtime.memory import peak_resident_bytes
from vsr.training.data.clip_row import ClipRow, hashed_split
from vsr.training.data.manifest import open_manifest, write_part, write_rows
from vsr.training.data.manifest_file import GROUP_ROWS, batched
from vsr.training.preparation.judgement import FilterConfig
from vsr.training.preparation.near_duplicates import near_duplicates
from vsr.training.preparation.pairs import write_pairs
from vsr.training.preparation.steps import filter_clips, probe_folder, split_shots

_MACHINES = 4


def main(argv: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=int, nargs="*", metavar="N", help="clips of each set")
    parser.add_argument("--media", type=Path, metavar="FOLDER", help="videos to prepare instead")
    parser.add_argument("--one", action="store_true", help="measure one set in this process")
    options = parser.parse_args(argv)
    if options.one:
        measure(options.clips[0])
        return
    print(f"{platform.machine()}, {date.today()}")
    if options.media:
        measure_media(options.media)
        return
    print("clips       write   merge  filter  near-duplicates  CPU s; peak memory, disk")
    for clips in options.clips:
        subprocess.run([sys.executable, __file__, str(clips), "--one"], check=True)


def measure(clips: int) -> None:
    """Print the CPU seconds of each step, the peak memory and the size of the manifest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steps: dict[str, Callable[[], object]] = {
            "write": lambda: write_parts(folder / "parts", clips),
            "merge": lambda: write_rows(
                folder / "merged", open_manifest(folder / "parts"), root=folder
            ),
            "filter": lambda: filter_clips(
                folder / "merged", folder / "filtered", config=FilterConfig()
            ),
            "near": lambda: sum(1 for _ in near_duplicates(hashes(clips), max_bits=4)),
        }
        seconds = {name: cpu_seconds(step) for name, step in steps.items()}
        copies = sum(row.reason.startswith("near") for row in open_manifest(folder / "filtered"))
        disk = sum(path.stat().st_size for path in (folder / "filtered").iterdir())
    peak = peak_resident_bytes() / 2**20
    print(
        f"{clips:<10} "
        + " ".join(f"{value:7.2f}" for value in seconds.values())
        + f"   {peak:.0f} MiB, {disk / clips:.0f} B a clip; {copies} near-duplicates",
        flush=True,
    )


def measure_media(media: Path) -> None:
    """Print the CPU milliseconds a video of each step."""
    limits = FilterConfig(min_sharpness=0, max_text=1, max_motion=1000, duplicate_bits=-1)
    with tempfile.TemporaryDirectory() as name:
        clips, pairs = Path(name) / "clips", Path(name) / "pairs"
        steps: dict[str, Callable[[], object]] = {
            "probe": lambda: probe_folder(media, clips, shares={}),
            "split": lambda: split_shots(clips, clips),
            "filter": lambda: filter_clips(clips, clips, config=limits),
            "degrade": lambda: write_pairs(
                open_manifest(clips), pairs, split=None, degradation=DegradationConfig()
            ),
        }
        for name, step in steps.items():
            seconds = cpu_seconds(step)
            print(f"{name}: {1000 * seconds / len(open_manifest(clips)):.0f} ms CPU a clip")


def cpu_seconds(step: Callable[[], object]) -> float:
    began = time.process_time()
    step()
    return time.process_time() - began


def write_parts(folder: Path, clips: int) -> None:
    """Parts whose names interleave, as machines write them that took every fourth clip each."""
    folder.mkdir()
    number = 0
    for machine in range(_MACHINES):
        for rows in batched(islice(rows_of_set(clips), machine, None, _MACHINES), GROUP_ROWS):
            write_part(folder, number, rows, root=folder.parent)
            number += 1


def rows_of_set(clips: int) -> Iterator[ClipRow]:
    for number, phash in enumerate(hashes(clips)):
        source = f"{number // 10000:05d}/film_{number:09d}.mp4"
        yield ClipRow(
            source, "video", hashed_split(source, {"validation": 0.05, "test": 0.05}),
            file_bytes=9_000_000 + number, modified_ns=1_700_000_000_000_000_000 + number,
            width=1280, height=720, end_frame=120, end=Fraction(1001, 200),
            rate=Fraction(24000, 1001), shot=0, motion=float(number % 50), sharpness=12.5,
            bar_top=0, bar_bottom=0, bar_left=0, bar_right=0, text=0.0, phash=phash,
        )  # fmt: skip


def hashes(clips: int) -> Iterator[str]:
    """Random hashes; each tenth is one of the last thousand with up to 3 bits changed."""
    chance = random.Random(0)
    last = [chance.getrandbits(64) for _ in range(1000)]
    for number in range(clips):
        value = chance.getrandbits(64)
        if number % 10 == 9:
            value = chance.choice(last)
            for _ in range(chance.randrange(4)):
                value ^= 1 << chance.randrange(64)
        else:
            last[number % 1000] = value
        yield f"{value:016x}"


if __name__ == "__main__":
    main()
