"""The configs of SeedVR's networks, from the names and shapes of their tensors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsr.checkpoints.seedvr.tensor_files import Shapes
from vsr.errors import ModelError

_HEAD_DIM = 128
_GROUPS = 32
_KNOWN = {
    "vid_dim": "width",
    "heads": "heads",
    "num_layers": "layers",
    "mm_layers": "separate_layers",
    "txt_in_dim": "text_width",
}
"""Keys of a config beside the file, and our fields."""
_BLOCK = re.compile(r"^blocks\.(\d+)\.")
_LEVEL = re.compile(r"^encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.conv1\.weight$")


def is_transformer(shapes: Shapes) -> bool:
    """Returns True for the tensors of a NaDiT."""
    return "vid_in.proj.weight" in shapes and "emb_in.proj_in.weight" in shapes


def is_autoencoder(shapes: Shapes) -> bool:
    """Returns True for the tensors of a causal video autoencoder."""
    first = shapes.get("encoder.conv_in.weight", ())
    return len(first) == 5 and "decoder.conv_in.weight" in shapes


def transformer_config(shapes: Shapes, given: Mapping[str, Any], *, where: Path) -> dict[str, Any]:
    """Returns the fields of `NaDiT`; `given` says what tensors do not tell, as the heads.

    Raises ModelError where the two contradict each other.
    """
    width = _side(shapes, "vid_in.proj.weight", 0, where)
    head_dim = given.get("head_dim", _head_dim(shapes))
    config = {
        "width": width,
        "heads": given.get("heads", max(width // head_dim, 1)),
        "layers": _layers(shapes, where),
        "separate_layers": sum(key.endswith(".attn.proj_qkv.vid.weight") for key in shapes),
        "text_width": _side(shapes, "txt_in.weight", 1, where),
        "mlp": "swiglu" if any(".proj_in_gate." in key for key in shapes) else "gelu",
        "rope": "integer" if "vid_out_norm.weight" in shapes else "window",
        "output_norm": "vid_out_norm.weight" in shapes,
    }
    for key, field in _KNOWN.items():
        if key in given and given[key] != config[field]:
            raise ModelError(
                f"{where} has {field} = {config[field]}, and the config beside it says {given[key]}"
            )
    return config


def _layers(shapes: Shapes, where: Path) -> int:
    """The number of blocks; a number that the tensors cannot justify is damage, or an attack."""
    layers = 1 + max((int(found[1]) for key in shapes if (found := _BLOCK.match(key))), default=-1)
    if layers > len(shapes):
        raise ModelError(f"{where} names a block {layers - 1} and has {len(shapes)} tensors")
    return layers


def _side(shapes: Shapes, key: str, axis: int, where: Path) -> int:
    shape = shapes.get(key, ())
    if len(shape) <= axis:
        raise ModelError(f"{where} lacks {key}, or it has the shape {tuple(shape)}")
    return shape[axis]


def _head_dim(shapes: Shapes) -> int:
    """The size of a head: that of the norm of its queries."""
    found = (shapes.get(f"blocks.0.attn.norm_q.{branch}.weight") for branch in ("vid", "all"))
    return next((shape[0] for shape in found if shape), _HEAD_DIM)


def autoencoder_config(shapes: Shapes, given: Mapping[str, Any], *, where: Path) -> dict[str, Any]:
    """Returns the fields of `CausalVideoVae`; `given` says the groups of its norms."""
    levels: dict[int, int] = {}
    layers = 0
    for key, shape in shapes.items():
        if found := _LEVEL.match(key):
            levels[int(found[1])] = shape[0]
            layers = max(layers, int(found[2]) + 1)
    channels = [levels[i] for i in sorted(levels)]
    stated = given.get("block_out_channels")
    if stated is not None and list(stated) != channels:
        raise ModelError(f"{where} has channels {channels}, and the config beside it says {stated}")
    return {
        "block_out_channels": channels,
        "layers_per_block": layers,
        "norm_num_groups": int(given.get("norm_num_groups", _GROUPS)),
        "latent_channels": shapes["decoder.conv_in.weight"][1],
        "scaling_factor": float(given.get("scaling_factor", 0.9152)),
    }
