"""Makes fixed pairs of good and bad clips for validation and tests, or a sheet to look at.

    python data_prep/degrade.py clips.parquet PAIRS --split test --degradation old_film
    python data_prep/degrade.py clips.parquet --grid sheet.png --degradation old_film

A seed gives the same pairs on any day; PAIRS/pairs.json has the hashes of their pixels, and a
second run checks them.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vsr.degradation import degradation_preset
from vsr.degradation.presets import PRESETS
from vsr.errors import ConfigError
from vsr.training.data.manifest import Manifest, read_manifest, require_rows
from vsr.training.preparation.clips import clip_frames
from vsr.training.preparation.command import run, script
from vsr.training.preparation.pairs import example_sheet, good_frames, write_pairs
from vsr.video.images import encode_png


def main(argv: Sequence[str] | None = None) -> int:
    parser = script(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("pairs", type=Path, nargs="?", help="folder for the pairs")
    parser.add_argument("--grid", type=Path, help="PNG file for a sheet of examples instead")
    parser.add_argument("--rows", type=int, default=6, help="examples on the sheet: 6")
    parser.add_argument("--split", choices=("train", "validation", "test"), help="default: all")
    parser.add_argument("--degradation", choices=tuple(PRESETS), default="default")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--max-side", type=int, default=512, help="of the good frames: 512")
    parser.add_argument("--seed", type=int, default=0)
    return run(parser, make, argv)


def make(options: Namespace) -> str:
    manifest = read_manifest(options.manifest)
    if options.grid is not None:
        return draw(manifest, options)
    if options.pairs is None:
        raise ConfigError("give a folder for the pairs, or --grid FILE for a sheet")
    written = write_pairs(
        manifest,
        options.pairs,
        split=options.split,
        degradation=degradation_preset(options.degradation),
        frames=options.frames,
        max_side=options.max_side,
        seed=options.seed,
        workers=options.workers,
    )
    return f"{len(written['pairs'])} pairs in {options.pairs}"


def draw(manifest: Manifest, options: Namespace) -> str:
    config = degradation_preset(options.degradation)
    rows = manifest.select(split=options.split)
    require_rows(rows, options.manifest, "for a sheet")
    # Videos first, since only they show what happens from frame to frame in motion.
    rows = sorted(rows, key=lambda row: row.kind == "image")[: options.rows]
    clips = []
    for row in rows:
        frames = clip_frames(row, manifest.root, frames=3)
        still = frames if len(frames) > 1 else frames.repeat(3, axis=0)
        clips.append(good_frames(still, max_side=options.max_side, multiple=config.scale))
    sheet = example_sheet(clips, config=config, seed=options.seed)
    options.grid.write_bytes(encode_png(sheet))
    return f"{len(clips)} examples drawn in {options.grid}"


if __name__ == "__main__":
    sys.exit(main())
