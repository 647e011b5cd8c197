"""The model folder of SeedVR: its networks, its text and its sampling values."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ModelError
from vsr.models.blocks import channels_innermost
from vsr.models.load_network import load_network, quiet_diffusers
from vsr.models.seedvr.causal_vae import CausalVideoVae
from vsr.models.seedvr.nadit import NaDiT
from vsr.models.weight_files import read_state
from vsr.pipelines.seedvr import SEEDVR_PIPELINE

TEXT_FILE = "text/embeddings.safetensors"
"""The embeddings `positive` and `negative`; networks of another text width have none."""


@dataclass(frozen=True, slots=True)
class SeedVRFolder:
    """The content of a model folder."""

    transformer: NaDiT
    vae: CausalVideoVae
    positive: Float[Tensor, "words c"] | None
    negative: Float[Tensor, "words2 c"] | None
    sampling: dict[str, Any]
    """Values of `SamplingConfig`, and `condition_noise_scale`."""


def read_folder(folder: Path, *, dtype: torch.dtype) -> SeedVRFolder:
    """Returns what a folder holds, on the CPU; raises ModelError unless all of it fits."""
    index = _index(folder)
    with quiet_diffusers():
        transformer = load_network(NaDiT, folder / "transformer", torch_dtype=dtype)
        vae = load_network(CausalVideoVae, folder / "vae", torch_dtype=dtype)
    positive, negative = _texts(folder, transformer.text_width)
    sampling = index.get("sampling", {})
    if not isinstance(sampling, dict):
        raise ModelError(f"{folder}: sampling in model_index.json is not a table")
    channels_innermost(vae)
    return SeedVRFolder(transformer, vae, positive, negative, sampling)


def _index(folder: Path) -> dict[str, Any]:
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{folder} is not a model folder: {path.name} cannot be read") from error
    if not isinstance(index, dict) or index.get("_class_name") != SEEDVR_PIPELINE:
        raise ModelError(f"{path} is not of a {SEEDVR_PIPELINE}")
    return index


def _texts(folder: Path, width: int) -> tuple[Tensor | None, Tensor | None]:
    path = folder / TEXT_FILE
    if not path.is_file():
        return None, None
    state = read_state(path)
    for name, text in state.items():
        if text.ndim != 2 or text.shape[1] != width:
            raise ModelError(
                f"{path}: {name} has shape {tuple(text.shape)}, and the transformer reads words of "
                f"{width} values: convert the model again with the embeddings of its makers"
            )
    if "positive" not in state:
        raise ModelError(f"{path} has no positive embeddings: convert the model again")
    return state["positive"], state.get("negative")
