"""Models of the Hugging Face hub: fetched once, then found in its cache."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from vsr.checkpoints.hub import converted_checkpoint, is_checkpoint, made_before
from vsr.checkpoints.index import INDEX, PIPELINES, read_object
from vsr.config import NETWORK_SUFFIXES
from vsr.errors import ModelError

HUB = "hf:"
"""The beginning of a name that is one of the hub's."""
_WANTED = ("*.json", "*.txt", "*.model", "*.md", "*.safetensors")
"""Files of a model folder; pickles are not among them."""


def fetch(name: str) -> Path:
    """Return the folder of `hf:OWNER/NAME`, or the file of `hf:OWNER/NAME/FILE`.

    Both lie in the hub's cache; published checkpoints are converted to the models folder. What is
    there is not fetched again, and without a network only that is found. Raises ModelError where
    the hub does not have it or cannot be reached.
    """
    owner, _, rest = name.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    suffixes = (*NETWORK_SUFFIXES, ".gguf")
    if not owner or not repository or (file and not file.lower().endswith(suffixes)):
        raise ModelError(
            f"{name} is not a model of the hub; it is {HUB}OWNER/NAME, or {HUB}OWNER/NAME/FILE "
            f"with a file that ends in {', '.join(suffixes)}"
        )
    repository = f"{owner}/{repository}"
    is_converted = not file or is_checkpoint(file)
    if is_converted and (made := made_before(repository, file, _models_folder())) is not None:
        return made
    from huggingface_hub import hf_hub_download, snapshot_download

    with _explained(name, repository):
        if not is_converted:
            return Path(hf_hub_download(repository, file))
        kind = None if file else _class_of(repository)
        if kind in PIPELINES:
            return Path(snapshot_download(repository, allow_patterns=list(_WANTED)))
        return converted_checkpoint(repository, file, kind, _models_folder())


@contextmanager
def _explained(name: str, repository: str) -> Generator[None]:
    """Turn what huggingface_hub raises into a ModelError that says what to do."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise ModelError(
            f"{name} asks for consent to its licence: give it on its page on the hub, and log in "
            "with hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"the hub has no {repository} that you may see: check the name, or log in with hf auth "
            "login if it is private"
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{name} is not in the cache and cannot be fetched: check the name and the network "
            f"connection, or download it elsewhere and give its path ({reason})"
        ) from error


def _class_of(repository: str) -> str | None:
    """Return the class in the index of a repository; None if it has no index."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        index = hf_hub_download(repository, INDEX)
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:
        return None
    return str(read_object(Path(index)).get("_class_name"))


def _models_folder() -> Path:
    from vsr.checkpoints.find import models_folder  # at use: it finds models by this file

    return models_folder()


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
