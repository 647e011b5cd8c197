"""The CPU time that stored latents save in training."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vsr.pipelines.video import VideoUpscalePipeline
from vsr.training.data.latent_clips import LatentClips
from vsr.training.data.samples import TrainingClips


def compare_costs(
    clips: TrainingClips, stored: LatentClips, pipe: VideoUpscalePipeline, *, samples: int
) -> str:
    """Return one line: CPU ms to make, encode and read a sample, and of a training step on it."""
    stored.check_encoder(pipe.vae)
    numbers = range(samples)

    def encode(sample: dict[str, Tensor]) -> None:
        with torch.no_grad():  # the large frames alone, as training encodes them
            pipe.vae.encode_scaled(sample["hr"][None])

    encode(clips[0])  # the first one loads files and libraries
    made, examples = _cpu_milliseconds(lambda number: clips[number], numbers)
    encoded, _ = _cpu_milliseconds(encode, examples)
    read, latents = _cpu_milliseconds(lambda number: stored[number], numbers)
    step, _ = _cpu_milliseconds(lambda sample: _training_step(pipe.unet, sample), latents)
    faster = (made + encoded + step) / (read + step)
    return (
        f"CPU ms a sample: {made:.0f} made, {encoded:.0f} encoded; {read:.1f} read from shards; "
        f"{step:.0f} forward and backward of the U-Net: {faster:.2f} times faster with shards"
    )


def _cpu_milliseconds(work: Callable[[Any], Any], items: Sequence[Any]) -> tuple[float, list[Any]]:
    began = time.process_time()
    results = [work(item) for item in items]
    return 1000 * (time.process_time() - began) / len(items), results


def _training_step(unet: Any, sample: dict[str, Tensor]) -> None:
    text = sample["prompt"][None] if "prompt" in sample else None
    label = torch.zeros(1, dtype=torch.long)
    output = unet(
        sample["latents"][None],
        label + 500,
        low_res=sample["lr"][None],
        class_labels=label,
        encoder_hidden_states=text,
    ).sample
    output.square().mean().backward()
