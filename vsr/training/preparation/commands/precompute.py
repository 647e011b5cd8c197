"""Store the latents of training samples and the embeddings of their captions.

    vsr data precompute clips.parquet LATENTS --model MODEL --samples 4096 --crop 80

Training with `data.latents=LATENTS` then needs no decoder, no degradation and no autoencoder.
LATENTS may grow: a later run with more samples continues from the last one. Of a manifest in parts,
each shard is drawn from one part. `--measure` prints the
CPU time of a sample with and without stored latents.
"""

from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vsr.checkpoints.load import load_pipeline
from vsr.degradation import degradation_preset
from vsr.degradation.presets import PRESETS
from vsr.models.vae import AutoencoderKLVideo
from vsr.training.data.latent_clips import LatentClips
from vsr.training.data.samples import TrainingClips, TrainingClipsConfig
from vsr.training.preparation.command import add_manifest, make_parser, run, worker_options
from vsr.training.preparation.costs import compare_costs
from vsr.training.preparation.latents import write_latents, write_prompts


def main(argv: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = make_parser(__doc__, prog=prog)
    add_manifest(parser)
    parser.add_argument(
        "latents", type=Path, metavar="LATENTS", help="folder to write the shards to"
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="model folder")
    parser.add_argument("--samples", type=int, default=1024, metavar="N", help="(default: 1024)")
    parser.add_argument(
        "--shard-samples",
        type=int,
        default=64,
        metavar="N",
        help="samples of a shard (default: 64)",
    )
    parser.add_argument(
        "--crop",
        type=int,
        default=80,
        metavar="PIXELS",
        help="side of the small frames (default: 80)",
    )
    parser.add_argument(
        "--frames", type=int, default=8, metavar="N", help="frames of a sample (default: 8)"
    )
    parser.add_argument(
        "--degradation",
        choices=tuple(PRESETS),
        default="default",
        help="preset (default: default)",
    )
    parser.add_argument(
        "--video-probability",
        type=float,
        default=0.25,
        metavar="SHARE",
        help="share of samples from videos, 0 to 1 (default: 0.25)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=TrainingClipsConfig.cache,
        metavar="FOLDER",
        help=f"folder for decoded videos (default: {TrainingClipsConfig.cache})",
    )
    parser.add_argument(
        "--measure", type=int, metavar="N", help="only time this many samples, both ways"
    )
    return run(parser, _precompute, argv)


def _precompute(options: Namespace) -> str:
    config = _clips_config(options)
    # On a cluster the machine of this process may have no GPU.
    pipe = load_pipeline(options.model, device="cpu" if options.cluster else options.device)
    if options.measure is not None:
        stored = LatentClips(options.latents, crop=options.crop, frames=options.frames)
        return compare_costs(TrainingClips(config), stored, pipe, samples=options.measure)
    index = write_latents(
        config,
        pipe.vae,
        options.latents,
        samples=options.samples,
        shard_samples=options.shard_samples,
        **_workers(options),
    )
    if pipe.text_encoder is not None:
        write_prompts(options.latents, pipe.text_encoder, pipe.tokenizer, index.captions)
    size = sum(path.stat().st_size for path in options.latents.iterdir())
    return f"{index.samples} samples in {index.shards} shards, {size / 2**20:.1f} MiB"


def _workers(options: Namespace) -> dict[str, Any]:
    """The workers of `write_latents`: of a cluster, or those that only make samples here."""
    if options.cluster is None:
        return {"loader_workers": options.workers}
    return {
        "load": partial(_load_vae, options.model.absolute(), options.device),
        "workers": worker_options(options, gpus=options.device != "cpu"),
    }


def _load_vae(model: Path, device: str) -> AutoencoderKLVideo:
    return load_pipeline(model, device=device).vae


def _clips_config(options: Namespace) -> TrainingClipsConfig:
    return TrainingClipsConfig(
        manifest=options.manifest,
        split="train",
        crop=options.crop,
        frames=options.frames,
        seed=options.seed,
        video_probability=options.video_probability,
        degradation=degradation_preset(options.degradation),
        cache=options.cache,
    )
