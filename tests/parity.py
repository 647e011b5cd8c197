"""The published Upscale-A-Video networks, as numbers: shapes, weights drawn by name, fixtures.

The fixtures hold inputs and (some places of the) outputs of the official classes, on a CPU in
float32, with the weights that `published_weights` draws.
"""

import gzip
import json
import math
import re
import zlib
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file

from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo

FOLDER = Path(__file__).parent / "fixtures" / "parity"
SMALL_UNET = {
    "block_out_channels": (32, 64, 64, 128),
    "num_heads": (2, 2, 2, 2),
    "cross_attention_dim": 64,
}
VIDEO_DECODER = {"temporal_kernel": (3, 3, 3), "condition_channels": 128}
VaeKind = Literal["3d", "video"]

# Attention of the autoencoder had other names before diffusers 0.17.
_VAE_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def fixture(name: str) -> dict[str, torch.Tensor]:
    return load_file(FOLDER / f"{name}.safetensors")


def published_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Shapes of "unet", "vae_3d" or "vae_video", or of the narrow form, as "unet_small"."""
    shapes = json.loads(gzip.decompress((FOLDER / "keys.json.gz").read_bytes()))[network]
    return {key: tuple(shape) for key, shape in shapes.items()}


def our_key(key: str) -> str | None:
    """The published key under its name here; None for an alias of the rotary frequencies."""
    if key.endswith("attn_temporal.rotary_emb.freqs"):
        return None
    old = r"(mid_block\.attentions\.0\.)(query|key|value|proj_attn)(?=\.)"
    return re.sub(old, lambda match: match[1] + _VAE_NAMES[match[2]], key)


def published_weights(network: str) -> dict[str, torch.Tensor]:
    """Weights under their names here; each tensor is drawn from its published key."""
    shapes = published_shapes(network).items()
    return {ours: _draw(key, shape) for key, shape in shapes if (ours := our_key(key))}


def published_state(network: str) -> dict[str, torch.Tensor]:
    """The same weights as the published file has them: under its names, aliases and all."""
    frequencies = 10000.0 ** (-torch.arange(16) / 16)
    return {
        key: frequencies.clone() if key.endswith("rotary_emb.freqs") else _draw(key, shape)
        for key, shape in published_shapes(network).items()
    }


def published_config(name: str) -> dict[str, Any]:
    """The published config of "unet_video", "vae_3d" or "vae_video"."""
    return json.loads((FOLDER / f"{name}_config.json").read_text())


def small_unet() -> UNetVideoModel:
    unet = UNetVideoModel(**SMALL_UNET).eval()
    frequencies = unet.state_dict()["temporal_rotary_emb.freqs"]
    weights = published_weights("unet_small") | {"temporal_rotary_emb.freqs": frequencies}
    unet.load_state_dict(weights, strict=True)
    return unet


def small_vae(kind: VaeKind) -> AutoencoderKLVideo:
    decoder = VIDEO_DECODER | {"condition_channels": 32} if kind == "video" else {}
    vae = AutoencoderKLVideo(block_out_channels=(32, 64, 64), **decoder).eval()
    vae.load_state_dict(published_weights(f"vae_{kind}_small"), strict=True)
    return vae


def _draw(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    r = torch.randn(shape, generator=generator)
    if key == "class_embedding.weight":
        return 0.1 * r
    if key.endswith("relative_attention_bias.weight"):
        return 0.5 * r
    if len(shape) == 1:
        return 1 + 0.1 * r if key.endswith(".weight") else 0.05 * r
    return r / math.sqrt(math.prod(shape[1:]))
