"""Models of the Hugging Face hub: fetched once, then found in its cache."""

from pathlib import Path

from vsr.checkpoints.index import INDEX, PIPELINE, read_object
from vsr.config import NETWORK_SUFFIXES
from vsr.errors import ModelError

HUB = "hf:"
"""The beginning of a name that is one of the hub's."""
_WANTED = ("*.json", "*.txt", "*.model", "*.md", "*.safetensors")
"""Files of a model folder; pickles are not among them."""


def fetch(name: str) -> Path:
    """Return the folder of `hf:OWNER/NAME`, or the file of `hf:OWNER/NAME/FILE`.

    Both lie in the hub's cache. What is there is not fetched again, and without a network only that
    is found. Raises
    ModelError where the hub does not have it or cannot be reached.
    """
    owner, _, rest = name.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    if not owner or not repository or (file and not file.lower().endswith(NETWORK_SUFFIXES)):
        raise ModelError(
            f"{name} is not a model of the hub; it is {HUB}OWNER/NAME, or {HUB}OWNER/NAME/FILE "
            f"with a file that ends in {', '.join(NETWORK_SUFFIXES)}"
        )
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        if file:
            return Path(hf_hub_download(f"{owner}/{repository}", file))
        return Path(snapshot_download(f"{owner}/{repository}", allow_patterns=list(_WANTED)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{name} is not in the cache and cannot be fetched: check the name and the network "
            f"connection, or download it elsewhere and give its path ({reason})"
        ) from error


def fetched_models() -> dict[str, Path]:
    """Return the model folders in the hub's cache, by the names that `fetch` takes."""
    from huggingface_hub import constants

    found: dict[str, Path] = {}
    for index in sorted(Path(constants.HF_HUB_CACHE).glob(f"models--*--*/snapshots/*/{INDEX}")):
        repository = index.parents[2].name.removeprefix("models--").replace("--", "/", 1)
        try:
            if read_object(index).get("_class_name") == PIPELINE:
                found[HUB + repository] = index.parent
        except ModelError:
            continue  # a damaged file of the cache is not a model
    return found
