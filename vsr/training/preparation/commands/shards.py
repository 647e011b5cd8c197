"""Store shots at three anchors with the frames of a strong network, for the recipe join.

    vsr data shards SHARDS --network realesrgan-x4plus --photos DIR --videos DIR --shards 100

A shard is a function of the settings and its number: a run that was broken off continues, and with
`--first` several machines make different shards.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from vsr.models.image import ImageNetwork
from vsr.training.preparation.command import make_parser, run
from vsr.training.preparation.keyed_shards import KeyedShardConfig, ShotSource, write_shards
from vsr.training.recipes.networks import existing_file


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser(__doc__, prog=prog, workers=False)
    parser.add_argument("folder", type=Path, metavar="SHARDS", help="folder to write the shards to")
    parser.add_argument(
        "--network", required=True, metavar="NAME", help="strong image network: a name or a file"
    )
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR", help="photographs")
    parser.add_argument("--videos", type=Path, metavar="DIR", help="videos (default: none)")
    _add_choices(parser)
    return run(parser, _make, argv)


def _add_choices(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--exclude", nargs="*", default=[], metavar="NAME", help="files left out, without suffix"
    )
    parser.add_argument(
        "--split", choices=("train", "validation"), default="train", help="(default: train)"
    )
    parser.add_argument(
        "--first", type=int, default=0, metavar="N", help="number of the first shard (default: 0)"
    )
    parser.add_argument("--shards", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument(
        "--crop", type=int, default=64, metavar="PIXELS", help="side of small frames (default: 64)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("~/.cache/vsr/training"),
        metavar="DIR",
        help="decoded parts of the videos (default: ~/.cache/vsr/training)",
    )


def _make(options: Namespace) -> str:
    source = ShotSource(
        KeyedShardConfig(
            photos=(options.photos,),
            videos=(options.videos,) if options.videos else (),
            exclude=tuple(options.exclude),
            split=options.split,
            crop=options.crop,
            seed=options.seed,
            cache=options.cache,
        )
    )
    numbers = range(options.first, options.first + options.shards)
    network = ImageNetwork.load(existing_file(options.network, "network"))
    written = write_shards(source, network, options.folder, numbers=numbers)
    return f"{written} shards written to {options.folder}"
