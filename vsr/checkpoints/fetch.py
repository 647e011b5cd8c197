"""Models of the Hugging Face hub: fetched once, then found in its cache."""

import re
from pathlib import Path

from vsr.checkpoints.index import INDEX, PIPELINES, read_object
from vsr.config import NETWORK_SUFFIXES
from vsr.errors import ModelError

HUB = "hf:"
"""The beginning of a name that is one of the hub's."""
_WANTED = ("*.json", "*.txt", "*.model", "*.md", "*.safetensors")
"""Files of a model folder; pickles are not among them."""
_CHECKPOINT = re.compile(r"(^|/)seedvr2?_ema_[^/]*\.(safetensors|pth|gguf)$", re.IGNORECASE)


def fetch(name: str) -> Path:
    """Return the folder of `hf:OWNER/NAME`, or the file of `hf:OWNER/NAME/FILE`.

    Both lie in the hub's cache; a file of SeedVR is converted to a folder in the models folder.
    What is there is not fetched again, and without a network only that is found. Raises ModelError
    where the hub does not have it or cannot be reached.
    """
    owner, _, rest = name.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    suffixes = (*NETWORK_SUFFIXES, ".gguf")
    if not owner or not repository or (file and not file.lower().endswith(suffixes)):
        raise ModelError(
            f"{name} is not a model of the hub; it is {HUB}OWNER/NAME, or {HUB}OWNER/NAME/FILE "
            f"with a file that ends in {', '.join(suffixes)}"
        )
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        if is_checkpoint(file) or (not file and _lacks_index(f"{owner}/{repository}")):
            return _converted(f"{owner}/{repository}", file)
        if file:
            return Path(hf_hub_download(f"{owner}/{repository}", file))
        return Path(snapshot_download(f"{owner}/{repository}", allow_patterns=list(_WANTED)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{name} is not in the cache and cannot be fetched: check the name and the network "
            f"connection, or download it elsewhere and give its path ({reason})"
        ) from error


def is_checkpoint(file: str) -> bool:
    """Return True for the name of a file that holds a transformer of SeedVR."""
    return _CHECKPOINT.search(file) is not None


def _lacks_index(repository: str) -> bool:
    """Return True for a repository of the hub that is no model folder; False without a network."""
    from huggingface_hub import constants, file_exists, try_to_load_from_cache

    if constants.HF_HUB_OFFLINE or isinstance(try_to_load_from_cache(repository, INDEX), str):
        return False
    return not file_exists(repository, INDEX)


def _converted(repository: str, file: str) -> Path:
    from vsr.checkpoints.find import models_folder  # at use: it finds models by this file
    from vsr.checkpoints.seedvr.hub import converted_checkpoint  # at use: it brings torch

    return converted_checkpoint(repository, file, models_folder())


def fetched_models() -> dict[str, Path]:
    """Return the model folders in the hub's cache, by the names that `fetch` takes."""
    from huggingface_hub import constants

    found: dict[str, Path] = {}
    for index in sorted(Path(constants.HF_HUB_CACHE).glob(f"models--*--*/snapshots/*/{INDEX}")):
        repository = index.parents[2].name.removeprefix("models--").replace("--", "/", 1)
        try:
            if read_object(index).get("_class_name") in PIPELINES:
                found[HUB + repository] = index.parent
        except ModelError:
            continue  # a damaged file of the cache is not a model
    return found
