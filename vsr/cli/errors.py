"""Errors of the parser in one line that says what to do."""

import re
from argparse import ArgumentError
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from vsr.cli.arguments import option_strings, suggestion, unnamed
from vsr.errors import ConfigError
from vsr.option_values import nearest

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
