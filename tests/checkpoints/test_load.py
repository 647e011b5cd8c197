"""A model folder loads whole, or says by name what is wrong with it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.networks import compact, saved, swinir
from vsr.checkpoints.load import load, load_pipeline
from vsr.errors import ModelError, VsrError
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.pipelines.video import VideoUpscalePipeline

WEIGHTS = "diffusion_pytorch_model.safetensors"
KEYS = [("unet", "conv_in.weight"), ("vae", "decoder.conv_in.weight")]


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def _load(folder: Path):
    return load_pipeline(folder, device="cpu")


def _change(file: Path, change) -> None:
    """Let `change` work on the tensors of a file of weights."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def test_a_loaded_model_has_the_weights_of_its_files(tiny_model):
    pipe = _load(tiny_model)
    for name in ("unet", "vae"):
        state = getattr(pipe, name).state_dict()
        given = load_file(tiny_model / name / WEIGHTS)
        assert state.keys() == given.keys()
        assert all(torch.equal(state[key], given[key]) for key in given)


def test_a_loaded_model_is_ready_to_infer_with_channels_innermost(tiny_model):
    pipe = _load(tiny_model)
    assert not pipe.unet.training
    assert not pipe.vae.training
    layout = torch.channels_last
    assert pipe.unet.conv_in.weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_is_loaded_in_the_type_asked_for(tiny_model, dtype):
    pipe = load_pipeline(tiny_model, torch_dtype=dtype, device="cpu")
    assert {p.dtype for p in pipe.unet.parameters()} == {dtype}
    assert {p.dtype for p in pipe.vae.parameters()} == {dtype}


@pytest.mark.parametrize(("network", "key"), KEYS)
def test_a_missing_tensor_is_named(folder, network, key):
    _change(folder / network / WEIGHTS, lambda tensors: tensors.pop(key))
    with pytest.raises(ModelError, match=rf"{network}: missing keys: {key}"):
        _load(folder)


@pytest.mark.parametrize("network", ["unet", "vae"])
def test_a_surplus_tensor_is_named(folder, network):
    _change(folder / network / WEIGHTS, lambda tensors: tensors.update(extra=torch.zeros(1)))
    with pytest.raises(ModelError, match=rf"{network}: unexpected keys: extra"):
        _load(folder)


@pytest.mark.parametrize(("network", "key"), KEYS)
def test_a_misshapen_tensor_is_named_with_both_shapes(folder, network, key):
    _change(folder / network / WEIGHTS, lambda tensors: tensors.update({key: torch.zeros(2, 3)}))
    with pytest.raises(ModelError, match=rf"{network}.*{key}.*2, 3") as caught:
        _load(folder)
    assert "\n" not in str(caught.value)


def test_a_config_that_disagrees_with_its_weights_is_an_error_that_says_where(folder):
    path = folder / "unet" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"block_out_channels": [16, 48]}))
    with pytest.raises(ModelError, match=r"unet: .*expected shape"):
        _load(folder)


def test_a_cut_off_file_of_weights_is_an_error_that_names_the_folder(folder):
    file = folder / "vae" / WEIGHTS
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="vae"):
        _load(folder)


def test_a_file_of_weights_that_is_not_there_is_an_error_that_names_the_folder(folder):
    (folder / "unet" / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="unet"):
        _load(folder)


def test_a_folder_that_is_not_there_is_no_model_folder(tmp_path):
    with pytest.raises(ModelError, match=r"absent is not a model folder: it has no model_index"):
        _load(tmp_path / "absent")


@pytest.mark.parametrize("part", ["unet", "vae", "scheduler", "low_res_scheduler"])
def test_a_missing_part_is_an_error_that_names_it(folder, part):
    shutil.rmtree(folder / part)
    with pytest.raises(ModelError, match=part):
        _load(folder)


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_broken_json_is_an_error_that_names_its_file(folder, file):
    (folder / file).write_text('{"half": ')
    with pytest.raises(ModelError, match=file) as caught:
        _load(folder)
    assert "\n" not in str(caught.value)


def test_an_unknown_sampling_key_is_an_error_that_names_it(folder):
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    index["sampling"]["start_strenght"] = 1
    path.write_text(json.dumps(index))
    with pytest.raises(VsrError, match="start_strenght; did you mean start_strength"):
        _load(folder)


@pytest.mark.parametrize(
    ("part", "source", "says"),
    [
        ("unet", ["diffusers", "UNet2DConditionModel"], "its unet is the class diffusers.UNet2D"),
        ("unet", ["my_package.unet", "UNetVideoModel"], "its unet is the class my_package"),
        ("scheduler", ["diffusers", "AutoPipelineForInpainting"], "its scheduler is the class"),
        ("tokenizer", ["transformers", "AutoTokenizer"], "can be transformers.CLIPTokenizer"),
        ("../unet", ["diffusers", "DDIMScheduler"], "unknown part ../unet; did you mean unet"),
        ("safety_checker", ["stable_diffusion", "Checker"], "unknown part safety_checker"),
        ("vae", ["vsr.models.vae", None], "its vae is the class"),
        ("vae", ["vsr.models.vae"], "its vae is the class"),
        ("_class_name", "DiffusionPipeline", "is of a DiffusionPipeline"),
        ("_class_name", ["pipeline", "Custom"], "it can be of a VideoUpscalePipeline"),
    ],
)
def test_an_index_that_names_other_classes_is_refused(folder, part, source, says):
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {part: source}))
    with pytest.raises(ModelError, match=says) as caught:
        _load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "3", "[" * 100_000])
def test_an_index_that_is_no_object_is_refused(folder, content):
    (folder / "model_index.json").write_text(content)
    with pytest.raises(ModelError, match=r"model_index\.json"):
        _load(folder)


def test_one_call_loads_a_folder_an_embedded_model_or_a_file(tiny_model, tmp_path):
    assert isinstance(load(tiny_model, device="cpu"), VideoUpscalePipeline)
    assert isinstance(load("compact", device="cpu", dtype="float32"), VideoUpscalePipeline)
    network = load(saved(compact(scale=2), tmp_path / "net.pth"), device="cpu")
    assert isinstance(network, ImageUpscalePipeline)
    assert network.scale == 2


def test_a_folder_that_is_embedded_loads_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_pipeline("compact", device="cpu").unet.config["in_channels"] == 51
    with pytest.raises(ModelError, match="is not a model folder"):
        load_pipeline("realesrgan-x4plus", device="cpu")


def test_auto_takes_a_number_format_that_the_network_computes_in(tmp_path, monkeypatch):
    file = saved(swinir(), tmp_path / "net.safetensors")
    monkeypatch.setattr("vsr.checkpoints.load.choose_dtype", lambda *_: torch.float16)
    assert load(file, device="cpu").dtype == torch.float32


def test_loading_is_quiet(tiny_model, capfd):
    load(tiny_model, device="cpu")
    assert capfd.readouterr() == ("", "")


def test_an_unknown_name_hears_the_nearest():
    with pytest.raises(ModelError, match="did you mean compact"):
        load("compcat")
