"""The errors that a user or a file can cause; each message says in one line what to do."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_SHOWN_NAME = 60  # characters of a file name that is too long


class VsrError(Exception):
    """Base of every error that is not a bug of vsr; the command line prints it as one line."""


class InputError(VsrError):
    """A source video, image folder or time range cannot be used."""


class OutputError(VsrError):
    """The output cannot be written in the place or the form that was asked for."""


class ConfigError(VsrError):
    """An option or a key of a config file is unknown or out of range."""


class ModelError(VsrError):
    """A model folder is missing, incomplete or of an unknown kind."""


class NumericalError(ModelError):
    """The output of a network is no picture: NaN, infinity, or black where the source is not.

    `frames` are the numbers of these frames in the call; empty if they are not known.
    """

    def __init__(self, message: str, frames: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.frames = frames


class DeviceError(VsrError):
    """The device or backend is not available on this machine, or its memory is too small."""


class DependencyError(VsrError):
    """A package or a system library is missing; the message says how to install it."""


def install_extra(extra: str) -> str:
    """Return the command that installs an extra, for the message of a DependencyError."""
    return f'pip install -e ".[{extra}]" in a clone of vsr, or pip install "FILE.whl[{extra}]"'


def explained_os_error(error: OSError) -> OutputError:
    """Return an error of the system in words that name the file and say what to do."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno == errno.ENAMETOOLONG:
        longest = max(Path(name).parts, key=len, default="")
        return OutputError(
            f"the name {longest[:_SHOWN_NAME]}... is too long for this file system, which allows "
            "255 bytes in most cases; give a shorter one"
        )
    return OutputError(f"{name + ': ' if name else ''}{error.strerror or error}")


@contextmanager
def as_output_error(path: Path) -> Generator[None]:
    """Raise an error of the system as an OutputError that names the file to be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def in_one_line(error: Exception) -> str:
    """Return an error as one line; one that is not ours keeps the name of its kind."""
    if isinstance(error, OSError):
        error = explained_os_error(error)
    text = " ".join(str(error).split())
    return text if isinstance(error, VsrError) else f"{type(error).__name__}: {text}"
