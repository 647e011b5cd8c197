"""A network from its own folder, complete, or an error that says what does not fit."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging

from vsr.errors import ModelError


def load_network(kind: Any, folder: Path, *, torch_dtype: torch.dtype | None = None) -> Any:
    """Returns the network of class `kind` in its own folder; raises ModelError unless all fits.

    Each tensor is converted as it is read, so that no second copy of the network exists; None keeps
    the type of the file.
    """
    try:
        network, report = kind.from_pretrained(
            folder, torch_dtype=torch_dtype, output_loading_info=True
        )
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{folder}: {reason(error)}") from error
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[problem]:
            raise ModelError(f"{folder}: {problem.replace('_', ' ')}: {report[problem][0]}")
    return network.eval()


@contextmanager
def quiet_diffusers() -> Generator[None]:
    """No progress bars and advice of diffusers on standard error: errors are raised anyway."""
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        diffusers_logging.enable_progress_bar()


def reason(error: Exception) -> str:
    """The message as one line, without the advice to diffusers' callers that may follow it."""
    return " ".join(str(error).split()).partition(" If you want to")[0]
