"""The catalog lists every model that has a name, with its cost on this machine."""

import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.networks import compact, saved
from vsr.checkpoints.catalog import TRAITS, catalog
from vsr.checkpoints.costs import Cost, Machine
from vsr.checkpoints.find import embedded_models, find_model
from vsr.checkpoints.load import load
from vsr.cli import main
from vsr.errors import ModelError
from vsr.runtime.convolution_speed import MULTIPLICATIONS

MACHINE = Machine(name="a machine", convolution=1e-7, memory_bytes=16_000_000_000)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("VSR_MODELS", str(folder))
    return folder


def test_every_embedded_model_is_listed_with_its_licence_and_size(models):
    listed = {one.name: one for one in catalog(machine=MACHINE) if one.place == "embedded"}
    assert listed.keys() == embedded_models().keys()
    assert {entry.licence for entry in listed.values()} == {"apache-2.0", "bsd-3-clause"}
    assert all(entry.megabytes and entry.megabytes > 1 for entry in listed.values())
    assert listed["compact"].command == "vsr upscale film.mp4 --model compact"


def test_models_that_are_known_say_how_to_get_them(models):
    (entry,) = catalog("upscale-a-video", machine=MACHINE)
    assert (entry.place, entry.path, entry.megabytes) == ("known", None, None)
    assert entry.command == "vsr convert UPSCALE_A_VIDEO_FOLDER"
    assert "non-commercial" in entry.licence
    absent = [entry for entry in catalog(machine=MACHINE) if entry.place == "known"]
    assert absent
    assert all(entry.command.startswith("vsr convert") for entry in absent)
    assert all(entry.megabytes is None for entry in absent)
    assert catalog("seedvr2", machine=MACHINE)[0].fetch == (
        "--model hf:numz/SeedVR2_comfyUI/seedvr2_ema_3b_fp16.safetensors "
        "(about 7.3 GB; converted once)"
    )


def test_a_converted_folder_and_an_added_file_are_listed_and_found(models, tiny_model):
    shutil.copytree(tiny_model, models / "upscale-a-video")
    shutil.copytree(tiny_model, models / "mine")
    saved(compact(), models / "sharp.pth")
    listed = {one.name: one for one in catalog(machine=MACHINE)}
    assert [listed[name].place for name in ("upscale-a-video", "mine")] == ["converted"] * 2
    assert listed["sharp"].place == "added"
    assert listed["upscale-a-video"].command.endswith("--preset upscale-a-video")
    assert "not known" in listed["mine"].speed
    assert find_model("mine") == models / "mine"
    assert find_model("sharp") == models / "sharp.pth"


def test_a_model_in_the_hubs_cache_is_listed(models, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "0"
    shutil.copytree(tiny_model, snapshot)
    (entry,) = catalog("hf:owner/name", machine=MACHINE)
    assert (entry.place, entry.path) == ("fetched", snapshot)


@pytest.mark.parametrize("find", [lambda name: catalog(name, machine=MACHINE), find_model])
def test_an_unknown_name_hears_the_nearest(find, models):
    with pytest.raises(ModelError, match="did you mean realesrgan-x4plus"):
        find("realesrgan-4xplus")


def test_time_and_memory_follow_from_the_machine():
    cost = Cost(convolutions=100, rest=1e9, per_pixel=2e3)
    assert MACHINE.seconds(cost) == pytest.approx(100 * 1e-7 * 180 * 320)
    assert MACHINE.speed(cost).startswith("medium: about 0.58 s per frame of 320x180 on a machine")
    assert cost.bytes(180, 320) == pytest.approx(1e9 + 2e3 * 180 * 320 * 16)
    assert MACHINE.memory(cost) == (
        "about 2.8 GB for 320x180; fits sources up to 1280x720 into the 16 GB here"
    )
    small = Machine(name="a small one", convolution=1e-7, memory_bytes=2_000_000_000)
    assert "does not fit into the 2 GB here" in small.memory(cost)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(embedded_models()))
def test_the_arithmetic_of_the_embedded_networks_is_as_stated(name):
    pipe = load(name, device="cpu", dtype="float32")
    frames, h, w = 8, 32, 32
    counter = FlopCounterMode(display=False)
    with counter:
        pipe(torch.zeros(frames, h, w, 3, dtype=torch.uint8), propagation_steps=())
    convolutions = counter.get_total_flops() / 2 / MULTIPLICATIONS / (frames * h * w)
    assert TRAITS[name].cost.convolutions == pytest.approx(convolutions, rel=0.05)


def test_this_machine_is_measured():
    here = Machine.here("cpu", "float32")
    assert 1e-10 < here.convolution < 1e-4
    assert here.name.startswith("this CPU") and here.name.endswith("in float32")


def test_the_command_lists_the_models(models, capsys: pytest.CaptureFixture[str]):
    assert main(["models", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert all(one.name in shown and one.command in shown for one in catalog(machine=MACHINE))
    assert main(["models", "compcat"]) == 1
    assert "did you mean compact" in capsys.readouterr().err


def test_the_command_shows_one(models, capfd):
    assert main(["models", "compact", "--device", "cpu"]) == 0
    assert capfd.readouterr().out.startswith("compact\n  use")
    assert main(["models", "compakt"]) == 1
    assert "did you mean compact?" in capfd.readouterr().err
    assert main(["models", "compact", "clip.mp4"]) == 2
    assert "vsr models compare CLIP" in capfd.readouterr().err
