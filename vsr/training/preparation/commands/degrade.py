"""Write fixed pairs of good and bad clips for validation and tests, or a picture of examples.

    vsr data degrade clips.parquet PAIRS --split test --degradation old_film
    vsr data degrade clips.parquet --grid sheet.png --degradation old_film

The same seed gives the same pairs. PAIRS/pairs.json holds the hashes of their pixels, and a second
run checks them. PAIRS/set.json makes them a set for vsr benchmark.
"""

from argparse import Namespace
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from vsr.degradation import degradation_preset
from vsr.degradation.presets import PRESETS
from vsr.errors import ConfigError
from vsr.training.data.clip_row import Kind
from vsr.training.data.manifest import StoredManifest, open_manifest, require_rows, select
from vsr.training.preparation.clips import clip_frames
from vsr.training.preparation.command import add_manifest, make_parser, run, worker_options
from vsr.training.preparation.pairs import example_sheet, good_frames, write_pairs
from vsr.video.images import encode_png


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser(__doc__, prog=prog)
    add_manifest(parser)
    parser.add_argument(
        "pairs", type=Path, nargs="?", metavar="PAIRS", help="folder to write the pairs to"
    )
    parser.add_argument("--grid", type=Path, metavar="FILE", help="write a PNG of examples instead")
    parser.add_argument(
        "--rows", type=int, default=6, metavar="N", help="examples in the PNG (default: 6)"
    )
    parser.add_argument("--split", choices=("train", "validation", "test"), help="(default: all)")
    parser.add_argument(
        "--degradation",
        choices=tuple(PRESETS),
        default="default",
        help="preset (default: default)",
    )
    parser.add_argument(
        "--frames", type=int, default=8, metavar="N", help="frames of a pair (default: 8)"
    )
    parser.add_argument(
        "--max-side",
        type=int,
        default=512,
        metavar="PIXELS",
        help="longest side of the good frames (default: 512)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    return run(parser, _degrade, argv)


def _degrade(options: Namespace) -> str:
    manifest = open_manifest(options.manifest)
    if options.grid is not None:
        return _draw_grid(manifest, options)
    if options.pairs is None:
        raise ConfigError("name a folder for the pairs, or --grid FILE for a picture of examples")
    written = write_pairs(
        manifest,
        options.pairs,
        split=options.split,
        degradation=degradation_preset(options.degradation),
        frames=options.frames,
        max_side=options.max_side,
        seed=options.seed,
        workers=worker_options(options),
        degradation_name=options.degradation,
    )
    return f"{len(written['pairs'])} pairs in {options.pairs}"


def _draw_grid(manifest: StoredManifest, options: Namespace) -> str:
    config = degradation_preset(options.degradation)
    # Videos first, since only they show motion.
    kinds: tuple[Kind, ...] = ("video", "image")
    found = (row for kind in kinds for row in select(manifest, kind=kind, split=options.split))
    rows = list(islice(found, options.rows))
    require_rows(rows, options.manifest, "for the picture")
    clips = []
    for row in rows:
        frames = clip_frames(row, manifest.root, frames=3)
        still = frames if len(frames) > 1 else frames.repeat(3, axis=0)
        clips.append(good_frames(still, max_side=options.max_side, multiple=config.scale))
    sheet = example_sheet(clips, config=config, seed=options.seed)
    options.grid.write_bytes(encode_png(sheet))
    return f"{len(clips)} examples are in {options.grid}"
