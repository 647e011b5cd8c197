"""Cut the videos of a manifest into shots; with --write, also write each shot to a file.

    vsr data split clips.parquet --workers 8
    vsr data split clips.parquet --write SHOTS --crf 12 --max-side 1280

--write makes H.264 files without sound, one for each shot, which are quicker to copy and to read;
`vsr data probe SHOTS shots.parquet` makes their manifest.
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from vsr.training.data.manifest import StoredManifest, select
from vsr.training.preparation.command import add_manifest, make_parser, run, worker_options
from vsr.training.preparation.shot_files import shot_file, write_shot
from vsr.training.preparation.steps import split_shots, summary
from vsr.training.preparation.work import Task, results, show_progress


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser(__doc__, prog=prog)
    add_manifest(parser, out=True)
    parser.add_argument(
        "--write", type=Path, metavar="FOLDER", help="also write one file for each shot"
    )
    parser.add_argument(
        "--crf", type=int, default=12, metavar="N", help="quality of the files (default: 12)"
    )
    parser.add_argument(
        "--max-side",
        type=int,
        metavar="PIXELS",
        help="limit of their longer side (default: none)",
    )
    return run(parser, _split, argv)


def _split(options: Namespace) -> str:
    out = options.out or options.manifest
    workers = worker_options(options)
    manifest = split_shots(options.manifest, out, workers=workers)
    if options.write is None:
        return summary(manifest)
    return f"{summary(manifest)}\n{_write_shots(manifest, options)}"


def _write_shots(manifest: StoredManifest, options: Namespace) -> str:
    work = partial(
        write_shot,
        root=manifest.root,
        folder=options.write.absolute(),
        crf=options.crf,
        max_side=options.max_side,
    )
    existed = 0

    def missing() -> Iterator[Task]:
        nonlocal existed
        for row in select(manifest, kind="video"):
            if row.shot is None:
                continue
            if shot_file(options.write, row).is_file():
                existed += 1
            else:
                yield Task(row.key, row)

    written, workers = 0, worker_options(options)
    with show_progress(None) as advance:
        for _, path in results(missing(), work, workers=workers, root=manifest.root):
            written += path is not None
            advance(1)
    return f"{written} files written to {options.write}, {existed} existed already"
