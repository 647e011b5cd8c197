"""The scale of an image network, from the names and shapes of its weights alone."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vsr.errors import ModelError
from vsr.models.image import ImageNetwork
from vsr.models.weight_files import check_state, read_content

_log = logging.getLogger(__name__)

_FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full)


def network_scale(path: Path) -> int:
    """Return how many times larger the image network in the file `path` makes frames.

    Only the header of a safetensors file is read. The few architectures that compute with their
    weights while they are built are loaded whole. Raises ModelError as `ImageNetwork.load` does.
    """
    content = _without_data(path)
    try:
        with _WithoutMemory():
            return ImageNetwork.of_weights(content, path, device="meta").scale
    except ModelError as error:
        _log.debug("%s is loaded whole to learn its scale: %s", path, error)
    return ImageNetwork.load(path).scale


class _WithoutMemory(TorchFunctionMode):
    """Builds modules whose tensors have shapes and no memory; copies into them do nothing."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run `func`, on the meta device if it makes a tensor."""
        kwargs = kwargs or {}
        if func in _FACTORIES:
            return func(*args, **{**kwargs, "device": "meta"})
        if func is Tensor.copy_ and (args[0].is_meta or args[1].is_meta):
            return args[0]
        return func(*args, **kwargs)


def _without_data(path: Path) -> dict[str, Any]:
    """The content of a file of weights, its tensors without memory."""
    if path.suffix.lower() != ".safetensors":
        return _on_meta(read_content(path))  # memory-mapped, so that no data is read
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path} cannot be read, it may be cut: {reason}") from error
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    check_state(state, path)
    return state


def _on_meta(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _on_meta(cast("Mapping[str, Any]", value))
        if isinstance(value, Mapping)
        else value.to("meta")
        if isinstance(value, Tensor)
        else value
        for key, value in content.items()
    }
