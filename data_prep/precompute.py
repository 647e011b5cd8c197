"""Computes the latents of training samples, and the embeddings of their captions, once.

    python data_prep/precompute.py clips.parquet LATENTS --model MODEL --samples 4096 --crop 80

Training with `data.latents=LATENTS` then needs no decoder, no degradation and no autoencoder.
`--measure` says what a sample costs either way. LATENTS may grow: a later run with more samples
goes on where this one ended.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from vsr.checkpoints.load import load_pipeline
from vsr.degradation import degradation_preset
from vsr.degradation.presets import PRESETS
from vsr.training.data.latent_clips import LatentClips
from vsr.training.data.samples import TrainingClips, TrainingClipsConfig
from vsr.training.preparation.command import run, script
from vsr.training.preparation.latents import write_latents, write_prompts


def main(argv: Sequence[str] | None = None) -> int:
    parser = script(__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("latents", type=Path, help="folder for the shards")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--shard-samples", type=int, default=64)
    parser.add_argument("--crop", type=int, default=80, help="side of the small frames: 80")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--degradation", choices=tuple(PRESETS), default="default")
    parser.add_argument("--video-probability", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cache", type=Path, default=TrainingClipsConfig.cache)
    parser.add_argument("--measure", type=int, help="only time so many samples, both ways")
    return run(parser, precompute, argv)


def precompute(options: Namespace) -> str:
    clips = TrainingClips(
        TrainingClipsConfig(
            manifest=options.manifest,
            split="train",
            crop=options.crop,
            frames=options.frames,
            seed=options.seed,
            video_probability=options.video_probability,
            degradation=degradation_preset(options.degradation),
            cache=options.cache,
        )
    )
    pipe = load_pipeline(options.model, device=options.device)
    if options.measure is not None:
        return measure(clips, pipe, options)
    index = write_latents(
        clips,
        pipe.vae,
        options.latents,
        samples=options.samples,
        shard_samples=options.shard_samples,
        workers=options.workers,
    )
    if pipe.text_encoder is not None:
        write_prompts(options.latents, pipe.text_encoder, pipe.tokenizer, clips.captions)
    size = sum(path.stat().st_size for path in options.latents.iterdir())
    return f"{index.samples} samples in {index.shards} shards, {size / 2**20:.1f} MiB"


def measure(clips: TrainingClips, pipe: Any, options: Namespace) -> str:
    """CPU milliseconds of a sample that is made and encoded, one that is read, and of a step."""
    stored = LatentClips(options.latents, crop=options.crop, frames=options.frames)
    stored.check_encoder(pipe.vae)
    numbers = range(options.measure)

    def encode(sample: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():  # the large frames alone, as training encodes them
            pipe.vae.encode_scaled(sample["hr"][None])

    encode(clips[0])  # files and libraries are loaded by the first
    made, samples = cpu_milliseconds(lambda number: clips[number], numbers)
    encoded, _ = cpu_milliseconds(encode, samples)
    read, latents = cpu_milliseconds(lambda number: stored[number], numbers)
    step, _ = cpu_milliseconds(lambda sample: train_step(pipe.unet, sample), latents)
    faster = (made + encoded + step) / (read + step)
    return (
        f"CPU ms a sample: {made:.0f} made, {encoded:.0f} encoded; {read:.1f} read from shards; "
        f"{step:.0f} forward and backward of the U-Net: {faster:.2f} times faster with shards"
    )


def cpu_milliseconds(work: Callable[[Any], Any], items: Sequence[Any]) -> tuple[float, list[Any]]:
    began = time.process_time()
    results = [work(item) for item in items]
    return 1000 * (time.process_time() - began) / len(items), results


def train_step(unet: Any, sample: dict[str, torch.Tensor]) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
