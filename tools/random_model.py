"""Write a model folder of the published form, with random weights: random_model.py FOLDER.

For benchmarks without the published weights: 691 M parameters, 2.8 GB. The folder has no text
encoder, so prompts are passed as embeddings.
"""

import math
from argparse import ArgumentParser
from pathlib import Path

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn

from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipelines.video import VideoUpscalePipeline

_NOISE = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}
_NARROW = {
    "block_out_channels": (32, 64, 64, 128),
    "num_heads": (2, 2, 2, 2),
    "cross_attention_dim": 64,
}


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="model folder to write")
    parser.add_argument("--narrow", action="store_true", help="use an eighth of the channels")
    options = parser.parse_args()
    random_pipeline(narrow=options.narrow).save_pretrained(options.folder)


def random_pipeline(*, narrow: bool) -> VideoUpscalePipeline:
    """Return the published networks and schedulers, with every weight drawn from one seed."""
    with torch.device("meta"):
        vae = AutoencoderKLVideo(**({"block_out_channels": (32, 64, 64)} if narrow else {}))
    scheduler = DDIMScheduler(
        **_NOISE,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    generator = torch.Generator().manual_seed(0)
    unet, vae = drawn(published_unet(narrow=narrow), generator), drawn(vae, generator)
    return VideoUpscalePipeline(unet, vae, scheduler, DDPMScheduler(**_NOISE))


def published_unet(*, narrow: bool) -> UNetVideoModel:
    """The published U-Net without memory for its weights."""
    with torch.device("meta"):
        return UNetVideoModel(**(_NARROW if narrow else {}))


@torch.no_grad()
def drawn(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """The network with weights that keep the size of what passes them, and its own frequencies."""
    network = network.to_empty(device="cpu")
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            parameter.normal_(1.0 if name.endswith("weight") else 0.0, 0.05, generator=generator)
        else:
            fan_in = math.prod(parameter.shape[1:])
            parameter.normal_(0.0, 1 / math.sqrt(fan_in), generator=generator)
    for buffer in network.buffers():
        buffer.copy_(10000.0 ** (-torch.arange(len(buffer)) / len(buffer)))
    return network.eval()


if __name__ == "__main__":
    main()
