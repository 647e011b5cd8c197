"""The words of a command before they are parsed: their order, dashes, and names of files."""

import re
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from vsr.errors import ConfigError

PRINT_CONFIG = "--print_config"
"""The parser's own option, whose value is joined to it by `=` or missing."""

_NUMBER = re.compile(r"-\.?\d")


def option_strings(parser: ArgumentParser, *, switches: bool = False) -> list[str]:
    """Return the options that the parser knows, or only those that take no value."""
    actions = parser._actions  # pyright: ignore[reportPrivateUsage]
    return [
        flag
        for action in actions
        for flag in action.option_strings
        if not switches or action.nargs == 0 or flag == PRINT_CONFIG
        if not flag.endswith("+")
    ]


def positionals_first(args: Sequence[str], parser: ArgumentParser) -> list[str]:
    """Return the arguments with the positional ones first, since options may stand between them.

    argparse would take `film.mkv` for all of `film.mkv --scale 2 out.mkv`. Raises ConfigError for
    `-` and for a name that begins with a dash.
    """
    known, switches = option_strings(parser), option_strings(parser, switches=True)
    names: list[str] = []
    options: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            names += [_dashed(name) for name in rest]
        elif arg.startswith("--") and len(arg) > 2:
            options.append(arg)
            if arg in known and arg not in switches:
                options += [value for value in [next(rest, None)] if value is not None]
        elif not arg.startswith("-") or _NUMBER.match(arg):
            names.append(arg)
        elif arg in known:
            options.append(arg)
        else:
            raise _dash_error(arg)
    return [*names, *options]


def _dashed(name: str) -> str:
    """Return a name that argparse does not take for an option."""
    if name == "-":
        raise _dash_error(name)
    return f"./{name}" if name.startswith("-") else name


def _dash_error(arg: str) -> ConfigError:
    if arg == "-":
        return ConfigError(
            "- (standard input or output) cannot be used: vsr reads and writes files; give a name"
        )
    return ConfigError(f"unknown option {arg}; if it is a file, write ./{arg}")
