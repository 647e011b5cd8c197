"""Published checkpoints become model folders: same numbers, nothing lost, misfits by their name."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors.torch import load_file, save_file

from tests.checkpoints.test_key_maps import to_lavie
from tests.parity import VaeKind, published_config, published_state, small_unet, small_vae
from vsr.checkpoints.convert import convert
from vsr.checkpoints.find import find_model
from vsr.checkpoints.load import load_pipeline
from vsr.cli import main
from vsr.errors import ModelError, OutputError
from vsr.jobs.info import describe
from vsr.models.raft import RAFT_FILE

NARROW = {
    "block_out_channels": [32, 64, 64, 128],
    "attention_head_dim": 2,
    "cross_attention_dim": 64,
}
NOISE = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}
DDIM = NOISE | {
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Upscale-A-Video folder of the narrow networks: the file names and keys of the real one."""
    folder = tmp_path_factory.mktemp("published")
    unet = {f"module.{key}": value for key, value in published_state("unet_small").items()}
    _write(folder / "unet/unet_video.bin", unet)
    _write(folder / "unet/unet_video_config.json", published_config("unet_video") | NARROW)
    for kind, extra in (("vae_3d", {}), ("vae_video", {"condition_channels": 32})):
        config = published_config(kind) | {"block_out_channels": [32, 64, 64]} | extra
        _write(folder / f"vae/{kind}_config.json", config)
        _write(folder / f"vae/{kind}.bin", published_state(f"{kind}_small"))
    return folder


