"""The words of a command before they are parsed: their order, dashes, and names of files."""

import re
from collections import deque
from collections.abc import Iterator, Sequence

from jsonargparse import ArgumentParser

from vsr.errors import ConfigError
from vsr.option_values import nearest

PRINT_CONFIG = "--print_config"
"""The parser's own option, whose value is joined to it by `=` or missing."""
PRINT_COMPLETION = "--print-completion"
"""An option of `vsr` itself, in place of a command."""

CLUSTER = "--cluster"
"""An option whose value, `auto` or HOST:PORT, may be missing."""

_NUMBER = re.compile(r"-\.?\d")
_PLACE = re.compile(r"auto|(\w[\w.-]*|\[[0-9a-fA-F:]+\]):\d+")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def option_strings(parser: ArgumentParser, *, switches: bool = False) -> list[str]:
    """Return the options that the parser knows, or only those that take no value."""
    actions = parser._actions  # pyright: ignore[reportPrivateUsage]
    return [
        flag
        for action in actions
        for flag in action.option_strings
        if not switches or action.nargs in (0, "?") or flag == PRINT_CONFIG
        if not flag.endswith("+")
    ]


def positionals_first(args: Sequence[str], parser: ArgumentParser) -> list[str]:
    """Return the arguments with the positional ones first, since options may stand between them.

    argparse would take `film.mkv` for all of `film.mkv --scale 2 out.mkv`. Raises ConfigError for
    a name that begins with a dash, that is empty, or that is no file (`-`, `https://...`).
    """
    known, switches = option_strings(parser), option_strings(parser, switches=True)
    names: list[str] = []
    options: list[str] = []
    rest = iter(_with_places(args))
    for arg in rest:
        if arg == "--":
            names += [f"./{name}" if name[:1] == "-" and name != "-" else name for name in rest]
        elif arg.startswith("--") and len(arg) > 2:
            options.append(arg)
            if arg in known and arg not in switches:
                options += [value for value in [next(rest, None)] if value is not None]
        elif not arg.startswith("-") or arg == "-" or _NUMBER.match(arg):
            names.append(arg)
        elif arg in known:
            options.append(arg)
        else:
            hint = unnamed(arg) or f"; if it is a file, write ./{arg}"
            raise ConfigError(f"unknown option {arg}{hint}")
    for name in names:
        _check_name(name)
    return [*names, *options]


def _with_places(args: Sequence[str]) -> Iterator[str]:
    """Yield the arguments with the place of a cluster joined to its option, or `auto`."""
    rest = deque(args)
    while rest:
        arg = rest.popleft()
        if arg != CLUSTER:
            yield arg
        elif rest and _PLACE.fullmatch(rest[0]):
            yield f"{CLUSTER}={rest.popleft()}"
        else:
            yield f"{CLUSTER}=auto"


def suggestion(flag: str, known: Sequence[str]) -> str:
    """Return the end of an error about an unknown option: the nearest right one, or the remedy."""
    return unnamed(flag) or nearest(flag, [one for one in known if one.startswith("--")])


def unnamed(flag: str) -> str:
    """Tell users of other tools, and of earlier versions, what to write instead."""
    if flag in ("-i", "-o", "--input", "--output"):
        return "; the input and the output are given without an option, in this order"
    if flag in ("--share", "share"):
        return (
            ", which is gone: accelerate launch -m vsr upscale ... (or torchrun) splits films and "
            "shots among its processes, and --cluster among machines"
        )
    return ""


def _check_name(name: str) -> None:
    """Raise ConfigError for a name that cannot be a file."""
    if name == "-":
        raise ConfigError(
            "- (standard input or output) cannot be used: vsr reads and writes files; give a name"
        )
    if not name:
        raise ConfigError("a name is empty; give the name of a file or a folder")
    if _ADDRESS.match(name):
        raise ConfigError(f"{name} is an address; download the file first, and give its name")
