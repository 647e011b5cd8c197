"""Small networks and the config of a short run that trains them."""

from pathlib import Path
from typing import Any

UNET = {
    "in_channels": 51,
    "out_channels": 48,
    "block_out_channels": [16, 16],
    "layers_per_block": [1, 1],
    "num_heads": [1, 1],
    "attention": ["none", "window"],
    "cross_attention_dim": None,
    "window": [4, 4, 4],
    "residual": [True, True],
    "skip": "add",
    "temporal_attention": False,
    "temporal_resnet": False,
    "temporal_blocks": [True, True],
    "mid_temporal_block": False,
    "temporal_block_spatial": False,
    "temporal_kernels": [3, 3],
    "norm": "none",
    "attention_norm": "none",
    "activation": "prelu",
    "time_embedding_channels": 16,
    "num_class_embeds": 101,
}
VAE = {
    "latent_channels": 48,
    "latents": "unshuffle",
    "block_out_channels": [8],
    "layers_per_block": 0,
    "norm": "none",
    "activation": "prelu",
    "mid_attention": False,
    "condition_channels": 4,
    "scaling_factor": 1.0,
}


def values(photos: Path, run: Path, **changes: Any) -> dict[str, Any]:
    stage = {"steps": 2, "crop": 16, "frames": 3, "batch": 2, "lr": 1e-3, "warmup": 1}
    weights = {"gradient": 0.5, "frequency": 0.1, "temporal": 0.5, "grid": 0.02}
    return {
        "run": str(run),
        "device": "cpu",
        "model": {"unet": UNET, "vae": VAE},
        "data": {"photos": str(photos), "clips": None, "workers": 0, "held_out_every": 3},
        "validation": {"every": 2, "samples": 1, "crop": 16, "frames": 3, "best": "psnr"},
        "stages": [
            {**stage, "name": "new", "train": ["unet.*temp*", "vae.*"], "weights": weights},
            {**stage, "name": "whole"},
        ],
        "log_every": 1,
        **changes,
    }
