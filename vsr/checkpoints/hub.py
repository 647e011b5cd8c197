"""Published checkpoints of the hub: fetched into its cache, converted once to the models folder.

These are files of SeedVR with their autoencoder, the folder of Stable Diffusion's x4 upscaler, and
LaVie's file with that folder. What huggingface_hub raises is left to the caller.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from vsr.checkpoints.index import INDEX
from vsr.errors import ModelError

_log = logging.getLogger(__name__)

_SEEDVR = re.compile(r"(^|/)seedvr2?_[^/]*\.(safetensors|pth|gguf)$", re.IGNORECASE)
_LAVIE = re.compile(r"(^|/)lavie_vsr\.pt$", re.IGNORECASE)
_BESIDE = re.compile(r"^(ema_vae[^/]*|pos_emb\.pt|neg_emb\.pt|(vae_)?config\.json)$", re.IGNORECASE)
"""Files that belong to every transformer of a repository."""
_X4_CLASS = "StableDiffusionUpscalePipeline"
"""The class in the index of the x4 upscaler."""
_X4 = "stabilityai/stable-diffusion-x4-upscaler"
"""Its repository, whose autoencoder and text encoder LaVie uses."""
_X4_CONFIGS = re.compile(
    r"^(model_index\.json|(unet|vae|text_encoder)/config\.json|tokenizer/[^/]*\.(json|txt)|"
    r"(low_res_)?scheduler/scheduler_config\.json)$"
)
_X4_WEIGHTS = (
    ("unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.bin"),
    ("vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.bin"),
    ("text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"),
)
"""Weights of its parts; of each the first file that is there."""


@dataclass(frozen=True, slots=True)
class _Repository:
    """A repository of the hub with its files and their bytes."""

    name: str
    licence: str
    sizes: Mapping[str, int]

    @classmethod
    def of(cls, name: str) -> Self:
        from huggingface_hub import HfApi

        facts: Any = HfApi().model_info(name, files_metadata=True)
        licence = str((facts.card_data or {}).get("license") or "unknown")
        return cls(name, licence, {one.rfilename: one.size or 0 for one in facts.siblings})

    def announce(self, files: Sequence[str], target: Path) -> None:
        """Say what is fetched, and under which licence."""
        size = sum(self.sizes[file] for file in files) / 1e9
        _log.info(
            "%s: licence %s; %.1f GB are fetched and converted once to %s",
            *(self.name, self.licence, size, target),
        )

    def fetch(self, files: Sequence[str]) -> Path:
        """Returns the place of the first of the files once all are in the cache."""
        from huggingface_hub import hf_hub_download

        places = [Path(hf_hub_download(self.name, file)) for file in files]
        return places[0]


def is_checkpoint(file: str) -> bool:
    """Returns True for the name of a file that is converted: SeedVR's transformer, or LaVie's."""
    return any(pattern.search(file) for pattern in (_SEEDVR, _LAVIE))


def made_before(repository: str, file: str, models: Path) -> Path | None:
    """Returns the model folder that a checkpoint became; None: there is none.

    Without a `file` it is the only one of the repository.
    """
    if file:
        target = _target(repository, file, models)
        return target if target.is_dir() else None
    whole = _target(repository, "", models)
    found = [whole] if whole.is_dir() else sorted(models.glob(f"{whole.name}--*"))
    return found[0] if len(found) == 1 else None


def converted_checkpoint(repository: str, file: str, kind: str | None, models: Path) -> Path:
    """Returns the model folder of a checkpoint, which is fetched and converted.

    `file`: empty for the only one of the repository. `kind`: the class in the repository's index,
    if it has one. Raises ModelError where the repository lacks a part or has several checkpoints.
    """
    found = _Repository.of(repository)
    if kind == _X4_CLASS and not file:
        files, upscaler = _x4_files(found), None
    else:
        file = file or _only_checkpoint(found)
        is_lavie = _LAVIE.search(file) is not None
        files = [_known(found, file)] if is_lavie else _seedvr_files(found, file)
        upscaler = _Repository.of(_X4) if is_lavie else None
    target = _target(repository, file, models)
    if target.is_dir():
        return target
    found.announce(files, target)
    beside = None
    if upscaler is not None:
        upscaler.announce(parts := _x4_files(upscaler), target)
        beside = upscaler.fetch(parts).parent
    place = found.fetch(files)
    from vsr.checkpoints.convert import convert  # at use: it finds models, which asks for this

    target.parent.mkdir(parents=True, exist_ok=True)
    return convert(place if file else place.parent, target, upscaler=beside)


def _target(repository: str, file: str, models: Path) -> Path:
    name = repository.replace("/", "--")
    return models / (f"{name}--{Path(file).stem}" if file else name)


def _only_checkpoint(found: _Repository) -> str:
    files = [name for name in found.sizes if is_checkpoint(name)]
    if len(files) == 1:
        return files[0]
    if not files:
        raise ModelError(
            f"hf:{found.name} has neither a model folder of vsr nor a checkpoint that is "
            "converted: SeedVR, the Stable Diffusion x4 upscaler or LaVie"
        )
    raise ModelError(
        f"hf:{found.name} has several networks: name one, as hf:{found.name}/{files[0]} "
        f"({', '.join(files)})"
    )


def _known(found: _Repository, file: str) -> str:
    if file in found.sizes:
        return file
    raise ModelError(f"hf:{found.name} has no {file}; it has {', '.join(sorted(found.sizes)[:12])}")


def _seedvr_files(found: _Repository, file: str) -> list[str]:
    """The transformer and the files that it needs, of one autoencoder the smallest."""
    folder = _known(found, file).rpartition("/")[0]
    beside = [
        name
        for name in found.sizes
        if name.rpartition("/")[0] == folder and _BESIDE.match(name.rpartition("/")[2])
    ]
    is_vae = {name: name.rpartition("/")[2].lower().startswith("ema_vae") for name in beside}
    vaes = sorted((name for name in beside if is_vae[name]), key=found.sizes.__getitem__)
    if not vaes:
        raise ModelError(
            f"hf:{found.name} has no autoencoder beside {file}: download both, put ema_vae.pth or "
            "ema_vae_fp16.safetensors beside it, and use vsr convert"
        )
    return [file, vaes[0], *(name for name in beside if not is_vae[name])]


def _x4_files(found: _Repository) -> list[str]:
    """The files of the x4 upscaler that are converted, the index first."""
    configs = [name for name in found.sizes if _X4_CONFIGS.match(name) and name != INDEX]
    weights = (next((name for name in names if name in found.sizes), None) for names in _X4_WEIGHTS)
    return [_known(found, INDEX), *configs, *(name for name in weights if name is not None)]
