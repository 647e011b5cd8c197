"""Presets: every shipped one is sound and costs what it says; users' files have the same form."""

from pathlib import Path

import pytest

from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.ops.segments import blend_plan
from vsr.pipelines.presets import preset_names, read_preset
from vsr.pipelines.settings import SamplingConfig
from vsr.runtime.timing import NullTimer
from vsr.upscaling.clip_upscaler import Upscaler
from vsr.upscaling.load import load_upscaler
from vsr.upscaling.sizes import Size

FRAMES = 100


def _settings(name: str) -> SamplingConfig:
    return SamplingConfig().overridden(read_preset(name))


def _evaluations(settings: SamplingConfig, timesteps: list[int]) -> float:
    """Frames that the U-Net sees for each frame of a long clip, both texts counted."""
    plan = blend_plan(
        FRAMES, length=settings.segment_length, stride=settings.segment_stride, kind=settings.blend
    )
    low, high = settings.guidance_interval
    texts = sum(2 if low <= t / 1000 <= high else 1 for t in timesteps)
    return texts * sum(segment.stop - segment.start for segment in plan) / FRAMES


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_a_sampling_config(name: str):
    assert _settings(name) != SamplingConfig()


def test_the_published_preset_has_the_published_values():
    settings = _settings("upscale-a-video")
    assert (settings.num_inference_steps, settings.guidance_scale) == (30, 6)
    assert (settings.segment_length, settings.segment_stride) == (8, 6)
    assert (settings.noise_level, settings.blend, settings.color) == (120, "running", "none")
    assert (settings.decode_frames, settings.decode_context) == (3, 0)
    assert settings.propagation.mode == "nearest"
    assert (settings.propagation.alpha1, settings.propagation.alpha2) == (0.001, 0.05)
    assert settings.propagation.beta == 0.5


def test_presets_cost_what_their_headers_say():
    leading = [1 + 33 * i for i in range(30)]
    exact = _evaluations(_settings("upscale-a-video"), leading)
    fast = _evaluations(_settings("upscale-a-video-fast"), [100 * i - 1 for i in range(1, 11)])
    # 80 and a last window that is moved back to full length
    assert exact == pytest.approx(81.6)
    assert fast < 14


def test_presets_leave_to_the_model_what_it_predicts():
    for name in preset_names():
        assert not read_preset(name).keys() & {"prediction", "start", "start_strength"}


def test_a_file_of_the_users_is_a_preset(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("noise_level: 50\npropagation:\n  beta: 0.25\n")
    settings = _settings(str(file))
    assert (settings.noise_level, settings.propagation.beta) == (50, 0.25)
    assert settings.propagation.alpha1 == SamplingConfig().propagation.alpha1


def test_an_unknown_preset_hears_the_nearest():
    with pytest.raises(ConfigError, match="did you mean upscale-a-video"):
        read_preset("upscale-a-vidoe")


@pytest.mark.parametrize(
    ("text", "words"),
    [("- 1\n", "no keys and values"), ("a: [1\n", "is not YAML"), ("", "no keys and values")],
)
def test_a_file_that_holds_no_values_is_refused(text: str, words: str, tmp_path: Path):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_preset(str(tmp_path / "bad.yaml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nois_level: 1\n", "did you mean noise_level"),
        ("propagation:\n  bta: 1\n", "unknown propagation key bta"),
        ("propagation:\n  beta: 2\n", "beta must lie in"),
    ],
)
def test_wrong_values_of_a_preset_are_named(text: str, words: str, tmp_path: Path):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        _settings(str(tmp_path / "bad.yaml"))


def _loaded(model: Path, preset: str) -> Upscaler:
    config = UpscaleConfig(model=str(model), preset=preset, device="cpu", dtype="float32")
    return load_upscaler(config, Size(8, 8), NullTimer())


def test_the_command_samples_by_its_preset(tiny_model: Path, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("noise_level: 50\n")
    settings = _loaded(tiny_model, str(tmp_path / "mine.yaml")).settings
    assert isinstance(settings, SamplingConfig)
    assert (settings.noise_level, settings.prediction) == (50, "residual")


def test_the_command_knows_an_unknown_preset_before_it_loads_the_model(tmp_path: Path):
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ConfigError, match="no preset fast"):
        _loaded(tmp_path, "fast")


def test_networks_for_images_take_no_preset(tmp_path: Path):
    (tmp_path / "network.pth").write_bytes(b"weights")
    with pytest.raises(ConfigError, match="presets are for model folders"):
        _loaded(tmp_path / "network.pth", "upscale-a-video")
