"""Writes the latents of training samples as shards (`vsr.training.data.latent_clips`)."""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader

from vsr.errors import InputError, as_output_error
from vsr.models.text import embed_prompt
from vsr.models.vae import AutoencoderKLVideo
from vsr.runtime.executor import WorkerOptions
from vsr.runtime.files import atomic_file
from vsr.training.data.latent_clips import (
    EMPTY_PROMPT,
    INDEX,
    PROMPTS,
    LatentIndex,
    encoder_fingerprint,
    read_index,
)
from vsr.training.data.manifest import open_manifest, require_rows, select
from vsr.training.data.samples import TrainingClips
from vsr.training.data.samples_config import TrainingClipsConfig
from vsr.training.data.selection import select_captions
from vsr.training.preparation.work import Task, results

_log = logging.getLogger(__name__)


def write_latents(
    config: TrainingClipsConfig,
    vae: AutoencoderKLVideo,
    folder: Path,
    *,
    samples: int,
    shard_samples: int = 64,
    loader_workers: int = 0,
    load: Callable[[], AutoencoderKLVideo] | None = None,
    workers: WorkerOptions | None = None,
) -> LatentIndex:
    """Writes the samples 0 to `samples` of the clips of a config as shards.

    In this process `loader_workers` more make the samples, and `vae` encodes them. If there are
    `workers`, each writes whole shards with what `load` gives it: the same autoencoder, on its
    device. Of a manifest in parts, shard n is drawn from part n, and again from the first after
    the last, so that no process holds the clips of all. Existing shards are kept, so an
    interrupted run resumes, and more samples of the same settings are added. Raises InputError if
    the folder holds shards of other settings, or where a shard could not be made.
    """
    index = LatentIndex(
        samples=samples,
        shard_samples=shard_samples,
        crop=config.crop,
        frames=config.frames,
        encoder=encoder_fingerprint(vae),
        data=plain_config(config),
        captions=select_captions(config),
    )
    missing = _begin(folder, index)
    write = _ShardWriter(config, index, folder.absolute(), load or (lambda: vae), loader_workers)
    # Shards of one part follow each other: a process reads its clips once.
    tasks = [Task(index.shard(n), n) for n in sorted(missing, key=lambda n: n % len(write.parts))]
    for done, (task, _) in enumerate(results(tasks, write, workers=workers, root=folder)):
        _log.info("%s is done, %d of %d", task.key, done + 1, len(missing))
    if left := [n for n in missing if not (folder / index.shard(n)).is_file()]:
        raise InputError(
            f"{folder / index.shard(left[0])} could not be made, one of {len(left)}: the log says "
            "why; run the same command again, which keeps the others"
        )
    index.write(folder)
    return index


class _ShardWriter:
    """Writes shards by number; the process that first needs it loads the autoencoder."""

    def __init__(
        self,
        config: TrainingClipsConfig,
        index: LatentIndex,
        folder: Path,
        load: Callable[[], AutoencoderKLVideo],
        loader_workers: int,
    ) -> None:
        self.parts = _parts(config)
        self._vae: AutoencoderKLVideo | None = None
        self._index, self._folder = index, folder
        self._load, self._loader_workers = load, loader_workers
        self._open: tuple[TrainingClipsConfig, TrainingClips] | None = None

    def __call__(self, number: int) -> str:
        path = self._folder / self._index.shard(number)
        first = number * self._index.shard_samples
        numbers = range(first, min(first + self._index.shard_samples, self._index.samples))
        clips = self._clips(self.parts[number % len(self.parts)])
        if self._vae is None:
            self._vae = self._load()
        _write_shard(path, _encoded(clips, self._vae, numbers, self._loader_workers), self._index)
        return path.name

    def _clips(self, config: TrainingClipsConfig) -> TrainingClips:
        if self._open is None or self._open[0] != config:
            self._open = config, TrainingClips(config)
        return self._open[1]


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
    """The tensors that a shard stores of one sample, but for the number of its prompt."""
    hr = sample["hr"][None].to(vae.device)
    return {
        "hq_latents": vae.encode_scaled(hr)[0].half().cpu(),
        "lr": stored_frames(sample["lr"]),
    }


def stored_frames(lr: Float[Tensor, "3 t h w"]) -> UInt8[Tensor, "t h w 3"]:
    """Small frames as shards store them; 8 bits lose nothing, since they were 8-bit before."""
    pixels = ((lr + 1) * 127.5).round().clamp(0, 255).byte()
    return rearrange(pixels, "c t h w -> t h w c").contiguous()


def plain_config(config: TrainingClipsConfig) -> dict[str, Any]:
    """The config of the samples in plain JSON, without the fields that do not change them."""
    values = dataclasses.asdict(config)
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


def _parts(config: TrainingClipsConfig) -> list[TrainingClipsConfig]:
    """The config of each part of its manifest that has clips; the config itself without parts."""
    if config.manifest is None:
        return [config]
    manifest = config.manifest.absolute()
    cache = config.cache.expanduser().absolute()
    config = dataclasses.replace(config, manifest=manifest, cache=cache)
    files = sorted({group.path for group in open_manifest(manifest).groups})
    used = [path for path in files if any(select(open_manifest(path), split=config.split))]
    require_rows(used, manifest, f"of the split {config.split!r}")
    return [dataclasses.replace(config, manifest=path) for path in used]


def _encoded(
    clips: TrainingClips, vae: AutoencoderKLVideo, numbers: range, workers: int
) -> Iterator[tuple[dict[str, Tensor], str]]:
    """The encoded samples with their captions."""
    loader = DataLoader(
        clips,
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
    for sample in loader:
        caption = clips.captions[int(sample["caption"])] if "caption" in sample else ""
        yield encode_sample(sample, vae), caption


def _write_shard(
    path: Path, samples: Iterator[tuple[dict[str, Tensor], str]], index: LatentIndex
) -> None:
    prompts = {text: number for number, text in enumerate(index.captions)}
    rows = [row | {"prompt": torch.tensor(prompts.get(caption, 0))} for row, caption in samples]
    _save({name: torch.stack([row[name] for row in rows]) for name in rows[0]}, path)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    with as_output_error(path), atomic_file(path) as partial:
        save_file(tensors, partial)
