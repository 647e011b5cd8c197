"""SeedVR from the hub: fetched into its cache, converted once into the models folder."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsr.checkpoints.fetch import is_checkpoint
from vsr.errors import ModelError

_log = logging.getLogger(__name__)

_BESIDE = re.compile(r"^(ema_vae[^/]*|pos_emb\.pt|neg_emb\.pt|(vae_)?config\.json)$", re.IGNORECASE)
"""Files that belong to every transformer of a repository."""


def converted_checkpoint(repository: str, file: str, models: Path) -> Path:
    """Returns the model folder of a file of the hub; it is fetched and converted the first time.

    `file`: empty for the only transformer of the repository. Raises ModelError where the repository
    lacks a part or has several transformers; what huggingface_hub raises is left to the caller.
    """
    if file and (target := _target(repository, file, models)).is_dir():
        return target
    from huggingface_hub import HfApi, hf_hub_download

    facts: Any = HfApi().model_info(repository, files_metadata=True)
    sizes = {one.rfilename: one.size or 0 for one in facts.siblings}
    file = file or _only_transformer(repository, sizes)
    target = _target(repository, file, models)
    if target.is_dir():
        return target
    files = _parts(repository, file, sizes)
    _log.info(
        "%s/%s: licence %s; %.1f GB are fetched and converted once to %s",
        *(repository, file, _licence(facts), sum(sizes[one] for one in files) / 1e9, target),
    )
    places = [Path(hf_hub_download(repository, one)) for one in files]
    from vsr.checkpoints.convert import convert  # at use: it finds models, which asks for this

    target.parent.mkdir(parents=True, exist_ok=True)
    return convert(places[0], target)


def _target(repository: str, file: str, models: Path) -> Path:
    return models / f"{repository.replace('/', '--')}--{Path(file).stem}"


def _only_transformer(repository: str, sizes: Mapping[str, int]) -> str:
    files = [name for name in sizes if is_checkpoint(name)]
    if len(files) == 1:
        return files[0]
    if not files:
        raise ModelError(f"hf:{repository} has neither a model folder of vsr nor a file of SeedVR")
    raise ModelError(
        f"hf:{repository} has several networks: name one, as hf:{repository}/{files[0]} "
        f"({', '.join(files)})"
    )


def _parts(repository: str, file: str, sizes: Mapping[str, int]) -> list[str]:
    """The file and those that it needs, of one autoencoder the smallest."""
    if file not in sizes:
        raise ModelError(f"hf:{repository} has no {file}; it has {', '.join(sorted(sizes)[:12])}")
    folder = file.rpartition("/")[0]
    beside = [
        name
        for name in sizes
        if name.rpartition("/")[0] == folder and _BESIDE.match(name.rpartition("/")[2])
    ]
    is_vae = {name: name.rpartition("/")[2].lower().startswith("ema_vae") for name in beside}
    vaes = sorted((name for name in beside if is_vae[name]), key=sizes.__getitem__)
    if not vaes:
        raise ModelError(
            f"hf:{repository} has no autoencoder beside {file}: download both, put ema_vae.pth or "
            "ema_vae_fp16.safetensors beside it, and use vsr convert"
        )
    return [file, vaes[0], *(name for name in beside if not is_vae[name])]


def _licence(facts: Any) -> str:
    card = facts.card_data
    return str((card or {}).get("license") or "unknown")
