"""Writes the latents of training samples as shards (`vsr.training.data.latent_clips`)."""

import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from vsr.errors import InputError, OutputError
from vsr.models.text import embed_prompt
from vsr.models.vae import AutoencoderKLVideo
from vsr.runtime.files import atomic_file
from vsr.training.data.latent_clips import (
    EMPTY_PROMPT,
    INDEX,
    PROMPTS,
    LatentIndex,
    encoder_fingerprint,
    read_index,
)
from vsr.training.data.samples import TrainingClips

_log = logging.getLogger(__name__)


def write_latents(
    clips: TrainingClips,
    vae: AutoencoderKLVideo,
    folder: Path,
    *,
    samples: int,
    shard_samples: int = 64,
    workers: int = 0,
) -> LatentIndex:
    """Writes the samples 0 to `samples` of `clips` as shards, on the device of `vae`.

    Existing shards are kept, so an interrupted run resumes, and more samples of the same
    settings are added. Raises InputError if the folder holds shards of other settings.
    """
    index = LatentIndex(
        samples=samples,
        shard_samples=shard_samples,
        crop=clips.config.crop,
        frames=clips.config.frames,
        encoder=encoder_fingerprint(vae),
        data=plain_config(clips),
        captions=clips.captions,
    )
    missing = _begin(folder, index)
    for done, number in enumerate(missing):
        first = number * shard_samples
        numbers = range(first, min(first + shard_samples, samples))
        _write_shard(folder / index.shard(number), _encoded(clips, vae, numbers, workers))
        _log.info("shard %d of %d is written", done + 1, len(missing))
    index.write(folder)
    return index


@torch.no_grad()
def write_prompts(
    folder: Path, text_encoder: Any, tokenizer: Any, captions: tuple[str, ...]
) -> None:
    """Writes the embeddings of the empty prompt and of all captions."""
    embeddings = {
        f"prompt_{n}" if text else EMPTY_PROMPT: embed_prompt(text_encoder, tokenizer, text)[0]
        for n, text in enumerate(captions or ("",))
    }
    half = {name: value.half().cpu().contiguous() for name, value in embeddings.items()}
    _save(half, folder / PROMPTS)


@torch.no_grad()
def encode_sample(sample: dict[str, Tensor], vae: AutoencoderKLVideo) -> dict[str, Tensor]:
    """The tensors that a shard stores of one sample."""
    hr = sample["hr"][None].to(vae.device)
    return {
        "hq_latents": vae.encode_scaled(hr)[0].half().cpu(),
        "lr": stored_frames(sample["lr"]),
        "prompt": sample.get("caption", torch.tensor(0)),
    }


def stored_frames(lr: Float[Tensor, "3 t h w"]) -> UInt8[Tensor, "t h w 3"]:
    """Small frames as shards store them; 8 bits lose nothing, since they were 8-bit before."""
    pixels = ((lr + 1) * 127.5).round().clamp(0, 255).byte()
    return rearrange(pixels, "c t h w -> t h w c").contiguous()


def plain_config(clips: TrainingClips) -> dict[str, Any]:
    """The config of the samples in plain JSON, without the fields that do not change them."""
    values = dataclasses.asdict(clips.config)
    for name in ("cache", "photo_memory", "length"):
        values.pop(name)
    return json.loads(json.dumps(values, default=str))


def _begin(folder: Path, index: LatentIndex) -> list[int]:
    """Open the folder of shards for `index`; returns the numbers of its missing shards."""
    folder.mkdir(parents=True, exist_ok=True)
    _check_same(folder, index)
    old = read_index(folder).samples if (folder / INDEX).is_file() else 0
    # The last shard, if it was not full, must now be written with more samples.
    if old % index.shard_samples and old != index.samples:
        (folder / index.shard(old // index.shard_samples)).unlink(missing_ok=True)
    dataclasses.replace(index, samples=old).write(folder)
    return [n for n in range(index.shards) if not (folder / index.shard(n)).is_file()]


def _check_same(folder: Path, index: LatentIndex) -> None:
    if not (folder / INDEX).is_file():
        return
    old = dataclasses.asdict(dataclasses.replace(read_index(folder), samples=index.samples))
    new = dataclasses.asdict(index)
    if differing := [name for name in new if old[name] != new[name]]:
        raise InputError(
            f"{folder} holds latents of another {', '.join(differing)}; take another folder"
        )


def _encoded(
    clips: TrainingClips, vae: AutoencoderKLVideo, numbers: range, workers: int
) -> Iterator[dict[str, Tensor]]:
    loader = DataLoader(
        clips,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
    for sample in loader:
        yield encode_sample(sample, vae)


def _write_shard(path: Path, samples: Iterator[dict[str, Tensor]]) -> None:
    rows = list(samples)
    _save({name: torch.stack([row[name] for row in rows]) for name in rows[0]}, path)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        with atomic_file(path) as partial:
            save_file(tensors, partial)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error
