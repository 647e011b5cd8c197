"""Cuts the videos of a manifest into shots; with --write, also into files of their own.

    python data_prep/split_shots.py clips.parquet --workers 8
    python data_prep/split_shots.py clips.parquet --write SHOTS --crf 12 --max-side 1280

The files that --write makes are H.264 without sound, one a shot, for copies that travel or are
quicker to read; `probe.py SHOTS` makes their manifest.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import ffmpeg
import imageio_ffmpeg

from vsr.errors import OutputError
from vsr.runtime.files import atomic_file
from vsr.training.data.manifest import ClipRow, Manifest
from vsr.training.preparation.command import run, script
from vsr.training.preparation.steps import split_shots, summary
from vsr.training.preparation.work import finished, work_through


def main(argv: Sequence[str] | None = None) -> int:
    parser = script(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, help="manifest to write; default: the same")
    parser.add_argument("--write", type=Path, help="folder for one file a shot")
    parser.add_argument("--crf", type=int, default=12, help="quality of these files: 12")
    parser.add_argument("--max-side", type=int, help="their longer side at most, in pixels")
    return run(parser, split, argv)


def split(options: Namespace) -> str:
    out = options.out or options.manifest
    manifest = split_shots(options.manifest, out, workers=options.workers)
    if options.write is None:
        return summary(manifest)
    return f"{summary(manifest)}\n{write_shots(manifest, options)}"


def write_shots(manifest: Manifest, options: Namespace) -> str:
    folder: Path = options.write
    shots = {row.key: row for row in manifest.select(kind="video") if row.shot is not None}
    missing = {key: row for key, row in shots.items() if not shot_file(folder, row).is_file()}
    settings = {"crf": options.crf, "max_side": options.max_side}
    work = partial(write_shot, root=manifest.root, folder=folder, **settings)
    journal = folder / ".split_shots.journal"
    written = work_through(
        missing, work, journal=journal, settings=settings, workers=options.workers
    )
    finished(journal)
    return f"{len(written)} files written to {folder}, {len(shots) - len(missing)} were there"


def shot_file(folder: Path, row: ClipRow) -> Path:
    source = Path(row.source)
    return folder / source.parent / f"{source.stem}_{source.suffix[1:]}_shot{row.shot:04d}.mp4"


def write_shot(row: ClipRow, *, root: Path, folder: Path, crf: int, max_side: int | None) -> str:
    """Transcodes the frames of one shot into a file, which is complete or not there."""
    target = shot_file(folder, row)
    target.parent.mkdir(parents=True, exist_ok=True)
    # By time, as the manifest has it: ffmpeg counts other frames where an edit list hides some.
    video = ffmpeg.input(str(root / row.source), noautorotate=None).video
    video = video.filter("setpts", "PTS-STARTPTS")
    video = video.filter(
        "trim", start=float(row.start) - 1e-3 if row.start else 0.0, end=float(row.end) - 1e-3
    )
    video = video.filter("setpts", "PTS-STARTPTS")
    if max_side is not None and max(row.width, row.height) > max_side:
        scale = max_side / max(row.width, row.height)
        width, height = (2 * round(side * scale / 2) for side in (row.width, row.height))
        video = video.filter("scale", width, height, flags="area")
    try:
        with atomic_file(target) as partial_file:
            output = video.output(
                str(partial_file), vcodec="libx264", crf=crf, preset="veryfast", pix_fmt="yuv420p",
                format="mp4", fps_mode="passthrough", threads=1, map_metadata=-1,
            )  # fmt: skip
            output.run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), overwrite_output=True, quiet=True)
    except ffmpeg.Error as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[-1]
        raise OutputError(f"{target} cannot be written: {reason}") from error
    return str(target)


if __name__ == "__main__":
    sys.exit(main())
