"""Published SeedVR files become model folders; what does not fit is named in one sentence."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import vsr
from tests.seedvr import fixture, small_dit, small_vae
from vsr.checkpoints.convert import convert
from vsr.checkpoints.find import look_ahead
from vsr.checkpoints.seedvr.networks import transformer_config
from vsr.errors import ModelError
from vsr.pipelines.seedvr.pipeline import SeedVRPipeline

CONFIG = {"heads": 2, "head_dim": 32, "num_layers": 4, "mm_layers": 2, "vid_dim": 64}
VAE_CONFIG = {"block_out_channels": [16, 32, 64, 64], "norm_num_groups": 8}
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def _state(kind: str = "3b") -> dict[str, torch.Tensor]:
    """The tensors of a published file, frequencies and all."""
    state = small_dit(kind).state_dict()
    rope = {f"blocks.{i}.attn.rope.rope.freqs": torch.full((5,), 9.0) for i in range(4)}
    return {**state, **rope}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "SeedVR2-3B"
    folder.mkdir()
    torch.save(_state(), folder / "seedvr2_ema_3b.pth")
    torch.save(small_vae().state_dict(), folder / "ema_vae.pth")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vae_config.json").write_text(json.dumps(VAE_CONFIG))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model"


def _latents(folder: Path, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    given = fixture("seedvr2_3b_t6")
    pipe = SeedVRPipeline.from_pretrained(folder, dtype=dtype)
    return pipe(
        given["frames"],
        target_area=6144,
        fit="crop",
        noise=given["noise"],
        posterior_noise=given["posterior_noise"],
        text_embeds=given["text"],
    ).latents


def test_a_converted_folder_gives_the_published_numbers(source, target):
    assert convert(source, target) == target
    expected = fixture("seedvr2_3b_t6")["final_latents"]
    torch.testing.assert_close(_latents(target), expected, atol=1e-3, rtol=0)


def test_the_folder_is_complete_and_loads_by_its_path(source, target):
    convert(source / "seedvr2_ema_3b.pth", target)
    index = json.loads((target / "model_index.json").read_text())
    assert index["_class_name"] == "SeedVRPipeline"
    assert "apache-2.0" in (target / "README.md").read_text()
    assert not (target / "text").exists()  # 48 values a word are not the published ones
    assert isinstance(vsr.load(target, device="cpu"), SeedVRPipeline)
    assert look_ahead(str(target)) == 11


def test_old_attention_names_and_16_bits_are_the_same_network(source, target):
    state = {
        _old(key): value.half().contiguous() for key, value in small_vae().state_dict().items()
    }
    (source / "ema_vae.pth").unlink()
    (source / "seedvr2_ema_3b.pth").unlink()
    save_file(state, source / "ema_vae_fp16.safetensors")
    half = {f"model.diffusion_model.{key}": value.half() for key, value in _state().items()}
    save_file(half, source / "seedvr2_ema_3b_fp16.safetensors")
    convert(source, target)
    expected = fixture("seedvr2_3b_t6")["final_latents"]
    torch.testing.assert_close(_latents(target), expected, atol=0.03, rtol=0)


def test_8_bits_are_cast_up_without_change(source, target):
    (source / "seedvr2_ema_3b.pth").unlink()
    state = {key: value.to(torch.float8_e4m3fn) for key, value in _state().items()}
    save_file(state, source / "seedvr2_ema_3b_fp8_e4m3fn.safetensors")
    convert(source, target)
    found = SeedVRPipeline.from_pretrained(target).networks.transformer.state_dict()
    for key, value in found.items():
        assert torch.equal(value, state[key].float()), key


def test_gguf_is_read_where_its_package_is_installed(source, target):
    gguf = pytest.importorskip("gguf")
    (source / "seedvr2_ema_3b.pth").unlink()
    writer = gguf.GGUFWriter(source / "seedvr2_ema_3b-Q8_0.gguf", "seedvr")
    for key, value in _state().items():
        writer.add_tensor(key, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    convert(source, target)
    found = SeedVRPipeline.from_pretrained(target).networks.transformer.state_dict()
    torch.testing.assert_close(
        found["vid_in.proj.weight"], _state()["vid_in.proj.weight"], atol=1e-3, rtol=0
    )


def test_gguf_without_its_package_names_it(source, target, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    (source / "seedvr2_ema_3b.gguf").write_bytes(b"GGUF")
    with pytest.raises(vsr.DependencyError, match="gguf"):
        convert(source / "seedvr2_ema_3b.gguf", target)


def test_seedvr_by_its_file_name_has_50_steps_and_guidance(source, target):
    (source / "seedvr2_ema_3b.pth").rename(source / "seedvr_ema_3b.pth")
    convert(source, target)
    pipe = SeedVRPipeline.from_pretrained(target)
    assert pipe.settings.num_inference_steps == 50
    assert pipe.settings.guidance_scale == 6.5
    assert pipe.condition_noise_scale == 0.1


def test_a_name_that_does_not_tell_needs_the_kind(source, target):
    plain = source.rename(source.parent / "files")
    (plain / "seedvr2_ema_3b.pth").rename(plain / "network.pth")
    with pytest.raises(ModelError, match="--kind"):
        convert(plain / "network.pth", target)
    convert(plain / "network.pth", target, kind="seedvr")
    assert SeedVRPipeline.from_pretrained(target).settings.num_inference_steps == 50


def test_embeddings_of_the_source_are_kept(source, target):
    text = torch.randn(5, 48)
    torch.save(text[None], source / "pos_emb.pt")
    torch.save(-text, source / "neg_emb.pt")
    convert(source, target)
    texts = SeedVRPipeline.from_pretrained(target).texts
    assert texts is not None and torch.equal(texts.positive, text)
    assert torch.equal(texts.negative, -text)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda s: s.pop("blocks.1.mlp.vid.proj_in.weight"), "lacks blocks.1"),
        (lambda s: s.update({"blocks.1.extra": torch.zeros(2)}), "too many, blocks.1.extra"),
        (lambda s: s.update({"txt_in.bias": torch.zeros(63)}), "txt_in.bias has shape"),
        (lambda s: s.update({"blocks.9999.extra": torch.zeros(2)}), "9999"),
    ],
)
def test_a_file_whose_tensors_do_not_fit_is_refused(source, target, change, problem):
    state = _state()
    change(state)
    torch.save(state, source / "seedvr2_ema_3b.pth")
    with pytest.raises(ModelError, match=problem):
        convert(source, target)
    assert not target.exists()


def test_a_source_without_its_autoencoder_is_refused(source, target):
    (source / "ema_vae.pth").unlink()
    with pytest.raises(ModelError, match=r"ema_vae\.pth"):
        convert(source, target)


def test_an_autoencoder_of_another_kind_is_refused(source, target):
    torch.save({"encoder.conv_in.weight": torch.zeros(4, 3, 3, 3)}, source / "ema_vae.pth")
    with pytest.raises(ModelError, match="no autoencoder of SeedVR"):
        convert(source, target)


def test_embeddings_of_another_width_are_refused(source, target):
    torch.save(torch.randn(5, 40), source / "pos_emb.pt")
    with pytest.raises(ModelError, match="words of 48 values"):
        convert(source, target)


def test_embeddings_that_hold_code_are_refused(source, target):
    torch.save({"run": print}, source / "pos_emb.pt")
    with pytest.raises(ModelError, match="refused"):
        convert(source, target)


def test_a_config_that_contradicts_the_tensors_is_refused(source, target):
    (source / "config.json").write_text(json.dumps({"overrides": {"num_layers": 5}}))
    with pytest.raises(ModelError, match="layers = 4"):
        convert(source, target)


def test_two_transformers_in_a_folder_are_not_chosen_from(source, target):
    torch.save(_state(), source / "seedvr2_ema_3b_sharp.pth")
    with pytest.raises(ModelError, match="several"):
        convert(source, target)
    convert(source / "seedvr2_ema_3b.pth", target)


def test_the_published_7b_network_is_told_by_its_tensors():
    from tests.seedvr import published_shapes

    config = transformer_config(published_shapes("dit_7b"), {}, where=Path("seven"))
    assert config == {
        **{"width": 3072, "heads": 24, "layers": 36, "separate_layers": 36, "text_width": 5120},
        **{"mlp": "gelu", "rope": "window", "output_norm": False},
    }


def _old(key: str) -> str:
    if ".attentions." not in key:
        return key
    for new, old in OLD_NAMES.items():
        key = key.replace(f".{new}.", f".{old}.")
    return key
