"""Image networks on clips: each frame by the network, their flicker taken out along the flow."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spandrel
import torch
from torch import Tensor, nn

from tests.networks import compact, saved, swinir
from vsr.errors import ConfigError
from vsr.models.flow_estimators import flow_estimator
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.propagation.propagator import Propagator

Load = Callable[[nn.Module], ImageUpscalePipeline]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The pipeline of a network, by way of a file."""
    return lambda network: ImageUpscalePipeline.from_file(saved(network, tmp_path / "net.pth"))


def clip(
    frames: int, h: int = 40, w: int = 48, *, speed: float = 1.0, noise: float = 0.0
) -> Tensor:
    """A smooth pattern that moves to the right; with noise that no frame shares with another."""
    torch.manual_seed(0)
    rows, columns = torch.meshgrid(
        torch.arange(h, dtype=torch.float32), torch.arange(w, dtype=torch.float32), indexing="ij"
    )
    pictures = []
    for number in range(frames):
        x = columns - speed * number
        waves = [torch.sin(x / 4) * torch.cos(rows / 5), torch.cos(x / 6 + rows / 3), torch.sin(x)]
        pictures.append(0.6 * torch.stack(waves) + noise * torch.randn(3, h, w))
    return torch.stack(pictures, dim=1)[None].clamp(-1, 1)


def psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(4 / (a - b).square().mean()))


def test_a_static_scene_is_a_fixed_point(load: Load) -> None:
    pipe = load(compact())
    frames = clip(4, speed=0)
    steady = pipe(frames, output_type="pt").frames
    alone = pipe(frames, propagation_steps=(), output_type="pt").frames
    # pixels wait as float16, whose steps below 1 are 2^-11
    assert torch.allclose(steady, alone, atol=2e-3)


def test_it_is_the_network_then_propagation_then_the_high_band(load: Load) -> None:
    pipe = load(compact())
    frames = clip(5, noise=0.05)
    own = pipe(frames, propagation_steps=(), color="none", output_type="pt").frames
    plain, restored = (
        Propagator(
            pipe.settings.propagation, frames, flow=flow_estimator("dis"), restore_detail=restore
        )
        for restore in (False, True)
    )
    fused, expected = (
        torch.stack(list(propagator.fuse(own.unbind(dim=2))), dim=2)
        for propagator in (plain, restored)
    )
    expected = expected.clamp(-1, 1)
    result = pipe(frames, color="none", output_type="pt")
    assert (result.frames - expected).abs().mean() < 1e-3
    # where the flow is consistent or not may tip by the rounding of the waiting pixels only
    assert torch.allclose(result.frames, expected, atol=1e-2)
    assert torch.allclose(result.state.latents, fused[:, :, -1], atol=1e-2)


def test_flicker_is_taken_out(load: Load) -> None:
    pipe = load(compact())
    frames = clip(6, speed=0, noise=0.1)
    flows = (torch.zeros(1, 2, 5, 40, 48), torch.zeros(1, 2, 5, 40, 48))
    own, steady = (
        pipe(frames, flows=flows, propagation_steps=steps, output_type="pt").frames
        for steps in ((), None)
    )
    before, after = (clip.diff(dim=2).square().mean() for clip in (own, steady))
    assert after < 0.4 * before


@pytest.mark.parametrize("restore", [True, False])
def test_overshoot_does_not_leave_the_range_of_pixels(load: Load, restore: bool) -> None:
    pipe = load(compact())
    pipe.settings = replace(pipe.settings, restore_detail=restore)
    frames = clip(3).sign()
    frames[frames == 0] = 1
    half = torch.full((1, 2, 2, 40, 48), 0.4)  # in the middle between pixels
    result = pipe(frames, flows=(half, -half), output_type="pt")
    assert result.frames.abs().max() <= 1
    assert result.state.latents.abs().max() > 1


