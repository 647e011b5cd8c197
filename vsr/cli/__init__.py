"""The `vsr` command: run one command, and turn every error into one line and an exit code."""

import io
import logging
import os
import signal
import sys
import threading
import traceback
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from vsr.cli.arguments import PRINT_COMPLETION, positionals_first
from vsr.cli.commands import COMMANDS
from vsr.cli.config_files import check_config_files
from vsr.cli.errors import usage_error
from vsr.cli.log import CurrentStderrHandler
from vsr.cli.parsers import make_parsers
from vsr.errors import ConfigError, VsrError
from vsr.runtime.explained import explained
from vsr.runtime.interrupts import ended_after
from vsr.runtime.terminal import printable

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

_GRACE_SECONDS = 2.0
_ENDS_ITSELF = ("train", "ui")
"""Commands that end themselves on Ctrl-C and SIGTERM: a checkpoint is written first, and the page
ends the processes of its tasks."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (default: of the process) and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if threading.current_thread() is threading.main_thread():
        # SIGTERM ends as Ctrl-C does: without a partial output.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    _print_any_name()
    try:
        parsed = _parsed(args)
        if isinstance(parsed, int):
            return parsed
        command, deadline = parsed
        with deadline:
            command()
        return 0
    except BrokenPipeError:
        _discard_output()
        return EXIT_ERROR
    except (VsrError, MemoryError, OSError, ImportError) as error:
        _report(explained(error), cause=error, debug="--debug" in args)
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_ERROR
    except KeyboardInterrupt as interrupt:
        _report(interrupt, cause=interrupt, debug="--debug" in args)
        return EXIT_INTERRUPTED


def _parsed(
    args: Sequence[str],
) -> tuple[Callable[[], None], AbstractContextManager[None]] | int:
    """The command to run and its deadline after Ctrl-C, or the exit code if there is none."""
    parser, commands = make_parsers()
    if not args:
        parser.print_help()
        return EXIT_USAGE
    if args[0].partition("=")[0] == PRINT_COMPLETION:
        return _print_completion(args)
    if args[0] == "data" and args[1:] and not args[1].startswith("-"):
        return _run_data(args[1], args[2:])
    try:
        if args[0] == "help":
            args = [*args[1:], "--help"]
        check_config_files(args)
        if args[0] in commands:
            args = [args[0], *positionals_first(args[1:], commands[args[0]])]
        options = parser.parse_args(args)
    except ArgumentError as error:
        raise usage_error(error, commands.get(args[0], parser), tuple(commands)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the config file is not text in UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:  # of YAML, as for a number of 5,000 digits
        raise ConfigError(f"the config file cannot be read: {error}") from error
    except SystemExit as end:
        return int(end.code or 0)
    chosen = options[options.command]
    logging.basicConfig(
        level=logging.DEBUG if chosen.debug else logging.INFO,
        handlers=[CurrentStderrHandler()],
        force=True,
    )
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Lines("vsr: %(message)s"))
    command = partial(COMMANDS[options.command], chosen)
    if options.command in _ENDS_ITSELF:
        return command, nullcontext()
    return command, ended_after(_GRACE_SECONDS, _end_now)


def _print_completion(args: Sequence[str]) -> int:
    """Print the completion for a shell: `--print-completion bash` or `--print-completion=zsh`."""
    from vsr.cli.completion import completion

    shell = " ".join(args).replace("=", " ").partition(" ")[2]
    print(completion(shell))
    return 0


def _run_data(step: str, args: Sequence[str]) -> int:
    """Run a step of `vsr data`, which parses its own arguments."""
    from vsr.training.preparation.commands import run_command

    try:
        return run_command(step, args)
    except SystemExit as end:
        return int(end.code or 0)


def _end_now() -> None:
    """End the process inside whatever library: all finished work is on the disk at any instant."""
    line = "interrupted; no output was written; finished work is kept: the same command goes on"
    print(f"vsr: error: {line}", file=sys.stderr, flush=True)
    os._exit(EXIT_INTERRUPTED)


class _Lines(logging.Formatter):
    """Lines of the log, in which names and tags of files cannot command the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, printable."""
        return printable(super().format(record))


def _print_any_name() -> None:
    """Let file names be printed that the terminal's encoding does not hold."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Make Python flush into nothing at exit: the reader of our output has gone (`vsr | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: BaseException, *, cause: BaseException, debug: bool) -> None:
    if debug:
        traceback.print_exception(cause)
    text = " ".join(str(error).split()) or "interrupted; no output was written"
    print(f"vsr: error: {printable(text)}", file=sys.stderr)
