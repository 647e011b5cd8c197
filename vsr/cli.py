"""The `vsr` command: one short function a command; what is heavy is imported inside it."""

import logging
import os
import re
import signal
import sys
import threading
import traceback
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser, Namespace

from vsr import __version__
from vsr.config import UpscaleConfig, nearest
from vsr.errors import ConfigError, DeviceError, VsrError

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (default: of the process) and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(args)
    except VsrError as error:
        _report(error, debug="--debug" in args)
        return EXIT_USAGE if isinstance(error, ConfigError) else EXIT_ERROR
    except MemoryError as error:
        _report(_without_memory(error), debug="--debug" in args)
        return EXIT_ERROR
    except KeyboardInterrupt as interrupt:
        _report(interrupt, debug="--debug" in args)
        return EXIT_INTERRUPTED


def _interrupt(*_: object) -> None:
    """End as Ctrl-C does when the process is told to: without a partial output."""
    raise KeyboardInterrupt


def _run(args: Sequence[str]) -> int:
    parser, commands = _parsers()
    if not args:
        parser.print_help()
        return EXIT_USAGE
    try:
        options = parser.parse_args(args)
    except ArgumentError as error:
        raise _usage_error(error, commands.get(args[0], parser)) from error
    except SystemExit as end:
        return int(end.code or 0)
    command: str = options.command
    chosen: Namespace = options[command]
    logging.basicConfig(
        level=logging.DEBUG if chosen.debug else logging.INFO,
        format="vsr: %(message)s",
        force=True,
    )
    _COMMANDS[command](chosen)
    return 0


def _upscale(options: Namespace) -> None:
    _let_threads_sleep()
    if options.dry_run:
        _show_plan(options, as_json=False)
        return
    if options.preview is not None:
        from vsr.jobs.preview import preview
        from vsr.jobs.progress import show_progress

        source, output, config = _job(options)
        print(
            preview(
                source, output, config, seconds=_seconds(options.preview), progress=show_progress
            )
        )
        return
    from vsr.jobs.batch import batch_of, upscale_batch
    from vsr.jobs.progress import show_progress
    from vsr.jobs.upscale import upscale

    source, output, config = _job(options)
    batch = batch_of(source, output, config)
    if batch is None:
        print(upscale(source, output, config, progress=show_progress))
        return
    report = upscale_batch(batch, config, progress=show_progress)
    print(report)
    report.check()


def _plan(options: Namespace) -> None:
    _let_threads_sleep()
    _show_plan(options, as_json=options.json)


def _show_plan(options: Namespace, *, as_json: bool) -> None:
    from vsr.jobs.planning.plan import plan

    found = plan(*_job(options))
    print(found.to_json() if as_json else found)
    if found.refusal is not None:
        raise found.refusal


def _job(options: Namespace) -> tuple[Path, Path | None, UpscaleConfig]:
    """The source, the output and every choice that is on the command line."""
    config = UpscaleConfig(**{field.name: options[field.name] for field in fields(UpscaleConfig)})
    return Path(options.input), Path(options.output) if options.output else None, config


