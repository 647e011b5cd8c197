"""The frame of a data command: its options, its errors and its log."""

import dataclasses
import logging
import sys
import typing
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vsr.errors import VsrError
from vsr.runtime.executor import WorkerOptions

Config = TypeVar("Config")


def make_parser(
    description: str | None, *, prog: str | None = None, workers: bool = True
) -> ArgumentParser:
    """A parser whose help is the docstring of the command, with options of workers on demand."""
    parser = ArgumentParser(
        prog=prog,
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if workers:
        parser.add_argument(
            "--workers",
            type=int,
            default=0,
            metavar="N",
            help="processes besides this one (default: 0)",
        )
        parser.add_argument(
            "--cluster",
            nargs="?",
            const="auto",
            metavar="ADDRESS",
            help="work on a cluster of Ray: HOST:PORT, or the one of this machine (extra cluster)",
        )
        parser.add_argument(
            "--cpus-per-worker",
            type=int,
            default=WorkerOptions().cpus_per_worker,
            metavar="N",
            help="CPUs of each worker on a cluster (default: 1)",
        )
    return parser


def add_manifest(parser: ArgumentParser, *, out: bool = False) -> None:
    """Add the manifest that is read, and with `out` the option for another one to write."""
    parser.add_argument(
        "manifest", type=Path, metavar="MANIFEST", help="parquet file or folder of parts"
    )
    if out:
        parser.add_argument(
            "--out", type=Path, metavar="PATH", help="manifest to write (default: MANIFEST)"
        )


def worker_options(options: Namespace, *, gpus: bool = False) -> WorkerOptions:
    """The workers that are asked for, by the options that `make_parser` has added."""
    return WorkerOptions(
        processes=options.workers,
        cluster=options.cluster,
        cpus_per_worker=options.cpus_per_worker,
        gpus=gpus,
    )


def add_fields(parser: ArgumentParser, kind: type[Config]) -> None:
    """Add an option for each field of a dataclass of plain values, with its default."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(typing.cast(Any, kind)):
        plain = [one for one in typing.get_args(hints[field.name]) if one is not type(None)]
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(
            flag,
            type=plain[0] if plain else hints[field.name],
            default=field.default,
            metavar="VALUE",
            help=f"(default: {field.default})",
        )


def read_fields(options: Namespace, kind: type[Config]) -> Config:
    """The dataclass from the options that `add_fields` added."""
    names = [field.name for field in dataclasses.fields(typing.cast(Any, kind))]
    return kind(**{name: getattr(options, name) for name in names})


def run(
    parser: ArgumentParser, act: Callable[[Namespace], str], argv: Sequence[str] | None = None
) -> int:
    """Parse, call `act` and print its result; returns the exit code, 1 after a VsrError."""
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format=f"{parser.prog}: %(message)s", force=True)
    try:
        print(act(options))
    except VsrError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    return 0
