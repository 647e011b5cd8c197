"""The steps from a folder to a manifest: each reads one, does its work and writes one.

Rows stream through a step, so that its memory does not grow with the set. An interrupted step
resumes from the parts beside its output. A step that is run again changes nothing, since the rows
show the work that is done.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from vsr.errors import InputError
from vsr.runtime.executor import WorkerOptions
from vsr.runtime.files import remove_folder
from vsr.training.data.clip_row import ClipRow, Split, row_to_plain
from vsr.training.data.manifest import (
    StoredManifest,
    manifest_exists,
    open_manifest,
    write_rows,
)
from vsr.training.data.photos import PHOTO_SUFFIXES
from vsr.training.data.videos import VIDEO_SUFFIXES
from vsr.training.preparation.clips import cut_into_shots, list_media, measure_clip, probe_clip
from vsr.training.preparation.judgement import FilterConfig, judge
from vsr.training.preparation.row_work import RowTask, work_on_rows


def probe_folder(
    root: Path, out: Path, *, shares: dict[Split, float], workers: WorkerOptions | None = None
) -> StoredManifest:
    """Writes the manifest of all pictures and videos below `root`.

    If `out` exists, the rows of unchanged files are kept with the results of later steps, and the
    rows of missing files are dropped.
    """
    known = open_manifest(out, root=root) if manifest_exists(out) else ()
    tasks = _probe_tasks(root, known)
    if (first := next(tasks, None)) is None:
        raise InputError(
            f"{root} has no pictures or videos; their names end in "
            f"{', '.join(sorted(PHOTO_SUFFIXES | VIDEO_SUFFIXES))}"
        )
    probed = work_on_rows(
        chain([first], tasks),
        partial(_probed, root=root.absolute(), shares=shares),
        folder=work_folder(out),
        root=root,
        settings={"step": "probe", "root": str(root.absolute()), "shares": shares},
        workers=workers,
    )
    return store(probed, out, root=root)


def split_shots(path: Path, out: Path, *, workers: WorkerOptions | None = None) -> StoredManifest:
    """Writes the manifest with each video that is still whole cut into its shots."""
    manifest = open_manifest(path)
    tasks = (
        RowTask(row.source, (row,), row if row.kind == "video" and row.shot is None else None)
        for row in manifest
    )
    cut = work_on_rows(
        tasks,
        partial(_cut, root=manifest.root),
        folder=work_folder(out),
        root=manifest.root,
        settings={"step": "split_shots", "manifest": str(path.absolute())},
        workers=workers,
        total=len(manifest),
    )
    return store(cut, out, root=manifest.root)


def filter_clips(
    path: Path, out: Path, *, config: FilterConfig, workers: WorkerOptions | None = None
) -> StoredManifest:
    """Write the manifest after measuring unmeasured clips and applying the limits to all.

    Clips that cannot be measured are not kept.
    """
    manifest = open_manifest(path)
    measured = work_on_rows(
        map(_measure_task, manifest),
        partial(_measured, root=manifest.root),
        folder=work_folder(out),
        root=manifest.root,
        settings={"step": "filter", "manifest": str(path.absolute())},
        workers=workers,
        total=len(manifest),
    )
    return store(judge(measured, config), out, root=manifest.root)


def summary(rows: Iterable[ClipRow]) -> str:
    """Counts of rows by kind and split, and of the reasons for rows that were not kept."""
    clips, kept, reasons = 0, Counter[str](), Counter[str]()
    for row in rows:
        clips += 1
        if row.kept:
            kept[f"{row.split} {row.kind}s"] += 1
        if row.reason:
            reasons[row.reason.split(":")[0].split(" ")[0]] += 1
    lines = [f"{clips} clips, {sum(kept.values())} of them kept"]
    lines += [f"  kept: {count} {what}" for what, count in sorted(kept.items())]
    lines += [f"  not kept: {count} for {reason}" for reason, count in sorted(reasons.items())]
    return "\n".join(lines)


def work_folder(out: Path) -> Path:
    """Path of the parts of a step that writes `out`, until they are all done."""
    return out.with_name(f".{out.name}.parts")


def store(rows: Iterable[ClipRow], out: Path, *, root: Path) -> StoredManifest:
    """The manifest `out` with the rows of a step, whose parts are gone."""
    write_rows(out, rows, root=root)
    remove_folder(work_folder(out))
    return open_manifest(out)


def _probe_tasks(root: Path, known: Iterable[ClipRow]) -> Iterator[RowTask]:
    """A task for each file, with its known rows if it is unchanged; both are in order."""
    groups = groupby(known, attrgetter("source"))
    source, rows = next(groups, ("", iter(())))
    for path in list_media(root):
        name = path.relative_to(root).as_posix()
        while source and source < name:
            source, rows = next(groups, ("", iter(())))
        found = tuple(rows) if source == name else ()
        if found and _is_unchanged(path, found[0]):
            yield RowTask(str(path), found)
        else:
            yield RowTask(str(path), (), path.absolute())


def _measure_task(row: ClipRow) -> RowTask:
    if row.sharpness is not None:
        return RowTask(row.key, (row,))
    failed = dataclasses.replace(row, kept=False, reason="cannot be decoded")
    return RowTask(row.key, (failed,), row)


def _is_unchanged(path: Path, row: ClipRow) -> bool:
    stat = path.stat()
    return (row.file_bytes, row.modified_ns) == (stat.st_size, stat.st_mtime_ns)


def _probed(path: Path, *, root: Path, shares: dict[Split, float]) -> list[dict[str, Any]]:
    return [row_to_plain(probe_clip(path, root, shares))]


def _cut(row: ClipRow, *, root: Path) -> list[dict[str, Any]]:
    return [row_to_plain(shot) for shot in cut_into_shots(row, root)]


def _measured(row: ClipRow, *, root: Path) -> list[dict[str, Any]]:
    return [row_to_plain(measure_clip(row, root))]
