"""Models of the hub: found in its cache without a network, else an error that says what to do."""

import shutil
from pathlib import Path

import pytest

from tests.networks import compact, saved
from vsr.checkpoints.fetch import fetch, fetched_models
from vsr.checkpoints.load import load
from vsr.errors import ModelError
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.pipelines.video import VideoUpscalePipeline

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub, offline, that holds a model folder and a network file."""
    cache = tmp_path / "hub"
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(cache), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shutil.copytree(tiny_model, _snapshot(cache, "owner--video"))
    _snapshot(cache, "owner--image").mkdir(parents=True)
    saved(compact(scale=2), _snapshot(cache, "owner--image") / "net.safetensors")
    return cache


def _snapshot(cache: Path, name: str) -> Path:
    repository = cache / f"models--{name}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return repository / "snapshots" / COMMIT


def test_a_folder_and_a_file_are_found_in_the_cache(hub, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("hf:owner/video", "owner/video"):
        assert isinstance(load(name, device="cpu", dtype="float32"), VideoUpscalePipeline)
    pipe = load("hf:owner/image/net.safetensors", device="cpu", dtype="float32")
    assert isinstance(pipe, ImageUpscalePipeline)
    assert pipe.scale == 2


def test_only_folders_of_our_kind_are_listed(hub):
    assert fetched_models() == {"hf:owner/video": _snapshot(hub, "owner--video")}


@pytest.mark.parametrize("name", ["hf:owner/absent", "hf:owner/image/absent.pth"])
def test_without_a_network_it_says_what_to_do(hub, name):
    with pytest.raises(ModelError, match=f"{name} is not in the cache and cannot be fetched"):
        fetch(name)


@pytest.mark.parametrize("name", ["hf:", "hf:owner", "hf:owner/name/film.mp4"])
def test_a_name_that_cannot_be_one_of_the_hub_is_refused(name):
    with pytest.raises(ModelError, match="it is hf:OWNER/NAME, or hf:OWNER/NAME/FILE"):
        fetch(name)


def test_a_path_that_is_not_there_is_not_asked_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("models/absent", "models/absent.pth", "absent/net.safetensors"):
        with pytest.raises(ModelError, match=f"there is no model {name}"):
            load(name, device="cpu")
