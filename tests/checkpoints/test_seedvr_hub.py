"""SeedVR from the hub: its files are chosen, named with licence and size, and converted once."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.seedvr import small_dit, small_vae
from vsr.checkpoints.fetch import fetch
from vsr.errors import ModelError

FILES = {
    "README.md": 1,
    "seedvr2_ema_3b.pth": 6_780_000_000,
    "ema_vae.pth": 1_000_000_000,
    "ema_vae_fp16.safetensors": 500_000_000,
    "pos_emb.pt": 600_000,
    "config.json": 100,
    "vae_config.json": 100,
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub whose one repository lies in a folder; the models folder is empty."""
    folder = tmp_path / "repository"
    folder.mkdir()
    torch.save(small_dit("3b").state_dict(), folder / "seedvr2_ema_3b.pth")
    torch.save(small_vae().state_dict(), folder / "ema_vae.pth")
    vae = {"norm_num_groups": 8}
    (folder / "vae_config.json").write_text(json.dumps(vae))
    (folder / "config.json").write_text("{}")
    files = {name: FILES[name] for name in ("README.md", *(f.name for f in folder.iterdir()))}
    facts = SimpleNamespace(
        siblings=[SimpleNamespace(rfilename=name, size=size) for name, size in files.items()],
        card_data={"license": "apache-2.0"},
    )
    monkeypatch.setenv("VSR_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.file_exists", lambda *_: False)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: facts)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda _, name: str(folder / name))
    return folder


@pytest.mark.parametrize("name", ["hf:owner/SeedVR2-3B", "hf:owner/SeedVR2-3B/seedvr2_ema_3b.pth"])
def test_a_checkpoint_becomes_a_folder_and_is_announced(hub, tmp_path, caplog, name):
    caplog.set_level(logging.INFO)
    found = fetch(name)
    assert found == tmp_path / "models" / "owner--SeedVR2-3B--seedvr2_ema_3b"
    assert (found / "transformer" / "config.json").is_file()
    assert "licence apache-2.0; 7.8 GB are fetched" in caplog.text


def test_it_is_converted_once_and_found_without_a_network(hub, monkeypatch):
    name = "hf:owner/SeedVR2-3B/seedvr2_ema_3b.pth"
    first = fetch(name)

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    assert fetch(name) == first


def test_a_file_that_is_not_there_is_named(hub):
    with pytest.raises(ModelError, match=r"has no seedvr2_ema_9b\.pth"):
        fetch("hf:owner/SeedVR2-3B/seedvr2_ema_9b.pth")


def test_without_a_network_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("VSR_MODELS", str(tmp_path))

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    with pytest.raises(ModelError, match="cannot be fetched: check the name and the network"):
        fetch("hf:owner/SeedVR2-3B/seedvr2_ema_3b.pth")
