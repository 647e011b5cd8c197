"""Config files of the command line, before the parser reads them."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import yaml

from vsr.runtime.yaml_text import check_aliases

_OPTION = "--config"


def check_config_files(args: Sequence[str]) -> None:
    """Raise ValueError for a config file that aliases make too large for the parser.

    Other faults are the parser's to report.
    """
    for name in _named(args):
        with suppress(OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError):
            check_aliases(Path(name).read_text(encoding="utf-8"))


def _named(args: Sequence[str]) -> Iterator[str]:
    """Yield the values of the option."""
    for word, following in pairwise([*args, ""]):
        if word == _OPTION:
            yield following
        elif word.startswith(f"{_OPTION}="):
            yield word.partition("=")[2]
