"""The published SeedVR networks, as numbers: weights drawn by their names, and fixtures.

The fixtures hold inputs and (some places of the) outputs of the official classes, on a CPU in
float32, with weights that `weights` draws.
"""

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import load_file, save_file

from vsr.models.seedvr.causal_vae import CausalVideoVae
from vsr.models.seedvr.nadit import NaDiT

FOLDER = Path(__file__).parent / "fixtures" / "seedvr"
Kind = Literal["3b", "7b"]
SMALL = {
    "3b": {"width": 64, "heads": 2, "layers": 4, "separate_layers": 2, "text_width": 48},
    "7b": {
        **{"width": 64, "heads": 2, "layers": 4, "separate_layers": 4, "text_width": 48},
        **{"mlp": "gelu", "rope": "window", "output_norm": False},
    },
}
SMALL_VAE = {"block_out_channels": (16, 32, 64, 64), "norm_num_groups": 8}


def fixture(name: str) -> dict[str, torch.Tensor]:
    return load_file(FOLDER / f"{name}.safetensors")


def published_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Shapes of "dit_3b", "dit_7b" or "vae", with the frequencies that files hold."""
    shapes = json.loads(gzip.decompress((FOLDER / "keys.json.gz").read_bytes()))[network]
    return {key: tuple(shape) for key, shape in shapes.items()}


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The drawn weights of a network, whose names are the published ones."""
    return {key: _draw(key, tuple(value.shape)) for key, value in module.state_dict().items()}


def small_dit(kind: Kind) -> NaDiT:
    return _drawn(NaDiT(**SMALL[kind]))


def small_vae() -> CausalVideoVae:
    return _drawn(CausalVideoVae(**SMALL_VAE))


def _drawn(module: Any) -> Any:
    module.load_state_dict(weights(module))
    return module.eval()


def _draw(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    r = torch.randn(shape, generator=generator)
    by_end = {"_scale": 1 + 0.1 * r, "_shift": 0.1 * r, "_gate": 0.5 * r}
    for end, value in by_end.items():
        if key.endswith(end):
            return value
    if len(shape) == 1:
        return 1 + 0.1 * r if key.endswith(".weight") else 0.05 * r
    return r / math.sqrt(math.prod(shape[1:]))


def save_folder(folder: Path, *, words: int = 5) -> Path:
    """A model folder of the small 3B network with random text, as `vsr convert` writes it."""
    small_dit("3b").save_pretrained(folder / "transformer")
    small_vae().save_pretrained(folder / "vae")
    FlowMatchEulerDiscreteScheduler(shift=1.0).save_pretrained(folder / "scheduler")
    (folder / "text").mkdir()
    text = torch.randn(words, 48, generator=torch.Generator().manual_seed(3))
    save_file({"positive": text, "negative": -text}, folder / "text" / "embeddings.safetensors")
    index = {
        "_class_name": "SeedVRPipeline",
        "transformer": ["vsr.models.seedvr.nadit", "NaDiT"],
        "vae": ["vsr.models.seedvr.causal_vae", "CausalVideoVae"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "sampling": {"num_inference_steps": 1, "guidance_scale": 1.0},
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
