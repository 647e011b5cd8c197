"""Shots of a manifest as video files of their own (extra `data`)."""

import importlib
from pathlib import Path
from typing import Any

from vsr.errors import DependencyError, OutputError, install_extra
from vsr.runtime.files import atomic_file
from vsr.training.data.clip_row import ClipRow


def shot_file(folder: Path, row: ClipRow) -> Path:
    """Return the path of the file of a shot."""
    source = Path(row.source)
    return folder / source.parent / f"{source.stem}_{source.suffix[1:]}_shot{row.shot:04d}.mp4"


def write_shot(row: ClipRow, *, root: Path, folder: Path, crf: int, max_side: int | None) -> str:
    """Transcode the frames of one shot to a file, which is complete or absent; returns its path."""
    ffmpeg, executable = _ffmpeg()
    target = shot_file(folder, row)
    target.parent.mkdir(parents=True, exist_ok=True)
    video = _shot_video(ffmpeg, row, root, max_side)
    try:
        with atomic_file(target) as partial:
            output = video.output(
                str(partial), vcodec="libx264", crf=crf, preset="veryfast", pix_fmt="yuv420p",
                format="mp4", fps_mode="passthrough", threads=1, map_metadata=-1,
            )  # fmt: skip
            output.run(cmd=executable, overwrite_output=True, quiet=True)
    except ffmpeg.Error as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[-1]
        raise OutputError(f"{target} cannot be written: {reason}") from error
    return str(target)


def _shot_video(ffmpeg: Any, row: ClipRow, root: Path, max_side: int | None) -> Any:
    """Return the ffmpeg graph that cuts a shot out of its video and reduces it."""
    # By time, as the manifest has it: ffmpeg counts other frames where an edit list hides some.
    video = ffmpeg.input(str(root / row.source), noautorotate=None).video
    video = video.filter("setpts", "PTS-STARTPTS")
    video = video.filter(
        "trim", start=float(row.start) - 1e-3 if row.start else 0.0, end=float(row.end) - 1e-3
    )
    video = video.filter("setpts", "PTS-STARTPTS")
    if max_side is None or max(row.width, row.height) <= max_side:
        return video
    scale = max_side / max(row.width, row.height)
    width, height = (2 * round(side * scale / 2) for side in (row.width, row.height))
    return video.filter("scale", width, height, flags="area")


def _ffmpeg() -> tuple[Any, str]:
    """Return ffmpeg-python and the path of the ffmpeg that its wheel brings."""
    try:
        ffmpeg = importlib.import_module("ffmpeg")
        return ffmpeg, importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except ImportError as error:
        raise DependencyError(
            f"--write needs {error.name}, which is not installed: {install_extra('data')}"
        ) from error
