"""The commands of `vsr data`, from a folder of videos to a training set."""

import importlib
from collections.abc import Sequence

from vsr.errors import ConfigError
from vsr.option_values import nearest

COMMANDS = {
    "probe": "make or update the manifest of a folder of videos and pictures",
    "split": "cut the videos of a manifest into shots",
    "filter": "measure the clips of a manifest and select those to keep",
    "caption": "describe the kept clips in words, by an image-to-text model",
    "degrade": "write fixed pairs of good and bad clips, or a picture of examples",
    "precompute": "store the latents of training samples and the embeddings of captions",
    "shards": "store shots with the frames of a strong network, for the recipe join",
}
"""Help lines by command, in the order in which the commands are used."""


def run_command(name: str, argv: Sequence[str]) -> int:
    """Run a command with its arguments; returns the exit code. ConfigError for an unknown name."""
    if name not in COMMANDS:
        hint = nearest(name, list(COMMANDS)) or f"; there are {', '.join(COMMANDS)}"
        raise ConfigError(f"unknown command data {name}{hint}")
    return importlib.import_module(f"{__name__}.{name}").main(argv, prog=f"vsr data {name}")
