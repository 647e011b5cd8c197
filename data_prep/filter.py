"""Measures the clips of a manifest and says which are kept, and why the others are not.

    python data_prep/filter.py clips.parquet --min-side 256 --workers 8

Measured are motion (optical flow), sharpness, black bars, burnt-in text and a perceptual hash.
Run again with other limits it only judges anew.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vsr.training.preparation.clips import FilterConfig
from vsr.training.preparation.command import add_fields, read_fields, run, script
from vsr.training.preparation.steps import filter_clips, summary


def main(argv: Sequence[str] | None = None) -> int:
    parser = script(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--out", type=Path, help="manifest to write; default: the same")
    add_fields(parser, FilterConfig)
    return run(parser, judge, argv)


def judge(options: Namespace) -> str:
    config = read_fields(options, FilterConfig)
    out = options.out or options.manifest
    return summary(filter_clips(options.manifest, out, config=config, workers=options.workers))


if __name__ == "__main__":
    sys.exit(main())
