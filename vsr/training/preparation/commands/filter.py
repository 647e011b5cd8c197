"""Measure the clips of a manifest, mark those to keep, and give the reason for the others.

    vsr data filter clips.parquet --min-side 256 --workers 8

The measures are motion (optical flow), sharpness, black bars, burnt-in text and a perceptual hash.
Run again with other limits, it applies these without measuring again.
"""

from argparse import Namespace
from collections.abc import Sequence

from vsr.training.preparation.command import (
    add_fields,
    add_manifest,
    make_parser,
    read_fields,
    run,
    worker_options,
)
from vsr.training.preparation.judgement import FilterConfig
from vsr.training.preparation.steps import filter_clips, summary


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser(__doc__, prog=prog)
    add_manifest(parser, out=True)
    add_fields(parser, FilterConfig)
    return run(parser, _filter, argv)


def _filter(options: Namespace) -> str:
    config = read_fields(options, FilterConfig)
    out = options.out or options.manifest
    workers = worker_options(options)
    return summary(filter_clips(options.manifest, out, config=config, workers=workers))
