"""Completion of commands, options and files in bash and zsh, by shtab."""

from argparse import ArgumentParser
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser as CommandParser

from vsr.cli.arguments import PRINT_COMPLETION, PRINT_CONFIG, option_strings
from vsr.cli.parsers import make_parsers
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, DependencyError, install_extra
from vsr.option_values import nearest

SHELLS = ("bash", "zsh")
_FILES = ("INPUT", "OUTPUT", "FILE", "FILM", "PATH", "SOURCE", "TARGET", "OUTPUTS", "GT", "CLIP")
_FOLDERS = ("FOLDER", "PATH_OF_COMFYUI", "RUN")


def completion(shell: str) -> str:
    """Return the script that completes `vsr` in a shell.

    Raises ConfigError for another shell, DependencyError without shtab.
    """
    if shell not in SHELLS:
        hint = nearest(shell, SHELLS) or "; it can be bash or zsh"
        raise ConfigError(f"{PRINT_COMPLETION} {shell or '(nothing)'} is not known{hint}")
    try:
        import shtab
    except ImportError as error:
        raise DependencyError(f"completion needs shtab: {install_extra('completion')}") from error
    return str(shtab.complete(_plain_parser(shtab), shell))


def _plain_parser(shtab: Any) -> ArgumentParser:
    """Return `vsr` as a parser of argparse alone, with the commands, options and help of ours."""
    parser, commands = make_parsers()
    plain = ArgumentParser("vsr", description=parser.description)
    plain.add_argument("--version", action="store_true", help="show the version")
    plain.add_argument(PRINT_COMPLETION, choices=SHELLS, help="print the completion for this shell")
    subcommands = plain.add_subparsers(dest="command")
    for name, command in commands.items():
        added = subcommands.add_parser(name, help=command.description, add_help=False)
        _add_options(added, command, shtab)
    return plain


def _add_options(plain: ArgumentParser, command: CommandParser, shtab: Any) -> None:
    known, switches = option_strings(command), option_strings(command, switches=True)
    for action in command._actions:  # pyright: ignore[reportPrivateUsage]
        flags = [flag for flag in action.option_strings if flag in known]
        text = (action.help or "").replace("%", "%%")
        if not flags:
            added = plain.add_argument(action.dest, nargs=action.nargs, help=text)  # type: ignore[arg-type]
        elif flags[0] in switches or PRINT_CONFIG in flags:
            plain.add_argument(*flags, action="store_true", help=text)
            continue
        else:
            added = plain.add_argument(*flags, help=text, choices=_choices(action.dest))
        added.metavar = action.metavar
        if action.metavar in _FILES:
            added.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            added.complete = shtab.DIRECTORY  # type: ignore[attr-defined]


def _choices(name: str) -> list[str] | None:
    """Return the values of an option of a run that has a list of them."""
    hint = get_type_hints(UpscaleConfig).get(name)
    kinds = [hint, *get_args(hint)]
    return next((list(get_args(kind)) for kind in kinds if get_origin(kind) is Literal), None)
