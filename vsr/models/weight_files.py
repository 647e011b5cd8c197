"""Reading and writing files of weights: safetensors, and pickles without running their code."""

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vsr.errors import ModelError, first_line

# Layers without weights, such as activations, count too: a chain of convolutions and activations
# numbers two layers a tensor pair. Far above that a number is damage, or an attack: networks are
# built layer by layer up to the highest one.
_NUMBERS_PER_TENSOR = 8
_NUMBERS_AT_LEAST = 64
_LAYER_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def read_state(path: Path, *, under: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file or a pickle by name, on the CPU.

    `under`: the entry of a pickle that holds the state, if there is one. Raises ModelError as
    `read_content` does, and for an entry that is not a tensor.
    """
    content = read_content(path)
    if under is not None and isinstance(content.get(under), Mapping):
        content = content[under]
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ModelError(f"{path}: {key} is a {type(value).__name__}; a state dict has tensors")
    return dict(content)


def read_content(path: Path) -> Mapping[str, Any]:
    """The content of a safetensors file or a pickle: tensors by name, or tables of them.

    Tensors of pickles stay in the file until they are used. Raises ModelError for a file that is
    missing, damaged or not a table, for a pickle that would run code, and for layer numbers and
    sizes that do not fit the number of tensors and their data.
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
            f"{_short_reason(error)}"
        ) from error
    except Exception as error:  # damaged archives and pickles raise almost every kind
        raise ModelError(f"{path} cannot be read, it may be cut: {_short_reason(error)}") from error
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path} holds a {type(content).__name__}, not a state dict")
    check_state(content, path)
    return content


def check_state(content: Mapping[str, Any], path: Path) -> None:
    """Raise ModelError for a layer number or a tensor that is larger than the file can justify."""
    for table in _tables(content):
        highest = _NUMBERS_AT_LEAST + _NUMBERS_PER_TENSOR * len(table)
        for key, value in table.items():
            if any(int(number[:9]) > highest for number in _LAYER_NUMBER.findall(str(key))):
                raise ModelError(
                    f"{path}: {str(key)[:100]} has too high a layer number for {len(table)} tensors"
                )
            if isinstance(value, Tensor) and _exceeds_its_data(value):
                raise ModelError(
                    f"{path}: {str(key)[:100]} has shape {tuple(value.shape)}, larger than its data"
                )


def write_state(state: Mapping[str, Tensor], path: Path) -> None:
    """Write the tensors as safetensors, each with memory of its own."""
    path.touch()
    mode = path.stat().st_mode  # safetensors makes files that only their owner can read
    save_file({key: _own(value) for key, value in state.items()}, path, metadata={"format": "pt"})
    path.chmod(mode)


def _unpickled(path: Path) -> Any:
    mapped = zipfile.is_zipfile(path)  # PyTorch's format since 1.6
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _is_pickle(path: Path) -> bool:
    """True if the file begins like a zip archive or a pickle of protocol 2 to 5."""
    with path.open("rb") as file:
        head = file.read(2)
    return head == b"PK" or (
        head[:1] == b"\x80" and head[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")
    )


def _tables(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The mapping and all mappings inside it."""
    waiting = [content]
    while waiting:
        table = waiting.pop()
        yield table
        waiting.extend(value for value in table.values() if isinstance(value, Mapping))


def _exceeds_its_data(value: Tensor) -> bool:
    """True for a tensor whose strides show the same data several times."""
    if value.is_meta or value.layout != torch.strided:
        return False
    return value.numel() * value.element_size() > value.untyped_storage().nbytes()


def _own(value: Tensor) -> Tensor:
    """`value` contiguous; a copy if it is a part of a larger storage."""
    value = value.detach().contiguous()
    whole = value.untyped_storage().nbytes() == value.numel() * value.element_size()
    return value if whole else value.clone()


def _short_reason(error: Exception) -> str:
    return " ".join(first_line(error).split())[:300]
