"""Errors in one line that says what to do: the parser's, and those of Python and the system."""

import re
from argparse import ArgumentError
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from vsr.cli.arguments import option_strings, suggestion, unnamed
from vsr.config import nearest
from vsr.errors import ConfigError, DependencyError, DeviceError, explained_os_error

_KINDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}


def usage_error(
    error: ArgumentError, parser: ArgumentParser, commands: Sequence[str]
) -> ConfigError:
    """Turn the parser's message into one line that suggests the nearest right option."""
    text = " ".join(str(error).split())
    flags = option_strings(parser)
    if found := re.search(r"unrecognized arguments: (.*)$", text):
        words = found[1].split()
        first = next((word for word in words if word.startswith("-")), words[0]).partition("=")[0]
        kind = "option" if first.startswith("-") else "argument"
        hint = suggestion(first, flags)
        if kind == "argument" and not hint:
            hint = "; for several films, give their folder, or a list of them (.txt)"
        return ConfigError(f"unknown {kind} {first}{hint}")
    if found := re.search(r"(?:Option|accept option) '([^']+)'", text):
        key = found[1].split(".")[-1]
        keys = [flag.removeprefix("--").replace("-", "_") for flag in flags]
        hint = unnamed(key) or nearest(key, keys)
        return ConfigError(f"unknown key {key} in the config file{hint}")
    if found := re.search(r"argument COMMAND: invalid choice: '([^']+)'", text):
        hint = nearest(found[1], commands) or f"; there are {', '.join(commands)}"
        return ConfigError(f"unknown command {found[1]}{hint}")
    if found := re.search(r"arguments are required: (\w+)\.([\w.]+)", text):
        return ConfigError(f"the {found[2]} is missing; see vsr {found[1]} --help")
    if "Unexpected config" in text:
        return ConfigError("the config file holds no options; write one on each line, as scale: 2")
    return _value_error(text)


def _value_error(text: str) -> ConfigError:
    """Say which values an option can have."""
    text = re.sub(r"<class '(\w+)'>", r"\1", text)
    wrong = r'Parser key "(?:\w+\.)?(\w+)": Expected a (.+)\. Got value: (.*)$'
    if found := re.search(wrong, text):
        name, kind, value = found.groups()
        choices = re.findall(r"'([^']+)'", kind)
        if choices:
            return ConfigError(
                f"{name} = {value} is unknown{nearest(value, choices)}; it can be "
                f"{', '.join(choices)}"
            )
        return ConfigError(f"{name} = {value} is not {_KINDS.get(kind, kind)}")
    return ConfigError(re.sub(r'Parser key "([\w.]+)":', r"\1:", text))


def explained(error: Exception) -> Exception:
    """Return an error of Python or the system in words that say what to do; ours do already."""
    if isinstance(error, MemoryError):
        return DeviceError(
            f"not enough memory to read or write a clip ({str(error) or 'no reason given'}): end "
            "other programs, or give a smaller --max-clip-frames; finished clips are kept"
        )
    if isinstance(error, ModuleNotFoundError):
        return DependencyError(
            f"the package {error.name} is not installed; install vsr again, with its dependencies: "
            "pip install -e . in a clone"
        )
    if isinstance(error, ImportError):
        return DependencyError(f"{error}{_library_hint(str(error))}")
    if isinstance(error, OSError):
        return explained_os_error(error)
    return error


def _library_hint(message: str) -> str:
    """Say how to get the system library that an import lacks."""
    if any(name in message for name in ("libGL", "libgthread", "libglib")):
        return (
            "; another package has installed the OpenCV that needs a display: pip install "
            "--force-reinstall --no-deps opencv-python-headless, or apt install libgl1 libglib2.0-0"
        )
    if "cannot open shared object file" in message:
        return "; install this library with the packages of your system, or install PyTorch again"
    return "; install vsr again, with its dependencies: pip install -e . in a clone"
