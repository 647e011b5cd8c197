"""Published checkpoints of the hub are named with licence and size, and converted once."""

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from tests.checkpoints.published_folders import write_content
from tests.checkpoints.test_key_maps import to_lavie
from tests.parity import published_state
from tests.seedvr import small_dit, small_vae
from vsr.checkpoints.fetch import fetch
from vsr.checkpoints.load import load
from vsr.cli import main
from vsr.errors import ModelError

SIZES = {"seedvr2_ema_3b.pth": 6_800_000_000, "ema_vae.pth": 1_000_000_000}
X4 = "stabilityai/stable-diffusion-x4-upscaler"


class FakeHub:
    """A hub whose repositories are folders; a file is copied into a cache when it is fetched."""

    def __init__(self, folder: Path) -> None:
        self.repositories, self.cache = folder / "repositories", folder / "cache"
        self.is_reachable = True
        self.fetched: list[str] = []

    def model_info(self, repository: str, **_) -> SimpleNamespace:
        place = self._place(repository)
        files = [file for file in sorted(place.rglob("*")) if file.is_file()]
        names = [file.relative_to(place).as_posix() for file in files]
        siblings = [SimpleNamespace(rfilename=name, size=SIZES.get(name, 100)) for name in names]
        licence = {"license": "openrail++" if repository == X4 else "apache-2.0"}
        return SimpleNamespace(siblings=siblings, card_data=licence)

    def download(self, repository: str, file: str) -> str:
        target = self.cache / repository / file
        if target.is_file():
            return str(target)
        source = self._place(repository) / file
        if not source.is_file():
            raise EntryNotFoundError(f"no {file}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        self.fetched.append(file)
        return str(target)

    def _place(self, repository: str) -> Path:
        if not self.is_reachable:
            raise LocalEntryNotFoundError("no network")
        response: Any = SimpleNamespace(headers={}, request=None)
        if repository == "owner/gated":
            raise GatedRepoError("ask", response=response)
        if not (self.repositories / repository).is_dir():
            raise RepositoryNotFoundError("no such repository", response=response)
        return self.repositories / repository


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub with SeedVR2-3B; the models folder is empty."""
    fake = FakeHub(tmp_path)
    folder = fake.repositories / "owner" / "SeedVR2-3B"
    folder.mkdir(parents=True)
    torch.save(small_dit("3b").state_dict(), folder / "seedvr2_ema_3b.pth")
    torch.save(small_vae().state_dict(), folder / "ema_vae.pth")
    (folder / "vae_config.json").write_text(json.dumps({"norm_num_groups": 8}))
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("not fetched")
    monkeypatch.setenv("VSR_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda _, *a, **k: fake.model_info(*a))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fake.download)
    return fake


@pytest.fixture
def x4(hub: FakeHub, upscaler: Path) -> Path:
    """The x4 upscaler on that hub, with files of other formats that are not needed."""
    folder = hub.repositories / X4
    shutil.copytree(upscaler, folder)
    index = {"_class_name": "StableDiffusionUpscalePipeline"}
    (folder / "model_index.json").write_text(json.dumps(index))
    for name in ("x4-upscaler-ema.ckpt", "unet/diffusion_pytorch_model.fp16.safetensors"):
        (folder / name).write_bytes(b"large")
    return folder


@pytest.mark.parametrize("name", ["hf:owner/SeedVR2-3B", "hf:owner/SeedVR2-3B/seedvr2_ema_3b.pth"])
def test_a_checkpoint_becomes_a_folder_and_is_announced(hub, tmp_path, caplog, name):
    caplog.set_level(logging.INFO)
    found = fetch(name)
    assert found == tmp_path / "models" / "owner--SeedVR2-3B--seedvr2_ema_3b"
    assert (found / "transformer" / "config.json").is_file()
    assert "licence apache-2.0; 7.8 GB are fetched" in caplog.text
    assert "README.md" not in hub.fetched


@pytest.mark.parametrize("name", ["hf:owner/SeedVR2-3B", "hf:owner/SeedVR2-3B/seedvr2_ema_3b.pth"])
def test_it_is_converted_once_and_found_without_a_network(hub, name):
    first = fetch(name)
    hub.is_reachable = False
    shutil.rmtree(hub.cache)
    assert fetch(name) == first


def test_the_x4_upscaler_is_fetched_without_what_it_does_not_need(hub, x4, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    pipe = load(f"hf:{X4}", device="cpu", dtype="float32")
    assert pipe.settings.num_inference_steps == 75
    assert f"{X4}: licence openrail++; " in caplog.text
    assert not [name for name in hub.fetched if "fp16" in name or name.endswith("ckpt")]
    hub.is_reachable = False
    assert fetch(f"hf:{X4}") == tmp_path / "models" / X4.replace("/", "--")


def test_lavie_brings_the_upscaler_that_it_needs(hub, x4, caplog):
    caplog.set_level(logging.INFO)
    ema = {to_lavie(key): value for key, value in published_state("unet_small").items()}
    write_content(hub.repositories / "Vchitect/LaVie/lavie_vsr.pt", {"ema": ema})
    write_content(hub.repositories / "Vchitect/LaVie/lavie_base.pt", {"ema": ema})
    pipe = load("hf:Vchitect/LaVie", device="cpu", dtype="float32")
    assert (pipe.settings.num_inference_steps, pipe.settings.noise_level) == (50, 50)
    assert "Vchitect/LaVie: licence apache-2.0; " in caplog.text
    assert f"{X4}: licence openrail++; " in caplog.text
    assert "lavie_base.pt" not in hub.fetched


def test_a_file_that_is_not_there_is_named(hub):
    with pytest.raises(ModelError, match=r"has no seedvr2_ema_9b\.pth"):
        fetch("hf:owner/SeedVR2-3B/seedvr2_ema_9b.pth")


def test_a_repository_without_a_network_that_is_known_says_which_are(hub):
    (hub.repositories / "owner/text").mkdir()
    (hub.repositories / "owner/text/model_index.json").write_text('{"_class_name": "Other"}')
    with pytest.raises(ModelError, match="neither a model folder of vsr nor a checkpoint"):
        fetch("hf:owner/text")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hf:owner/SeedVR3", "the hub has no owner/SeedVR3 that you may see: check the name"),
        ("hf:owner/gated", "asks for consent to its licence"),
    ],
)
def test_a_name_that_the_hub_does_not_show_is_one_line(hub, source, capfd, name, says):
    assert main(["upscale", str(source), "--model", name, "--device", "cpu"]) == 1
    error = capfd.readouterr().err.strip()
    assert says in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("name", ["hf:owner/SeedVR2-3B", "hf:owner/SeedVR2-3B/seedvr2_ema_3b.pth"])
def test_without_a_network_it_says_so(hub, name):
    hub.is_reachable = False
    with pytest.raises(ModelError, match="cannot be fetched: check the name and the network"):
        fetch(name)


class Malice:
    """Anything that a pickle could run."""

    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("file", ["seedvr2_ema_3b.pth", "ema_vae.pth"])
def test_a_pickle_with_more_than_tensors_is_refused_and_not_run(hub, tmp_path, capfd, file):
    place = hub.repositories / "owner/SeedVR2-3B" / file
    state = torch.load(place, weights_only=True)
    torch.save({**state, "more": Malice()}, place)
    with pytest.raises(ModelError, match=rf"{file} is refused: it holds more than weights"):
        fetch("hf:owner/SeedVR2-3B")
    assert "run" not in capfd.readouterr().out
    assert not list((tmp_path / "models").iterdir())
