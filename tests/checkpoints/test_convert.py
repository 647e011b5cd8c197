"""Published checkpoints become model folders: same numbers, nothing lost, misfits by their name."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tests.checkpoints.published_folders import (
    DDIM,
    NOISE,
    write_content,
)
from tests.checkpoints.test_key_maps import to_lavie
from tests.parity import VaeKind, published_state, small_unet, small_vae
from vsr.checkpoints.convert import convert
from vsr.checkpoints.find import find_model
from vsr.checkpoints.load import load_pipeline
from vsr.cli import main
from vsr.errors import ModelError, OutputError
from vsr.jobs.info import describe
from vsr.models.raft import RAFT_FILE


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "diffusion_pytorch_model.safetensors")


def _fields(network: Any) -> dict[str, Any]:
    """The config as JSON has it, without what diffusers adds."""
    fields = json.loads(network.to_json_string())
    return {key: value for key, value in fields.items() if key[0] != "_"}


def _same(found: torch.Tensor, expected: torch.Tensor, atol: float) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


# Upscale-A-Video


@pytest.mark.parametrize("kind", ["3d", "video"])
def test_a_converted_folder_is_the_pipeline_that_gives_the_published_numbers(
    kind: VaeKind, published: Path, tmp_path: Path
):
    pipe = load_pipeline(convert(published, tmp_path / "model", vae=kind), device="cpu")
    for found, expected in ((pipe.unet, small_unet()), (pipe.vae, small_vae(kind))):
        assert _fields(found) == _fields(expected)
        weights, state = found.state_dict(), expected.state_dict()
        assert weights.keys() == state.keys()
        assert all(torch.equal(weights[key], state[key]) for key in state)
    assert DDIM.items() <= dict(pipe.scheduler.config).items()
    assert NOISE.items() <= dict(pipe.low_res_scheduler.config).items()


def test_it_says_what_it_holds_and_under_what_licence(converted: Path):
    text = describe(str(converted))
    assert "S-Lab License 1.0" in text
    assert "10.71 M parameters" in text
    assert "cross_attention_dim      64" in text


def test_its_files_can_be_read_by_others(converted: Path):
    umask = os.umask(0)
    os.umask(umask)
    files = [path for path in converted.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}


def test_without_a_text_encoder_it_asks_for_embeddings(small: Path, tmp_path: Path):
    pipe = load_pipeline(convert(small, tmp_path / "model"), device="cpu")
    with pytest.raises(ModelError, match="prompt_embeds"):
        pipe(torch.zeros(1, 3, 1, 8, 8))


def test_its_own_schedulers_are_preferred(small: Path, tmp_path: Path):
    write_content(small / "scheduler/scheduler_config.json", DDIM | {"beta_end": 0.03})
    pipe = load_pipeline(convert(small, tmp_path / "model"), device="cpu")
    assert pipe.scheduler.config["beta_end"] == 0.03
    assert pipe.low_res_scheduler.config["beta_end"] == 0.02


def test_the_highest_noise_level_comes_from_its_index(small: Path, tmp_path: Path):
    write_content(small / "model_index.json", {"max_noise_level": 200})
    pipe = load_pipeline(convert(small, tmp_path / "model"), device="cpu")
    assert pipe.unet.config["max_noise_level"] == 200


def test_text_encoder_and_tokenizer_come_along(small: Path, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    words = {word: i for i, word in enumerate(["<|startoftext|>", "<|endoftext|>", "a</w>"])}
    encoder = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=3,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=4,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    ).eval()
    encoder.save_pretrained(small / "text_encoder")
    state = load_file(small / "text_encoder/model.safetensors")
    write_content(small / "text_encoder/pytorch_model.bin", state)
    (small / "text_encoder/model.safetensors").unlink()
    write_content(small / "tokenizer/vocab.json", words)
    (small / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    write_content(small / "tokenizer/tokenizer_config.json", {"model_max_length": 4})
    pipe = load_pipeline(convert(small, tmp_path / "model"), device="cpu")
    ids = torch.tensor([[0, 2, 1, 1]])
    with torch.no_grad():
        _same(pipe.text_encoder(ids)[0], encoder(ids)[0], atol=1e-6)
    frames = torch.zeros(1, 3, 1, 8, 8)
    output = pipe(frames, prompt="a", num_inference_steps=1, noise_level=0, output_type="pt")
    assert output.frames.isfinite().all()


def test_its_flow_network_comes_along_and_is_used(
    small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    from torchvision.models.optical_flow import raft_large

    state = raft_large(weights=None).state_dict()
    write_content(
        small / "propagator/raft-things.pth", {f"module.{k}": v for k, v in state.items()}
    )
    folder = convert(small, tmp_path / "model")
    assert load_file(folder / RAFT_FILE).keys() == state.keys()
    embeds = torch.zeros(1, 1, 8)
    with caplog.at_level("INFO", logger="vsr"):
        load_pipeline(folder, device="cpu")(
            torch.zeros(1, 3, 2, 8, 8),
            prompt_embeds=embeds,
            negative_prompt_embeds=embeds,
            num_inference_steps=1,
            propagation_steps=(0,),
        )
    assert "flow by RAFT" in caplog.text


# LaVie and the x4 upscaler


def test_lavies_file_is_the_same_network(converted: Path, upscaler: Path, tmp_path: Path):
    ema = {to_lavie(key): value for key, value in published_state("unet_small").items()}
    write_content(tmp_path / "lavie_vsr.pt", {"ema": ema})
    folder = convert(tmp_path / "lavie_vsr.pt", tmp_path / "model", upscaler=upscaler)
    found, expected = _weights(folder / "unet"), _weights(converted / "unet")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert "LaVie" in describe(str(folder))
    settings = load_pipeline(folder, device="cpu").settings
    assert (settings.num_inference_steps, settings.noise_level) == (50, 50)


def test_an_inflated_upscaler_gives_every_frame_what_diffusers_gives(
    upscaler: Path, tmp_path: Path
):
    pipe = load_pipeline(convert(upscaler, tmp_path / "model"), device="cpu")
    image_unet = UNet2DConditionModel.from_pretrained(upscaler / "unet").eval()
    image_vae = AutoencoderKL.from_pretrained(upscaler / "vae").eval()
    torch.manual_seed(1)
    sample, low_res = torch.randn(1, 4, 3, 18, 16), torch.randn(1, 3, 3, 18, 16)
    text, level = torch.randn(1, 5, 64), torch.tensor([20])
    with torch.no_grad():
        found = pipe.unet(
            sample,
            torch.tensor(500),
            low_res=low_res,
            class_labels=level,
            encoder_hidden_states=text,
        ).sample
        frames = pipe.vae.decode(sample, low_res).sample
        for t in range(3):
            both = torch.cat([sample[:, :, t], low_res[:, :, t]], dim=1)
            image = image_unet(both, 500, text, class_labels=level).sample
            _same(found[:, :, t], image, atol=1e-4)
            _same(frames[:, :, t], image_vae.decode(sample[:, :, t]).sample, atol=1e-4)


def test_the_upscaler_keeps_its_schedulers_and_the_scale_that_diffusers_decodes_with(
    upscaler: Path, tmp_path: Path
):
    pipe = load_pipeline(convert(upscaler, tmp_path / "model"), device="cpu")
    assert pipe.scheduler.config["beta_end"] == 0.015
    assert pipe.vae.config["scaling_factor"] == 0.08333
    assert pipe.settings.prediction == "v_prediction"
    assert pipe.settings.negative_prompt == ""


def test_an_old_autoencoder_is_read_by_its_old_names(upscaler: Path, tmp_path: Path):
    old = tmp_path / "old"
    for part in ("unet", "vae"):
        write_content(
            old / part / "config.json", json.loads((upscaler / part / "config.json").read_text())
        )
    save_file(_weights(upscaler / "unet"), old / "unet/diffusion_pytorch_model.safetensors")
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for key, value in _weights(upscaler / "vae").items():
        for new, former in names.items():
            if f".{new}.weight" in key:
                value = value[:, :, None, None]
            key = key.replace(f".{new}.", f".{former}.")
        state[key] = value
    write_content(old / "vae/diffusion_pytorch_model.bin", state)
    found = _weights(convert(old, tmp_path / "model") / "vae")
    expected = _weights(upscaler / "vae")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


# Where it goes


def test_a_target_that_exists_is_replaced_only_on_request(small: Path, tmp_path: Path):
    target = convert(small, tmp_path / "model")
    (target / "note.txt").write_text("old")
    with pytest.raises(OutputError, match="--overwrite"):
        convert(small, target)
    convert(small, target, overwrite=True)
    assert not (target / "note.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "small"]


def test_other_folders_are_never_replaced(small: Path, tmp_path: Path):
    (tmp_path / "films").mkdir()
    with pytest.raises(OutputError, match="not a model folder"):
        convert(small, tmp_path / "films", overwrite=True)
    with pytest.raises(OutputError, match="not a model folder"):
        convert(small, small, overwrite=True)


def test_a_target_without_its_folder_is_an_error(small: Path, tmp_path: Path):
    with pytest.raises(OutputError, match="cannot be written"):
        convert(small, tmp_path / "none" / "model")


def test_without_a_target_it_is_made_where_its_name_finds_it(small: Path, tmp_path, monkeypatch):
    monkeypatch.setenv("VSR_MODELS", str(tmp_path / "new" / "models"))
    folder = convert(small)
    assert folder == tmp_path / "new" / "models" / "upscale-a-video"
    assert find_model("upscale-a-video") == folder
    with pytest.raises(OutputError):
        convert(small)


def test_the_command_converts(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["convert", str(small), str(tmp_path / "model")]) == 0
    assert "model folder" in capsys.readouterr().out
    assert main(["convert", str(small), str(tmp_path / "model")]) == 1
    assert "--overwrite" in capsys.readouterr().err
