"""Parsers of commands before they have options of their own."""

from typing import Any

from jsonargparse import ArgumentParser

from vsr.cli.arguments import CLUSTER
from vsr.cli.help import HelpFormatter, examples


def new_parser(command: str, usage: str, description: str) -> ArgumentParser:
    """Return the parser of a command (or of `vsr`), with its usage and examples."""
    parser = ArgumentParser(
        usage=f"{'' if command == 'vsr' else 'vsr '}{command} {usage}",
        description=description,
        epilog=examples(command),
        formatter_class=HelpFormatter,
        exit_on_error=False,
        add_help=command == "vsr",
    )
    parser._positionals.title = "arguments"
    return parser


def add_common(parser: ArgumentParser, group: Any) -> None:
    """Add the options that every command has."""
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    group.add_argument("-h", "--help", action="help", help="show this help")


def add_cluster(group: Any, verb: str) -> None:
    """Add the options of a cluster, on which a command does what `verb` says."""
    group.add_argument(
        CLUSTER,
        type=str,
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help=f"{verb} on the workers of the Ray cluster at HOST:PORT; without ADDRESS on those of"
        " this machine, started if there are none",
    )
    group.add_argument(
        "--cpus-per-worker",
        type=int,
        default=4,
        metavar="N",
        help="CPUs of each worker of --cluster; each gets one GPU if there are any (default: 4)",
    )
