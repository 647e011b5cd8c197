"""Published files of tensors: names and shapes at once, values one by one as they are written."""

import importlib
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsr.errors import DependencyError, ModelError, install_extra
from vsr.models.placement import EIGHT_BITS
from vsr.models.weight_files import read_state

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".gguf")
PREFIXES = ("model.diffusion_model.", "module.")
_GGUF_SHAPE = "comfy.gguf.orig_shape."

Shapes = Mapping[str, tuple[int, ...]]


class TensorFile(Protocol):
    """A file of tensors; names are without the prefix that conversions put before them."""

    path: Path
    shapes: Shapes

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """Returns a tensor on the CPU; formats of 8 bits or blocks become 16 bits."""


def open_tensors(path: Path) -> TensorFile:
    """Returns the file at `path`, of which only names and shapes are read.

    Raises ModelError for a file that is missing, damaged, refused or of another kind,
    DependencyError for GGUF without the package `gguf`.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing")
    kind = path.suffix.lower()
    if kind == ".safetensors":
        return _SafeTensors(path)
    return _Gguf(path) if kind == ".gguf" else _Pickle(path)


class _SafeTensors:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with safe_open(path, framework="pt") as file:
                shapes = {
                    name: tuple(file.get_slice(name).get_shape())
                    for name in file.keys()  # noqa: SIM118  (not a mapping)
                }
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} cannot be read, it may be cut: {_line(error)}") from error
        self._names = _without_prefix(shapes)
        self.shapes: Shapes = {name: shapes[own] for name, own in self._names.items()}

    def read(self, name: str) -> Tensor:
        with safe_open(self.path, framework="pt") as file:
            value = file.get_tensor(self._names[name])
        return value.bfloat16() if value.dtype in EIGHT_BITS else value


class _Pickle:
    def __init__(self, path: Path) -> None:
        self.path = path
        content = read_state(path)  # memory-mapped, so that no data is read
        self._content = {own: content[key] for own, key in _without_prefix(content).items()}
        self.shapes: Shapes = {name: tuple(value.shape) for name, value in self._content.items()}

    def read(self, name: str) -> Tensor:
        return self._content[name]


class _Gguf:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._gguf: Any = importlib.import_module("gguf")
        except ImportError as error:
            raise DependencyError(
                f"{path} is a GGUF file, which needs the package gguf: {install_extra('gguf')}"
            ) from error
        try:
            reader = self._gguf.GGUFReader(path)
        except (OSError, ValueError, IndexError, KeyError, RuntimeError) as error:
            raise ModelError(f"{path} cannot be read, it may be cut: {_line(error)}") from error
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        names = _without_prefix(tensors)
        self._tensors = {name: tensors[own] for name, own in names.items()}
        self.shapes: Shapes = {
            name: _gguf_shape(reader, tensors[own]) for name, own in names.items()
        }

    def read(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        try:
            values = self._gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise ModelError(
                f"{self.path}: {name} has a format that the package gguf does not read: use a "
                "Q8_0, Q4_K_M or F16 file"
            ) from error
        return torch.from_numpy(values.copy()).reshape(self.shapes[name]).half()


def _gguf_shape(reader: Any, tensor: Any) -> tuple[int, ...]:
    """The shape of a tensor; that of one that was flattened stands in a field."""
    for prefix in ("", *PREFIXES):
        field = reader.get_field(f"{_GGUF_SHAPE}{tensor.name.removeprefix(prefix)}")
        if field is not None:
            return tuple(int(field.parts[i][0]) for i in field.data)
    return tuple(int(side) for side in reversed(tensor.shape))


def _without_prefix(names: Mapping[str, Any]) -> dict[str, str]:
    """The names without a prefix that all of them have, and those in the file."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in names):
            return {name.removeprefix(prefix): name for name in names}
    return {name: name for name in names}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
