"""The steps from a folder to a manifest: each reads one, does its work and writes one.

An interrupted step resumes from its journal. A step that is run again changes nothing, since the
rows show the work that is done.
"""

import logging
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from vsr.errors import InputError
from vsr.training.data.manifest import (
    ClipRow,
    Manifest,
    Split,
    read_manifest,
    row_from_plain,
    row_to_plain,
    write_manifest,
)
from vsr.training.data.photos import PHOTO_SUFFIXES
from vsr.training.data.videos import VIDEO_SUFFIXES
from vsr.training.preparation.clips import (
    FilterConfig,
    cut_into_shots,
    judge,
    list_media,
    measure_clip,
    probe_clip,
)
from vsr.training.preparation.work import finished, work_through

_log = logging.getLogger(__name__)


def probe_folder(root: Path, out: Path, *, shares: dict[Split, float], workers: int) -> Manifest:
    """Writes the manifest of all pictures and videos below `root`.

    If `out` exists, the rows of unchanged files are kept with the results of later steps, and the
    rows of missing files are dropped.
    """
    known: dict[str, list[ClipRow]] = {}
    for row in read_manifest(out, root=root).rows if out.is_file() else ():
        known.setdefault(row.source, []).append(row)
    kept: list[ClipRow] = []
    new: dict[str, Path] = {}
    for path in list_media(root):
        rows = known.get(path.relative_to(root).as_posix(), [])
        if rows and _is_unchanged(path, rows[0]):
            kept += rows
        else:
            new[str(path)] = path
    if not new and not kept:
        raise InputError(
            f"{root} has no pictures or videos; their names end in "
            f"{', '.join(sorted(PHOTO_SUFFIXES | VIDEO_SUFFIXES))}"
        )
    journal = journal_of(out)
    settings = {"step": "probe", "root": str(root.absolute()), "shares": shares}
    work = partial(_probed, root=root, shares=shares)
    found = work_through(new, work, journal=journal, settings=settings, workers=workers)
    manifest = Manifest(root, tuple(kept + [row_from_plain(row) for row in found.values()]))
    return written(manifest, out, journal)


def split_shots(path: Path, out: Path, *, workers: int) -> Manifest:
    """Writes the manifest with each video that is still whole cut into its shots."""
    manifest = read_manifest(path)
    whole = {row.source: row for row in manifest.rows if row.kind == "video" and row.shot is None}
    done = [row for row in manifest.rows if row.source not in whole]
    journal = journal_of(out)
    work = partial(_cut, root=manifest.root)
    settings = {"step": "split_shots", "manifest": str(path.absolute())}
    found = work_through(whole, work, journal=journal, settings=settings, workers=workers)
    failed = [row for source, row in whole.items() if source not in found]
    shots = [row_from_plain(row) for rows in found.values() for row in rows]
    return written(manifest.with_rows([*done, *failed, *shots]), out, journal)


def filter_clips(path: Path, out: Path, *, config: FilterConfig, workers: int) -> Manifest:
    """Write the manifest after measuring unmeasured clips and applying the limits to all.

    Clips that cannot be measured are not kept.
    """
    manifest = read_manifest(path)
    unmeasured = {row.key: row for row in manifest.rows if row.sharpness is None}
    journal = journal_of(out)
    work = partial(_measured, root=manifest.root)
    settings = {"step": "filter", "manifest": str(path.absolute())}
    found = work_through(unmeasured, work, journal=journal, settings=settings, workers=workers)
    rows = [row_from_plain(found[row.key]) if row.key in found else row for row in manifest.rows]
    failed = unmeasured.keys() - found.keys()
    good = judge([row for row in rows if row.key not in failed], config)
    bad = [
        row_from_plain({**row_to_plain(row), "kept": False, "reason": "cannot be decoded"})
        for row in rows
        if row.key in failed
    ]
    return written(manifest.with_rows([*good, *bad]), out, journal)


def summary(manifest: Manifest) -> str:
    """Counts of rows by kind and split, and of the reasons for rows that were not kept."""
    kept = Counter(f"{row.split} {row.kind}s" for row in manifest.rows if row.kept)
    reasons = Counter(row.reason.split(":")[0].split(" ")[0] for row in manifest.rows if row.reason)
    lines = [f"{len(manifest.rows)} clips, {sum(kept.values())} of them kept"]
    lines += [f"  kept: {count} {what}" for what, count in sorted(kept.items())]
    lines += [f"  not kept: {count} for {reason}" for reason, count in sorted(reasons.items())]
    return "\n".join(lines)


def written(manifest: Manifest, out: Path, journal: Path) -> Manifest:
    """The manifest, which is in the file `out` now; the journal is gone."""
    write_manifest(out, manifest)
    finished(journal)
    return manifest


def _is_unchanged(path: Path, row: ClipRow) -> bool:
    stat = path.stat()
    return (row.file_bytes, row.modified_ns) == (stat.st_size, stat.st_mtime_ns)


def journal_of(out: Path) -> Path:
    """Path of the journal of a step that writes `out`."""
    return out.with_name(f".{out.name}.journal")


def _probed(path: Path, *, root: Path, shares: dict[Split, float]) -> dict[str, Any]:
    return row_to_plain(probe_clip(path, root, shares))


def _cut(row: ClipRow, *, root: Path) -> list[dict[str, Any]]:
    return [row_to_plain(shot) for shot in cut_into_shots(row, root)]


def _measured(row: ClipRow, *, root: Path) -> dict[str, Any]:
    return row_to_plain(measure_clip(row, root))
