"""The nodes of ComfyUI, by a small runner that does what its public description of nodes says."""

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import moving_pictures, two_shots
from vsr.cli import main
from vsr.config import UpscaleConfig
from vsr.errors import InputError
from vsr.ui.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from vsr.upscaling.stream import UpscaleStream
from vsr.video.probe import probe

WIDGETS = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


def run(name: str, /, **given: Any) -> tuple[Any, ...]:
    """Run a node as the description says: values checked, defaults filled in, called by name."""
    node = NODE_CLASS_MAPPINGS[name]
    inputs = node.INPUT_TYPES()
    required, optional = inputs["required"], inputs.get("optional", {})
    assert set(given) <= {*required, *optional}
    values = {}
    for key, (kind, *about) in {**required, **optional}.items():
        facts = about[0] if about else {}
        if key in given:
            values[key] = given[key]
        elif isinstance(kind, list):
            values[key] = kind[0]
        elif "default" in facts:
            values[key] = facts["default"]
        elif key in required:
            raise AssertionError(f"{key} is missing")
        check(values[key], kind, facts)
    result = getattr(node(), node.FUNCTION)(**values)
    assert isinstance(result, tuple)
    assert len(result) == len(node.RETURN_TYPES)
    for one, kind in zip(result, node.RETURN_TYPES, strict=True):
        check(one, kind, {})
    return result


def check(value: Any, kind: Any, facts: dict[str, Any]) -> None:
    if isinstance(kind, list):
        assert value in kind
    elif kind in WIDGETS:
        assert isinstance(value, WIDGETS[kind])
        assert facts.get("min", value) <= value <= facts.get("max", value)
    elif kind == "IMAGE":
        assert value.ndim == 4
        assert value.shape[-1] == 3
        assert value.dtype == torch.float32
        assert ((value >= 0) & (value <= 1)).all()


@pytest.mark.parametrize("name", list(NODE_CLASS_MAPPINGS))
def test_a_node_says_what_the_description_asks_for(name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name]
    assert NODE_DISPLAY_NAME_MAPPINGS[name]
    assert inspect.ismethod(node.INPUT_TYPES)
    assert isinstance(node.RETURN_TYPES, tuple)
    assert len(node.RETURN_NAMES) == len(node.RETURN_TYPES)
    assert node.CATEGORY == "video/vsr"
    inputs = node.INPUT_TYPES()
    assert set(inputs) <= {"required", "optional", "hidden"}
    parameters = inspect.signature(getattr(node, node.FUNCTION)).parameters
    names = {*inputs["required"], *inputs.get("optional", {})}
    assert names == set(parameters) - {"self"}
    for key in inputs.get("optional", {}):
        assert parameters[key].default is not inspect.Parameter.empty
    for kind, *about in (*inputs["required"].values(), *inputs.get("optional", {}).values()):
        assert isinstance(kind, list | str)
        facts = about[0] if about else {}
        if "default" in facts:
            check(facts["default"], kind, facts)


@pytest.fixture
def model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("VSR_MODELS", str(tiny_model.parent))
    (loaded,) = run("VsrLoadModel", name="tiny", device="cpu", dtype="float32")
    return loaded


def images(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures.astype(np.float32) / 255)


def test_frames_come_out_as_those_of_a_stream(model: Any) -> None:
    pictures = two_shots()
    (made,) = run("VsrUpscaleFrames", model=model, images=images(pictures), seed=3)
    stream = UpscaleStream(model.pipe, UpscaleConfig(scale=4.0, seed=3))
    wide = (pictures.astype(np.float32) / 255 * 65535).round().astype(np.uint16)
    expected = np.concatenate([stream.push(wide), stream.flush()])
    assert made.shape == (len(pictures), 96, 128, 3)
    torch.testing.assert_close(made, torch.from_numpy(expected.astype(np.float32) / 65535))


def test_a_film_in_batches_is_the_film(model: Any) -> None:
    pictures = images(np.stack(list(moving_pictures())))
    (whole,) = run("VsrUpscaleFrames", model=model, images=pictures)
    parts = [
        run("VsrUpscaleFrames", model=model, images=part, sequence="film", ends=number == 2)[0]
        for number, part in enumerate(pictures.split(4))
    ]
    made = torch.cat([part for part in parts if len(part)])
    torch.testing.assert_close(made, whole)
    assert model.sequences == {}


def test_a_sequence_is_run_again_each_time_and_a_batch_alone_is_not() -> None:
    node = NODE_CLASS_MAPPINGS["VsrUpscaleFrames"]
    changed = node.IS_CHANGED(sequence="film", ends=False)
    assert changed != changed
    assert node.IS_CHANGED(ends=True) == node.IS_CHANGED(sequence="")


def test_frames_are_repaired_at_their_own_size() -> None:
    pictures = images(np.stack(list(moving_pictures())))
    flicker = pictures * torch.linspace(0.8, 1, 2).repeat(5)[:, None, None, None]
    (made,) = run("VsrRepairFrames", images=flicker, repairs="flicker")
    assert made.shape == flicker.shape
    levels = made.mean(dim=(1, 2, 3))
    assert levels.diff().abs().mean() < flicker.mean(dim=(1, 2, 3)).diff().abs().mean() / 2


def test_a_video_file_keeps_its_sound(model: Any, source: Path, tmp_path: Path) -> None:
    output = tmp_path / "large.mkv"
    given = {"model": model, "source": str(source), "output": str(output), "height": 48}
    assert run("VsrUpscaleFile", **given) == (str(output),)
    info = probe(output)
    assert (info.width, info.height) == (64, 48)
    assert len(info.streams) == 2


def test_images_of_another_form_are_one_line(model: Any) -> None:
    with pytest.raises(InputError, match=r"give \(frames, height, width, 3\)"):
        node = NODE_CLASS_MAPPINGS["VsrUpscaleFrames"]()
        node.upscale(model=model, images=torch.zeros(3, 8, 8, 1), scale=4.0, seed=0)
    with pytest.raises(InputError, match="needs the path of a source"):
        run("VsrUpscaleFile", model=model)


def test_the_custom_node_is_one_line_that_imports_ours(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "custom_nodes").mkdir()
    for _ in range(2):
        assert main(["comfyui", "install", str(tmp_path)]) == 0
    file = tmp_path / "custom_nodes" / "vsr_nodes" / "__init__.py"
    assert len(file.read_text().splitlines()) == 1
    spec = importlib.util.spec_from_file_location("custom", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.NODE_CLASS_MAPPINGS is NODE_CLASS_MAPPINGS
    capfd.readouterr()


def test_a_node_of_others_and_a_folder_of_others_stay(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["comfyui", "install", str(tmp_path)]) == 1
    assert "has no folder custom_nodes" in capfd.readouterr().err
    other = tmp_path / "custom_nodes" / "vsr_nodes"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("mine = 1\n")
    assert main(["comfyui", "install", str(tmp_path)]) == 1
    assert (other / "__init__.py").read_text() == "mine = 1\n"
