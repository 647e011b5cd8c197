"""Sources that cannot be converted: broken, harmful, or of another kind."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.checkpoints.published_folders import change_content, write_content
from vsr.checkpoints.convert import convert
from vsr.errors import ModelError

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
    change_content(
        folder / "unet/unet_video.bin", lambda state: state.update({new: state.pop(old)})
    )


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing key": (
        lambda f: change_content(f / "vae/vae_3d.bin", lambda s: s.pop("quant_conv.bias")),
        r"vae_3d\.bin lacks quant_conv\.bias",
    ),
    "a surplus key": (
        lambda f: change_content(
            f / "vae/vae_3d.bin", lambda s: s.update({"new.bias": s["quant_conv.bias"]})
        ),
        r"vae_3d\.bin has, too many, new\.bias",
    ),
    "a misshapen key": (
        lambda f: change_content(
            f / "vae/vae_3d.bin", lambda s: s.update({"quant_conv.bias": torch.ones(3)})
        ),
        r"quant_conv\.bias has shape \(3,\), the config says \(8,\)",
    ),
    "a key of another name": (
        lambda f: _rename(f, "conv_in.weight", "conv_inn.weight"),
        r"unet_video\.bin lacks conv_in\.weight",
    ),
    "another config": (
        lambda f: change_content(
            f / "unet/unet_video_config.json", lambda c: c.update(num_class_embeds=500)
        ),
        r"class_embedding\.weight has shape \(1000, 128\), the config says \(500, 128\)",
    ),
    "a config that gives no network": (
        lambda f: change_content(
            f / "unet/unet_video_config.json", lambda c: c.update(norm_num_groups=5)
        ),
        "gives no network",
    ),
    "an unknown field": (
        lambda f: change_content(f / "vae/vae_3d_config.json", lambda c: c.update(chanels=1)),
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
        lambda f: write_content(f / "scheduler/scheduler_config.json", {"beta_schedule": "steep"}),
        "no config of a DDIMScheduler",
    ),
    "weights that are no RAFT": (
        lambda f: write_content(f / "propagator/raft-things.pth", {"a": torch.zeros(1)}),
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
    write_content(tmp_path / "lavie_vsr.pt", {"ema": {"a": torch.zeros(1)}})
    with pytest.raises(ModelError, match="--upscaler"):
        convert(tmp_path / "lavie_vsr.pt", tmp_path / "model")
    with pytest.raises(ModelError, match="no x4-upscaler folder"):
        convert(tmp_path / "lavie_vsr.pt", tmp_path / "model", upscaler=tmp_path)


def test_the_video_autoencoder_is_upscale_a_videos_alone(upscaler: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="--vae video"):
        convert(upscaler, tmp_path / "model", vae="video")
