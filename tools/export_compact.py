"""Writes the embedded model's networks from a run: export_compact.py RUN TARGET [--best]."""

import argparse
from pathlib import Path

from vsr.training.export import export


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of a training")
    parser.add_argument("target", type=Path, help="model folder that gets unet/ and vae/")
    parser.add_argument("--best", action="store_true", help="the best checkpoint, not the newest")
    options = parser.parse_args()
    used = export(options.run, options.target, best=options.best)
    print(f"{options.target} now holds the networks of {used}")


if __name__ == "__main__":
    main()