def test_two_clips_that_hand_on_their_state_are_one(load: Load) -> None:
    pipe = load(compact())
    pipe.settings = replace(
        pipe.settings, propagation=replace(pipe.settings.propagation, direction="forward")
    )
    frames = clip(7, noise=0.05)
    whole = pipe(frames)
    first = pipe(frames[:, :, :4])
    second = pipe(frames[:, :, 4:], first_frame=4, state=first.state)
    parts = np.concatenate([first.frames, second.frames]).astype(int)
    assert np.abs(parts - whole.frames).max() <= 1
    assert (first.state.frames, second.state.frames, whole.state.frames) == (4, 7, 7)
    cut = pipe(frames[:, :, 4:], first_frame=4).frames
    assert np.abs(parts[4:] - cut).max() > 1


def test_without_propagation_frames_are_the_networks_and_no_state_is_handed_on(load: Load) -> None:
    pipe = load(swinir())
    frames = clip(3, 17, 21)
    result = pipe(frames, propagation_steps=(), color="none", output_type="pt")
    for i in range(3):
        assert torch.equal(result.frames[:, :, i], pipe.network(frames[:, :, i]))
    assert result.state is None


@pytest.mark.parametrize(("h", "w"), [(15, 23), (33, 17), (8, 40)])
@pytest.mark.parametrize("make", [swinir, lambda: compact(scale=2)], ids=["swinir", "compact"])
def test_any_size_comes_out_at_the_networks_own_scale(
    load: Load, make: Callable[[], nn.Module], h: int, w: int
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, h, w, 3), np.uint8)
    pipe = load(make())
    result = pipe(frames)
    assert pipe.scale == 2
    assert result.frames.shape == (2, 2 * h, 2 * w, 3)
    assert result.frames.dtype == np.uint8


@pytest.mark.parametrize("tile", [24, 32])
def test_tiles_change_nothing_that_is_seen(load: Load, tile: int) -> None:
    pipe = load(compact(convs=4))
    frames = clip(2, 41, 67, noise=0.1)
    whole = pipe(frames, output_type="pt").frames
    assert psnr(pipe(frames, tile=tile, output_type="pt").frames, whole) > 50


def test_frames_larger_than_the_limit_are_tiled_by_themselves(load: Load) -> None:
    pipe = load(compact())
    sizes: list[tuple[int, ...]] = []
    pipe.network.descriptor.model.register_forward_pre_hook(
        lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:]))
    )
    pipe.largest_whole = 32
    pipe.settings = replace(pipe.settings, tile_overlap=8)
    pipe(clip(1, 30, 34))
    assert sizes == [(30, 34)]
    sizes.clear()
    pipe(clip(1, 30, 100))
    assert sizes == [(30, 31)] * 4


def test_a_network_that_cuts_frames_itself_takes_no_tile(load: Load) -> None:
    pipe = load(compact())
    pipe.network.descriptor.tiling = spandrel.ModelTiling.INTERNAL
    with pytest.raises(ConfigError, match="cuts frames itself"):
        pipe(clip(1), tile=32)


def test_colours_can_be_those_of_the_small_frames(load: Load) -> None:
    network = compact()
    nn.init.constant_(network.body[-1].bias, 0.1)
    pipe = load(network)
    frames = clip(2) / 2
    own, matched = (
        pipe(frames, color=color, output_type="pt").frames.mean() for color in ("none", "wavelet")
    )
    assert own - frames.mean() > 0.1
    assert abs(matched - frames.mean()) < 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": "a cat"},
        {"negative_prompt": "blur"},
        {"num_inference_steps": 4},
        {"guidance_scale": 6.0},
        {"noise_level": 20},
        {"segment_length": 8},
        {"propagation_steps": (0, 1)},
    ],
    ids=str,
)
def test_options_without_use_are_refused(load: Load, options: dict[str, object]) -> None:
    (value,) = options.values()
    words = "one step" if "propagation_steps" in options else f"= {value}, but .* no use for it"
    with pytest.raises(ConfigError, match=words):
        load(compact())(clip(1), **options)


def test_another_attention_than_its_own_is_refused(load: Load) -> None:
    pipe = load(compact())
    pipe.set_attention_backend("sdpa")
    with pytest.raises(ConfigError, match="brings its own"):
        pipe.set_attention_backend("xformers")
