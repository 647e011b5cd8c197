"""The kind of a network that is one file, by the names of its tensors; no torch for safetensors."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

RECURRENT_KEY = "backward_trunk.main.0.weight"
"""A tensor that a BasicVSR has, and no image network."""


def is_recurrent(path: Path) -> bool:
    """Return True for a file that holds a BasicVSR; False also for one that cannot be read."""
    if path.suffix.lower() == ".safetensors":
        try:
            with safe_open(path, framework="numpy") as file:
                return RECURRENT_KEY in file.keys()  # noqa: SIM118  (not a mapping)
        except (SafetensorError, OSError):
            return False
    from vsr.models.basicvsr import recurrent_state  # at use: it brings torch
    from vsr.models.weight_files import read_content

    return recurrent_state(read_content(path)) is not None
