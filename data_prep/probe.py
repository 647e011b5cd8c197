"""Makes the manifest of a folder of videos and pictures, or brings it up to date.

    python data_prep/probe.py FOLDER clips.parquet --workers 8

Files are given to train, validation and test by a hash of their name, so that they stay there.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vsr.training.preparation.command import run, script
from vsr.training.preparation.steps import probe_folder, summary


def main(argv: Sequence[str] | None = None) -> int:
    parser = script(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("manifest", type=Path, help="parquet file to write")
    parser.add_argument("--validation", type=float, default=0.05, help="share of the files: 0.05")
    parser.add_argument("--test", type=float, default=0.05, help="share of the files: 0.05")
    return run(parser, probe, argv)


def probe(options: Namespace) -> str:
    shares = {"validation": options.validation, "test": options.test}
    return summary(
        probe_folder(options.folder, options.manifest, shares=shares, workers=options.workers)
    )


if __name__ == "__main__":
    sys.exit(main())