def _let_threads_sleep() -> None:
    """Let OpenMP's threads not spin while they wait, which it is told before torch loads.

    They took the cores from the decoder and the encoder, which work at the same time.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _info(options: Namespace) -> None:
    from vsr.jobs.info import describe

    print(describe(options.path))


def _convert(options: Namespace) -> None:
    from vsr.checkpoints.convert import convert

    upscaler = Path(options.upscaler) if options.upscaler else None
    source, target = Path(options.source), Path(options.target)
    convert(source, target, vae=options.vae, upscaler=upscaler, overwrite=options.overwrite)
    print(f"{target} is a model folder now; its README.md names the licence")


def _train(options: Namespace) -> None:
    from vsr.training import train

    train(Path(options.config), options.overrides)


_COMMANDS: dict[str, Callable[[Namespace], None]] = {
    "upscale": _upscale,
    "plan": _plan,
    "info": _info,
    "convert": _convert,
    "train": _train,
}


def _parsers() -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    upscale = _parser(
        "upscale INPUT [OUTPUT]", "Upscale a video, or a folder of images, four times."
    )
    upscale.add_argument(
        "input", type=str, help="video file, folder of images, folder of videos, or list (.txt)"
    )
    upscale.add_argument(
        "output",
        type=str,
        nargs="?",
        help="default: the input's name with _x4 beside it; a folder"
        " for a folder of videos or a list",
    )
    upscale.add_argument(
        "--dry-run", action="store_true", help="say what would be made, as vsr plan does"
    )
    upscale.add_argument(
        "--preview",
        type=str,
        metavar="SECONDS",
        help="make so many seconds from --start on and a picture to compare, and stop",
    )
    _add_choices(upscale)

    plan = _parser(
        "plan INPUT [OUTPUT]", "Say what upscale with the same options makes, and what it takes."
    )
    plan.add_argument("input", type=str, help="video file, or folder of images")
    plan.add_argument("output", type=str, nargs="?", help="as of upscale")
    plan.add_argument("--json", action="store_true", help="for programs")
    _add_choices(plan)

    info = _parser("info PATH", "Say what is in a video or a model folder.")
    info.add_argument("path", type=str, help="video file, folder of images, or model")

    convert = _parser("convert SOURCE TARGET", "Make a model folder from a published checkpoint.")
    convert.add_argument(
        "source",
        type=str,
        help="Upscale-A-Video folder, LaVie's lavie_vsr.pt, or folder of the x4 upscaler",
    )
    convert.add_argument("target", type=str, help="model folder to make")
    convert.add_argument(
        "--vae", type=Literal["3d", "video"], default="3d", help="of Upscale-A-Video's two"
    )
    convert.add_argument(
        "--upscaler", type=str, help="x4-upscaler folder that has what the source lacks"
    )
    convert.add_argument("--overwrite", action="store_true", help="replace a model that exists")

    train = _parser("train CONFIG [KEY=VALUE ...]", "Train a model.")
    train.add_argument("config", type=str, help="YAML file of the training run")
    train.add_argument("overrides", type=str, nargs="*", help="KEY=VALUE, in place of the file's")

    commands = {"upscale": upscale, "plan": plan, "info": info, "convert": convert, "train": train}
    parser = ArgumentParser(
        usage="vsr COMMAND ...",
        exit_on_error=False,
        description="Video super-resolution by latent diffusion.",
    )
    parser.add_argument("--version", action="version", version=f"vsr {__version__}")
    subcommands = parser.add_subcommands(dest="command", metavar="COMMAND")
    for name, command in commands.items():
        command.add_argument("--debug", action="store_true", help="show the trace of an error")
        subcommands.add_subcommand(name, command, help=command.description)
    return parser, commands


def _parser(usage: str, description: str) -> ArgumentParser:
    return ArgumentParser(
        usage=f"vsr {usage} [options]", exit_on_error=False, description=description
    )


def _add_choices(parser: ArgumentParser) -> None:
    """Make the flags of a run: one for each field of its config."""
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    for name, hint in get_type_hints(UpscaleConfig, include_extras=True).items():
        _add_option(parser, name, hint)


def _seconds(value: str) -> float:
    """The seconds of `2`, `2.5` or `2s`."""
    try:
        seconds = float(value.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"--preview {value} is not understood; it can be seconds, as 2s")
    return seconds


def _without_memory(error: MemoryError) -> DeviceError:
    """What to do where memory does not suffice to read or to write."""
    return DeviceError(
        f"memory does not suffice to read or write a clip ({str(error) or 'no reason given'}): end "
        "other programs, or give a smaller --max-clip-frames; finished clips are kept"
    )


def _add_option(parser: ArgumentParser, name: str, hint: Any) -> None:
    """Make the flag of one field of the config: its type, help and default come from there."""
    assert get_origin(hint) is Annotated, f"{name} has no line of help"
    kind, text = get_args(hint)
    flag = "--" + name.replace("_", "-")
    default = getattr(UpscaleConfig(), name)
    if kind is bool:
        parser.add_argument(flag, action="store_true", default=default, help=text)
    else:
        parser.add_argument(flag, type=_without_none(kind), default=default, help=text)


def _without_none(kind: Any) -> Any:
    """`int | None` becomes `int`: on the command line, None is the option that was left out."""
    kinds = tuple(one for one in get_args(kind) if one is not NoneType)
    return Union[kinds] if NoneType in get_args(kind) else kind  # noqa: UP007


def _usage_error(error: ArgumentError, parser: ArgumentParser) -> ConfigError:
    """Turn the parser's message into one line that names the nearest right option."""
    text = " ".join(str(error).split())
    flags = [flag for action in parser._actions for flag in action.option_strings]  # pyright: ignore[reportPrivateUsage]
    if unknown := re.search(r"unrecognized arguments: (.*?)(=.*)?$", text):
        first = unknown[1].split()[0]
        kind = "option" if first.startswith("-") else "argument"
        return ConfigError(f"unknown {kind} {first}{nearest(first, flags)}")
    if unknown := re.search(r"(?:Option|accept option) '([^']+)'", text):
        key = unknown[1].split(".")[-1]
        keys = [flag.removeprefix("--").replace("-", "_") for flag in flags]
        return ConfigError(f"unknown key {key} in the config file{nearest(key, keys)}")
    if unknown := re.search(r"argument COMMAND: invalid choice: '([^']+)'", text):
        names = ", ".join(_COMMANDS)
        hint = nearest(unknown[1], list(_COMMANDS)) or f"; there are {names}"
        return ConfigError(f"unknown command {unknown[1]}{hint}")
    text = re.sub(r"<class '(\w+)'>", r"\1", text).replace("typing.Literal", "one of ")
    return ConfigError(re.sub(r'Parser key "([\w.]+)":', r"\1:", text))


def _report(error: BaseException, *, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    text = " ".join(str(error).split()) or "interrupted; no output was written"
    print(f"vsr: error: {text}", file=sys.stderr)
