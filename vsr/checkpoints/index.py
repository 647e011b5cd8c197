"""The index of a model folder, model_index.json: its parts, each of a class on an allow list."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsr.errors import ModelError
from vsr.option_values import nearest
from vsr.pipelines.seedvr import SEEDVR_PIPELINE

INDEX = "model_index.json"
CLEAN = "clean.safetensors"
"""Weights for frames that lost nothing but size, in place of the folder's own."""
PIPELINE = "VideoUpscalePipeline"
PIPELINES = (PIPELINE, SEEDVR_PIPELINE)

_SCHEDULERS = tuple(
    f"diffusers.{name}"
    for name in (
        "DDIMScheduler",
        "DDPMScheduler",
        "DPMSolverMultistepScheduler",
        "FlowMatchEulerDiscreteScheduler",
        "LCMScheduler",
    )
)
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "unet": ("vsr.models.unet.UNetVideoModel",),
    "transformer": ("vsr.models.seedvr.nadit.NaDiT",),
    "vae": ("vsr.models.vae.AutoencoderKLVideo", "vsr.models.seedvr.causal_vae.CausalVideoVae"),
    "scheduler": _SCHEDULERS,
    "low_res_scheduler": _SCHEDULERS,
    "text_encoder": ("transformers.CLIPTextModel",),
    "tokenizer": ("transformers.CLIPTokenizer", "transformers.CLIPTokenizerFast"),
}
"""The classes that may be loaded for each part of a folder; an index is not trusted to name any."""


def check_folder(folder: Path) -> None:
    """Raise ModelError unless the folder's index names known classes and its parts are there."""
    if not (folder / INDEX).is_file():
        raise ModelError(f"{folder} is not a model folder: it has no {INDEX}")
    index = read_object(folder / INDEX)
    if index.get("_class_name") not in PIPELINES:
        raise ModelError(
            f"{folder / INDEX} is of a {index.get('_class_name')}; it can be of a "
            f"{' or a '.join(PIPELINES)}"
        )
    for part, source in index.items():
        if isinstance(source, list) and source != [None, None]:
            _check_class(part, ".".join(map(str, source)), where=folder / INDEX)
            if not (folder / part).is_dir():
                raise ModelError(f"{folder} has no folder {part}, which its {INDEX} names")


def is_seedvr_folder(folder: Path) -> bool:
    """Return True for the model folder of a SeedVRPipeline; False for anything else."""
    try:
        return read_object(folder / INDEX).get("_class_name") == SEEDVR_PIPELINE
    except ModelError:
        return False  # no model folder, or a damaged one: loading it says so


def has_packed_latents(folder: Path) -> bool:
    """Return True for a model folder whose latents are packed pixels; False for anything else."""
    try:
        return read_object(folder / "vae" / "config.json").get("latents") == "unshuffle"
    except ModelError:
        return False


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ModelError if there is none."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not an object")
    return content


def _check_class(part: str, found: str, *, where: Path) -> None:
    if part not in ALLOWED:
        raise ModelError(f"{where} names an unknown part {part}{nearest(part, list(ALLOWED))}")
    if found not in ALLOWED[part]:
        allowed = " or ".join(ALLOWED[part])
        raise ModelError(
            f"{where} is refused: its {part} is the class {found}; it can be {allowed}"
        )
