"""Make the manifest of a folder of videos and pictures, or update it.

    vsr data probe FOLDER clips.parquet --workers 8

A hash of its name puts each file into train, validation or test, where it stays.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vsr.training.data.clip_row import Split
from vsr.training.preparation.command import make_parser, run, worker_options
from vsr.training.preparation.steps import probe_folder, summary


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser(__doc__, prog=prog)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder of videos and pictures, searched deeply"
    )
    parser.add_argument(
        "manifest", type=Path, metavar="MANIFEST", help="parquet file, or folder of parts, to write"
    )
    parser.add_argument(
        "--validation",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="share of files for validation, 0 to 1 (default: 0.05)",
    )
    parser.add_argument(
        "--test",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="share of files for tests, 0 to 1 (default: 0.05)",
    )
    return run(parser, _probe, argv)


def _probe(options: Namespace) -> str:
    shares: dict[Split, float] = {"validation": options.validation, "test": options.test}
    workers = worker_options(options)
    return summary(probe_folder(options.folder, options.manifest, shares=shares, workers=workers))
