"""Reading and writing files of weights: safetensors, and pickles without running what they hold."""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from vsr.errors import ModelError


def read_state(path: Path, *, under: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a pickle by name, on the CPU.

    `under`: the entry of a pickle that holds the state, where there is one. Raises ModelError as
    `read_content`, and where another than a tensor is among them.
    """
    content = read_content(path)
    if under is not None and isinstance(content.get(under), Mapping):
        content = content[under]
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ModelError(f"{path}: {key} is a {type(value).__name__}; a state dict has tensors")
    return dict(content)


def read_content(path: Path) -> Mapping[str, Any]:
    """What lies in a safetensors file or a pickle: tensors by name, or tables of them.

    Tensors of pickles stay in the file until they are used. Raises ModelError for a file that is
    missing, damaged or no table, and for a pickle that would run code.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing")
    try:
        content = load_file(path) if path.suffix.lower() == ".safetensors" else _unpickled(path)
    except pickle.UnpicklingError as error:
        if not _is_pickle(path):
            raise ModelError(f"{path} is not a file of weights, or damaged") from error
        raise ModelError(
            f"{path} is refused: it holds more than weights, and loading it could run code. "
            f"{_first_line(error)}"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        raise ModelError(f"{path} cannot be read, it may be cut: {_first_line(error)}") from error
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path} holds a {type(content).__name__}, not a state dict")
    return content


def write_state(state: Mapping[str, Tensor], path: Path) -> None:
    """Write the tensors as safetensors, each with memory of its own."""
    path.touch()
    mode = path.stat().st_mode  # safetensors would leave the file to its owner alone
    save_file({key: _own(value) for key, value in state.items()}, path, metadata={"format": "pt"})
    path.chmod(mode)


def _unpickled(path: Path) -> Any:
    mapped = zipfile.is_zipfile(path)  # PyTorch's format since 1.6
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _is_pickle(path: Path) -> bool:
    """Whether the file begins as a zip archive or a pickle of protocol 2 to 5 does."""
    with path.open("rb") as file:
        head = file.read(2)
    return head == b"PK" or (
        head[:1] == b"\x80" and head[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")
    )


def _own(value: Tensor) -> Tensor:
    """`value` contiguous; a copy where it is a part of a larger storage."""
    value = value.detach().contiguous()
    whole = value.untyped_storage().nbytes() == value.numel() * value.element_size()
    return value if whole else value.clone()


def _first_line(error: Exception) -> str:
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
