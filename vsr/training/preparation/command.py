"""What the scripts of data_prep have in common: their flags, their errors, their log."""

import dataclasses
import logging
import sys
import typing
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from vsr.errors import VsrError

Config = TypeVar("Config")


def script(description: str | None, *, workers: bool = True) -> ArgumentParser:
    """A parser with the module's docstring as its help, and `--workers` if there can be some."""
    parser = ArgumentParser(
        description=description, formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False
    )
    if workers:
        parser.add_argument("--workers", type=int, default=0, help="processes; 0: only this one")
    return parser


def add_fields(parser: ArgumentParser, kind: type[Config]) -> None:
    """A flag for each field of a dataclass of plain values, with its default."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(typing.cast(Any, kind)):
        plain = [one for one in typing.get_args(hints[field.name]) if one is not type(None)]
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(
            flag,
            type=plain[0] if plain else hints[field.name],
            default=field.default,
            help=f"default {field.default}",
        )


def read_fields(options: Namespace, kind: type[Config]) -> Config:
    """The dataclass whose flags `add_fields` made."""
    names = [field.name for field in dataclasses.fields(typing.cast(Any, kind))]
    return kind(**{name: getattr(options, name) for name in names})


def run(
    parser: ArgumentParser, act: Callable[[Namespace], str], argv: Sequence[str] | None = None
) -> int:
    """Parses, acts, prints what comes back; a VsrError is one line and the exit code 1."""
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format=f"{parser.prog}: %(message)s", force=True)
    try:
        print(act(options))
    except VsrError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    return 0
