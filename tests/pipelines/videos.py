"""A moving picture, and calls of a tiny pipeline."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from vsr.checkpoints.load import load_pipeline
from vsr.pipelines.video import VideoUpscalePipeline

HEIGHT, WIDTH = 12, 20


def pipe_of(tiny_model: Path) -> VideoUpscalePipeline:
    pipe = load_pipeline(tiny_model, device="cpu")
    # Windows reach over all frames of a segment, so that its borders matter.
    torch.manual_seed(0)
    torch.nn.init.normal_(pipe.unet.conv_out.weight, std=0.02)
    torch.nn.init.normal_(pipe.vae.decoder.conv_out.weight, std=0.02)
    return pipe


def with_choices(pipe: VideoUpscalePipeline, *, unet=None, **sampling) -> VideoUpscalePipeline:
    """The same networks (or another U-Net) with other choices of the model's."""
    components = pipe.components | ({} if unet is None else {"unet": unet})
    return VideoUpscalePipeline(**components, sampling=asdict(pipe.settings) | sampling)


def video_of(frames: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth picture that moves by half a pixel a frame."""
    t, y, x = np.mgrid[:frames, :height, :width]
    x = x + t / 2
    channels = [x / 2 + y / 3, x / 4 - y / 2, x / 3 + np.sin(y)]
    return np.stack([128 + 90 * np.sin(c) for c in channels], axis=-1).astype(np.uint8)


def latents_of(pipe: VideoUpscalePipeline, frames, **call) -> torch.Tensor:
    return pipe(frames, **{"propagation_steps": (), "output_type": "pt"} | call).latents


def assert_same(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)