@pytest.fixture(scope="module")
def converted(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(published, tmp_path_factory.mktemp("converted") / "model")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The smallest folder of the kind, to be broken by a test."""
    return upscale_a_video(tmp_path / "small")


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Stable Diffusion's x4 upscaler as diffusers saves it, with few channels."""
    folder = tmp_path_factory.mktemp("upscaler")
    torch.manual_seed(0)
    UNet2DConditionModel(
        in_channels=7,
        out_channels=4,
        block_out_channels=(32, 64, 64, 128),
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
        up_block_types=(*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
        only_cross_attention=[True, True, True, False],
        attention_head_dim=2,
        cross_attention_dim=64,
        use_linear_projection=True,
        num_class_embeds=1000,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=32,
    ).save_pretrained(folder / "vae")
    DDIMScheduler(**DDIM | {"beta_end": 0.015}).save_pretrained(folder / "scheduler")
    DDPMScheduler(**NOISE).save_pretrained(folder / "low_res_scheduler")
    return folder


def upscale_a_video(folder: Path) -> Path:
    from vsr.models.unet import UNetVideoModel
    from vsr.models.vae import AutoencoderKLVideo

    unet = published_config("unet_video")
    unet |= {
        "block_out_channels": [32, 32],
        "attention_head_dim": 1,
        "cross_attention_dim": 8,
        "only_cross_attention": [True, False],
        "down_block_types": ["DownBlock3D", "CrossAttnDownBlock3D"],
        "up_block_types": ["CrossAttnUpBlock3D", "UpBlock3D"],
        "layers_per_block": 1,
        "down_temporal_idx": [1],
        "up_temporal_idx": [0],
    }
    network = UNetVideoModel(
        block_out_channels=(32, 32),
        layers_per_block=(1, 1),
        num_heads=(1, 1),
        attention=("none", "full"),
        cross_attention_dim=8,
        residual=(True, True),
        temporal_blocks=(False, True),
    )
    vae = published_config("vae_3d")
    vae |= {
        "block_out_channels": [32],
        "layers_per_block": 1,
        "down_block_types": ["DownEncoderBlock3D"],
        "up_block_types": ["UpDecoderBlock3D"],
    }
    autoencoder = AutoencoderKLVideo(block_out_channels=(32,), layers_per_block=1)
    _write(folder / "unet/unet_video_config.json", unet)
    _write(folder / "unet/unet_video.bin", network.state_dict())
    _write(folder / "vae/vae_3d_config.json", vae)
    _write(folder / "vae/vae_3d.bin", autoencoder.state_dict())
    return folder


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        torch.save(dict(content), path)


def _change(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    json_file = path.suffix == ".json"
    content = json.loads(path.read_text()) if json_file else torch.load(path, weights_only=True)
    change(content)
    _write(path, content)


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
    _write(small / "scheduler/scheduler_config.json", DDIM | {"beta_end": 0.03})
    pipe = load_pipeline(convert(small, tmp_path / "model"), device="cpu")
    assert pipe.scheduler.config["beta_end"] == 0.03
    assert pipe.low_res_scheduler.config["beta_end"] == 0.02


def test_the_highest_noise_level_comes_from_its_index(small: Path, tmp_path: Path):
    _write(small / "model_index.json", {"max_noise_level": 200})
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
    _write(small / "text_encoder/pytorch_model.bin", state)
    (small / "text_encoder/model.safetensors").unlink()
    _write(small / "tokenizer/vocab.json", words)
    (small / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    _write(small / "tokenizer/tokenizer_config.json", {"model_max_length": 4})
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
    _write(small / "propagator/raft-things.pth", {f"module.{k}": v for k, v in state.items()})
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
    _write(tmp_path / "lavie_vsr.pt", {"ema": ema})
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
        _write(
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
    _write(old / "vae/diffusion_pytorch_model.bin", state)
    found = _weights(convert(old, tmp_path / "model") / "vae")
    expected = _weights(upscaler / "vae")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


# What is refused


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("harm",))


def _truncated(folder: Path) -> None:
    file = folder / "unet/unet_video.bin"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _unsafe(folder: Path) -> None:
    (folder / "unet/unet_video.bin").write_bytes(pickle.dumps({"a": _Harmful()}, protocol=2))


def _rename(folder: Path, old: str, new: str) -> None:
    _change(folder / "unet/unet_video.bin", lambda state: state.update({new: state.pop(old)}))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing key": (
        lambda f: _change(f / "vae/vae_3d.bin", lambda s: s.pop("quant_conv.bias")),
        r"vae_3d\.bin lacks quant_conv\.bias",
    ),
    "a surplus key": (
        lambda f: _change(
            f / "vae/vae_3d.bin", lambda s: s.update({"new.bias": s["quant_conv.bias"]})
        ),
        r"vae_3d\.bin has, too many, new\.bias",
    ),
    "a misshapen key": (
        lambda f: _change(
            f / "vae/vae_3d.bin", lambda s: s.update({"quant_conv.bias": torch.ones(3)})
        ),
        r"quant_conv\.bias has shape \(3,\), the config says \(8,\)",
    ),
    "a key of another name": (
        lambda f: _rename(f, "conv_in.weight", "conv_inn.weight"),
        r"unet_video\.bin lacks conv_in\.weight",
    ),
    "another config": (
        lambda f: _change(
            f / "unet/unet_video_config.json", lambda c: c.update(num_class_embeds=500)
        ),
        r"class_embedding\.weight has shape \(1000, 128\), the config says \(500, 128\)",
    ),
    "a config that gives no network": (
        lambda f: _change(f / "unet/unet_video_config.json", lambda c: c.update(norm_num_groups=5)),
        "gives no network",
    ),
    "an unknown field": (
        lambda f: _change(f / "vae/vae_3d_config.json", lambda c: c.update(chanels=1)),
        "unknown field chanels",
    ),
    "a config that is no JSON": (
        lambda f: (f / "unet/unet_video_config.json").write_text("{"),
        "not readable JSON",
    ),
    "no config": (
        lambda f: (f / "unet/unet_video_config.json").unlink(),
        r"unet_video_config\.json is missing",
    ),
    "no weights": (lambda f: (f / "vae/vae_3d.bin").unlink(), r"no vae_3d\.safetensors and no"),
    "a truncated file": (_truncated, r"unet_video\.bin cannot be read|is not a file of weights"),
    "a text file": (
        lambda f: (f / "unet/unet_video.bin").write_text("weights"),
        "is not a file of weights",
    ),
    "an empty file": (lambda f: (f / "unet/unet_video.bin").write_bytes(b""), "unet_video"),
    "an unsafe pickle": (_unsafe, "could run code"),
    "a pickle of something else": (
        lambda f: torch.save([1, 2], f / "unet/unet_video.bin"),
        "holds a list",
    ),
    "no tokenizer": (lambda f: (f / "text_encoder").mkdir(), "no tokenizer"),
    "a scheduler that is none": (
        lambda f: _write(f / "scheduler/scheduler_config.json", {"beta_schedule": "steep"}),
        "no config of a DDIMScheduler",
    ),
    "weights that are no RAFT": (
        lambda f: _write(f / "propagator/raft-things.pth", {"a": torch.zeros(1)}),
        "RAFT",
    ),
}


@pytest.mark.parametrize(("break_it", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_source_is_named_and_leaves_nothing(
    break_it: Callable[[Path], object],
    words: str,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    break_it(small)
    with pytest.raises(ModelError, match=words) as caught:
        convert(small, tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_folder_of_another_kind_hears_what_was_looked_for(tmp_path: Path):
    with pytest.raises(ModelError, match=r"unet_video\.bin.*unet/config\.json.*lavie_vsr\.pt"):
        convert(tmp_path, tmp_path / "model")
    with pytest.raises(ModelError, match="there is no"):
        convert(tmp_path / "none", tmp_path / "model")


def test_a_lavie_file_alone_asks_for_the_upscaler(tmp_path: Path):
    _write(tmp_path / "lavie_vsr.pt", {"ema": {"a": torch.zeros(1)}})
    with pytest.raises(ModelError, match="--upscaler"):
        convert(tmp_path / "lavie_vsr.pt", tmp_path / "model")
    with pytest.raises(ModelError, match="no x4-upscaler folder"):
        convert(tmp_path / "lavie_vsr.pt", tmp_path / "model", upscaler=tmp_path)


def test_the_video_autoencoder_is_upscale_a_videos_alone(upscaler: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="--vae video"):
        convert(upscaler, tmp_path / "model", vae="video")


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
