"""Makes shards for the keyed recipe: shots at three anchors, with a strong network's frames.

    python data_prep/keyed_shards.py SHARDS --network FILE --photos DIR --videos DIR --shards 100

A shard is a function of the settings and its number: a run that was broken off goes on, and
`--first` lets several machines make different ones.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import cv2

from vsr.models.image import ImageNetwork
from vsr.training.preparation.command import run, script
from vsr.training.preparation.keyed_shards import KeyedShardConfig, ShotSource, write_shards


def main(argv: Sequence[str] | None = None) -> int:
    parser = script(__doc__, workers=False)
    parser.add_argument("folder", type=Path, help="folder for the shards")
    parser.add_argument("--network", type=Path, required=True, help="strong image network")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--leave-out", nargs="*", default=[], help="file names of videos")
    parser.add_argument("--split", choices=("train", "validation"), default="train")
    parser.add_argument("--first", type=int, default=0, help="number of the first shard: 0")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--crop", type=int, default=64, help="side of the small frames: 64")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/vsr/training"))
    return run(parser, make, argv)


def make(options: Namespace) -> str:
    cv2.setNumThreads(1)
    source = ShotSource(
        KeyedShardConfig(
            photos=(options.photos,),
            videos=(options.videos,) if options.videos else (),
            leave_out=tuple(options.leave_out),
            split=options.split,
            crop=options.crop,
            seed=options.seed,
            cache=options.cache,
        )
    )
    network = ImageNetwork.load(options.network)
    numbers = range(options.first, options.first + options.shards)
    written = write_shards(source, network, options.folder, numbers=numbers)
    return f"{written} shards written to {options.folder}"


if __name__ == "__main__":
    sys.exit(main())
