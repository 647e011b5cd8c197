"""The ranks of a launcher (accelerate, torchrun), as it describes them in the environment."""

import logging
import os
import sys
from dataclasses import dataclass

from vsr.errors import ConfigError

_OF_LAUNCH = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that were launched together: number `rank` of `world`.

    `launch` is equal in all processes of one launch.
    """

    rank: int = 0
    world: int = 1
    launch: str = ""

    def takes(self, number: int) -> bool:
        """Return whether the film or shot of that number is this rank's: a static split."""
        return self.owner(number) == self.rank

    def owner(self, number: int) -> int:
        """Return the rank that makes the film or shot of that number."""
        return number % self.world


ALONE = Ranks()


def launched_ranks() -> Ranks:
    """Return the rank of this process in its launch; without a launcher, `ALONE`.

    Raises ConfigError where there are several processes and none has a number.
    """
    world = _number("WORLD_SIZE", 1)
    if world <= 1:
        return ALONE
    rank = _number("RANK", -1)
    if not 0 <= rank < world:
        raise ConfigError(
            f"WORLD_SIZE is {world} and RANK is {os.environ.get('RANK') or 'not set'}; it must be "
            f"from 0 to {world - 1}, as accelerate launch and torchrun set it"
        )
    return Ranks(rank, world, " ".join(os.environ.get(name, "") for name in _OF_LAUNCH))


def local_rank() -> int:
    """Return the number of this process on its machine; it computes on the CUDA device of it."""
    return _number("LOCAL_RANK", 0)


def end_launched() -> None:
    """End this process now, with exit code 0, if it was launched beside others.

    Caches of torch's DTensor keep the process group and its threads, which now and then abort the
    end of Python (pytorch/pytorch#190489).
    """
    if _number("WORLD_SIZE", 1) <= 1:
        return
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
