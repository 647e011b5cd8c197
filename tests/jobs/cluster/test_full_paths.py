"""Workers are in other folders: they get full paths, and names of models as they are."""

from pathlib import Path

import pytest

from vsr.config import UpscaleConfig
from vsr.jobs.cluster.full_paths import with_full_paths


def test_files_get_full_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.safetensors").touch()
    (tmp_path / "keys").mkdir()
    config = UpscaleConfig(model="network.safetensors", texture="keys", lora="style=0.5")
    full = with_full_paths(config)
    assert (full.model, full.texture, full.lora) == (
        str(tmp_path / "network.safetensors"),
        str(tmp_path / "keys"),
        f"{tmp_path / 'style'}=0.5",
    )


def test_a_folder_with_the_name_of_a_model_is_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compact").mkdir()
    full = with_full_paths(UpscaleConfig())
    assert (full.model, full.texture_model) == ("compact", UpscaleConfig().texture_model)
