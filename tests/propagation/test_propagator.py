"""Propagation follows motion, leaves what it cannot follow, and joins clips as one long run."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from vsr.errors import ConfigError, InputError
from vsr.ops.flow import Flows, consistent
from vsr.propagation import fusion
from vsr.propagation.detail import restore_high_band as restore_frame
from vsr.propagation.fusion import PropagationConfig, propagate_frames
from vsr.propagation.propagator import PropagationState, Propagator
from vsr.propagation.shares import RoundTripShares

FIXTURE = Path(__file__).parents[1] / "fixtures" / "propagation.safetensors"
BOTH = PropagationConfig()
FORWARD = PropagationConfig(direction="forward")


def propagate(
    latents: torch.Tensor,
    flows: Flows,
    *,
    config: PropagationConfig,
    previous: torch.Tensor | None = None,
    lookahead: int = 0,
) -> torch.Tensor:
    """All fused frames as one tensor, without the last `lookahead` ones."""
    shares = RoundTripShares(flows, config, 0 if previous is None else 1)
    fused = propagate_frames(
        list(latents.unbind(dim=2)),
        lambda i, n: shares.link(i, n, tuple(latents.shape[-2:])),
        config=config,
        previous=previous,
    )
    return torch.stack(list(fused)[: latents.shape[2] - lookahead], dim=2)


def restore_high_band(fused: torch.Tensor, original: torch.Tensor, **options) -> torch.Tensor:
    pairs = zip(fused.unbind(dim=2), original.unbind(dim=2), strict=True)
    return torch.stack([restore_frame(*pair, **options) for pair in pairs], dim=2)


def _fused(propagator: Propagator, latents: torch.Tensor) -> torch.Tensor:
    return torch.stack(list(propagator.fuse(latents.unbind(dim=2))), dim=2)


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    return load_file(FIXTURE)


@pytest.fixture(scope="module")
def flows(published) -> Flows:
    return Flows(published["flow_forward"], published["flow_backward"])


def _still(t: int, size: tuple[int, int] = (8, 9)) -> Flows:
    return Flows(torch.zeros(1, 2, t - 1, *size), torch.zeros(1, 2, t - 1, *size))


def _noise(t: int, size: tuple[int, int] = (8, 9)) -> torch.Tensor:
    return torch.randn(1, 4, t, *size, generator=torch.Generator().manual_seed(0))


def _part(flows: Flows, start: int, stop: int) -> Flows:
    return Flows(flows.forward[:, :, start:stop], flows.backward[:, :, start:stop])


def _shifting(t: int, dx: int, dy: int) -> tuple[torch.Tensor, Flows]:
    """Frames of one picture that moves by (dx, dy) whole pixels a frame, and its exact flow."""
    picture = torch.randn(1, 4, 60, 60, generator=torch.Generator().manual_seed(0))
    frames = [picture[..., 20 - k * dy :, 20 - k * dx :][..., :20, :24] for k in range(t)]
    flow = torch.tensor([dx, dy], dtype=torch.float32).view(1, 2, 1, 1, 1)
    forward = flow.expand(1, 2, t - 1, 20, 24).clone()
    return torch.stack(frames, dim=2), Flows(forward, -forward)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_it_has_the_numbers_of_the_published_pipeline(published, flows, mode):
    fused = propagate(published["x0"], flows, config=PropagationConfig(mode=mode))
    torch.testing.assert_close(fused, published[f"fused_{mode}"], atol=1e-6, rtol=0)


def test_consistency_is_the_published_one(published, flows):
    valid = consistent(
        flows.forward[:, :, 0], flows.backward[:, :, 0], alpha1=BOTH.alpha1, alpha2=BOTH.alpha2
    )
    assert torch.equal(valid, published["valid_first_pair"].bool())


@pytest.mark.parametrize("direction", ["both", "forward"])
def test_static_scene_is_a_fixed_point(direction):
    latents = _noise(1).expand(-1, -1, 5, -1, -1)
    config = PropagationConfig(direction=direction)
    assert torch.equal(propagate(latents, _still(5), config=config), latents)


@pytest.mark.parametrize("shift", [(2, 0), (0, -3), (-1, 2)])
def test_uniform_shift_is_a_fixed_point(shift):
    latents, flows = _shifting(5, *shift)
    assert torch.equal(propagate(latents, flows, config=BOTH), latents)


def test_uniform_shift_is_followed_exactly():
    truth, flows = _shifting(4, 2, -1)
    unknown = truth.clone()
    unknown[:, :, 1:] = 0
    fused = propagate(unknown, flows, config=PropagationConfig(beta=1, direction="forward"))
    for k in range(4):  # what was in the first frame is where it has moved to
        visible = (..., k, slice(None, 20 - k), slice(2 * k, None))
        assert torch.equal(fused[visible], truth[visible])


def test_occluded_places_keep_their_own_latents():
    latents = _noise(3)
    flows = _still(3)
    flows.forward[..., 2:5, 3:6] = 4.0  # there and not back again
    fused = propagate(latents, flows, config=BOTH)
    hidden = (..., slice(2, 5), slice(3, 6))
    assert torch.equal(fused[hidden][:, :, :2], latents[hidden][:, :, :2])
    assert not torch.isclose(fused[..., 0, :], latents[..., 0, :]).any()


def test_noise_around_a_still_scene_is_averaged_away():
    fused = propagate(_noise(16, (32, 32)), _still(16, (32, 32)), config=BOTH)
    # two first-order filters with pole 1/2: variance 5/27, away from the ends
    assert fused[:, :, 4:12].var().item() == pytest.approx(5 / 27, rel=0.15)


def test_a_two_clip_forward_run_with_the_state_equals_one_long_run(published, flows):
    latents, small = published["x0"], torch.zeros(1, 3, 5, 4, 4)
    whole = propagate(latents, flows, config=FORWARD)
    before = Propagator(FORWARD, small[:, :, :3], flow=_part(flows, 0, 2))
    first = _fused(before, latents[:, :, :3])
    after = Propagator(FORWARD, small[:, :, 3:], flow=_part(flows, 2, 4), state=before.state())
    second = _fused(after, latents[:, :, 3:])
    assert torch.equal(torch.cat((first, second), dim=2), whole)


def test_a_two_clip_run_that_looks_ahead_to_the_end_equals_one_long_run(published, flows):
    latents = published["x0"]
    whole = propagate(latents, flows, config=BOTH)
    first = propagate(latents, flows, config=BOTH, lookahead=3)
    rest, last = _part(flows, 1, 4), first[:, :, -1]
    second = propagate(latents[:, :, 2:], rest, config=BOTH, previous=last)
    assert torch.equal(torch.cat((first, second), dim=2), whole)


def test_looking_ahead_to_a_broken_pair_is_enough(published, flows):
    latents = published["x0"]
    flows = Flows(flows.forward.clone(), flows.backward.clone())
    flows.forward[:, :, 2] = 100.0  # nothing holds between the third and the fourth frame
    flows.backward[:, :, 2] = 100.0
    whole = propagate(latents, flows, config=BOTH)
    first = propagate(latents[:, :, :3], _part(flows, 0, 2), config=BOTH, lookahead=1)
    assert torch.equal(first, whole[:, :, :2])


@pytest.mark.parametrize("lookahead", [0, 1, 2])
def test_a_short_lookahead_misses_what_its_share_says(lookahead):
    latents = _noise(8).clamp(-1, 1)
    whole = propagate(latents, _still(8), config=BOTH)
    seen = latents[:, :, : 4 + lookahead]
    short = propagate(seen, _still(4 + lookahead), config=BOTH, lookahead=lookahead)
    error = (short - whole[:, :, :4]).abs().max().item()
    assert 0 < error <= 2 * BOTH.beta ** (lookahead + 1)  # latents differ by 2 at most


def test_one_frame_stays_unless_a_state_comes_before_it():
    latents = _noise(1)
    empty = Flows(torch.zeros(1, 2, 0, 8, 9), torch.zeros(1, 2, 0, 8, 9))
    assert torch.equal(propagate(latents, empty, config=BOTH), latents)
    state = PropagationState(torch.zeros(1, 4, 8, 9), torch.zeros(1, 3, 8, 9), frames=1)
    small = torch.zeros(1, 3, 1, 8, 9)
    fused = _fused(Propagator(BOTH, small, flow=_still(2), state=state), latents)
    torch.testing.assert_close(fused, latents / 2)


def test_half_precision_latents_stay_half_precision(published, flows):
    fused = propagate(published["x0"].half(), flows, config=BOTH)
    assert fused.dtype == torch.float16
    torch.testing.assert_close(fused.float(), published["fused_nearest"], atol=1e-2, rtol=0)


def test_the_input_is_left_alone(published, flows):
    latents = published["x0"].clone()
    propagate(latents, flows, config=BOTH)
    assert torch.equal(latents, published["x0"])


def test_the_state_counts_frames_and_owns_its_memory():
    latents, frames = _noise(3), torch.zeros(1, 3, 3, 8, 9)
    propagator = Propagator(BOTH, frames, flow=_still(3))
    fused = _fused(propagator, latents)
    state = propagator.state()
    following = Propagator(BOTH, frames, flow=_still(4), state=state)
    _fused(following, latents)
    assert following.state().frames == 6
    assert torch.equal(state.latents, fused[:, :, -1])
    assert state.latents.untyped_storage().nbytes() == fused.untyped_storage().nbytes() // 3


def test_the_state_has_the_last_frame_of_each_propagation_step():
    propagator = Propagator(BOTH, torch.zeros(1, 3, 3, 8, 9), flow=_still(3))
    steps = [_fused(propagator, factor * _noise(3)) for factor in (1, 2, 3)]
    state = propagator.state()
    assert [torch.equal(state.at(i).latents, steps[i][:, :, -1]) for i in range(3)] == [True] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_state_comes_back_from_bytes_to_the_bit(dtype: torch.dtype, steps: int):
    generator = torch.Generator().manual_seed(0)
    latents, frame, earlier = (
        torch.randn(*shape, generator=generator).to(dtype)
        for shape in ((1, 4, 6, 5), (1, 3, 6, 5), (2, 1, 4, 6, 5))
    )
    given = PropagationState(latents, frame, 17, earlier if steps else None)
    found = PropagationState.from_bytes(given.to_bytes(), torch.device("cpu"))
    for field in fields(PropagationState):
        a, b = getattr(given, field.name), getattr(found, field.name)
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)


def test_a_wrong_number_of_pairs_says_what_is_needed():
    frames = torch.zeros(1, 3, 3, 8, 9)
    with pytest.raises(InputError, match="found 3 pairs, 3 frames need 2"):
        Propagator(BOTH, frames, flow=_still(4))
    with pytest.raises(InputError, match="found 1 pairs, 3 frames need 2"):
        Propagator(BOTH, frames, flow=_still(2))
    state = PropagationState(torch.zeros(1, 4, 8, 9), torch.zeros(1, 3, 8, 9), frames=1)
    with pytest.raises(InputError, match="after a state"):
        Propagator(BOTH, frames, flow=_still(3), state=state)


def test_a_state_of_another_size_says_which():
    frames = torch.zeros(1, 3, 3, 8, 9)
    state = PropagationState(torch.zeros(1, 4, 8, 8), torch.zeros(1, 3, 8, 9), frames=1)
    propagator = Propagator(BOTH, frames, flow=_still(4), state=state)
    with pytest.raises(InputError, match=r"state\.latents has shape .* these frames need"):
        _fused(propagator, _noise(3))


@pytest.mark.parametrize(
    ("forward", "backward", "words"),
    [
        ((1, 2, 4, 8, 9), (1, 2, 5, 8, 9), "differ in shape"),
        ((1, 2, 4, 8, 9), (1, 2, 4, 8, 8), "differ in shape"),
        ((1, 3, 4, 8, 9), (1, 3, 4, 8, 9), r"give \(b, 2, pairs, h, w\)"),
        ((2, 4, 8, 9), (2, 4, 8, 9), r"give \(b, 2, pairs, h, w\)"),
    ],
)
def test_flows_that_do_not_fit_each_other_are_refused(forward, backward, words):
    with pytest.raises(InputError, match=words):
        Flows(torch.zeros(forward), torch.zeros(backward))


@pytest.mark.parametrize(
    "wrong", [{"beta": 1.5}, {"alpha1": -1.0}, {"alpha2": -0.1}, {"gate": 0.0}, {"count": 3.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError):
        replace(BOTH, **wrong)


def _texture(t: int = 2, size: tuple[int, int] = (64, 80)) -> torch.Tensor:
    rough = torch.randn(1, 3, t, *size, generator=torch.Generator().manual_seed(0))
    return F.avg_pool3d(rough, (1, 3, 3), stride=1, padding=(0, 1, 1))


def _detail(frame: torch.Tensor) -> torch.Tensor:
    return frame - _blurred(frame, 1.5)


def test_frames_that_lost_no_detail_stay():
    frames = _texture()
    torch.testing.assert_close(restore_high_band(frames, frames), frames)


def test_lost_contrast_of_the_detail_is_given_back():
    original = _texture(1)[:, :, 0]
    fused = original - 0.4 * _detail(original)
    restored = restore_high_band(fused[:, :, None], original[:, :, None])[:, :, 0]
    wanted = _detail(original).square().mean()
    assert _detail(fused).square().mean() < 0.55 * wanted
    # not all: what is added lies partly below the band, where the blur takes it again
    assert _detail(restored).square().mean().item() == pytest.approx(wanted.item(), rel=0.15)


def test_detail_is_never_weakened_nor_more_than_doubled():
    frames = _texture()
    flat = torch.zeros_like(frames)
    torch.testing.assert_close(restore_high_band(frames, flat), frames)
    strong = restore_high_band(frames, 10 * frames)
    weak = restore_high_band(frames, 10 * frames, max_gain=1.0)
    torch.testing.assert_close(weak, frames)
    torch.testing.assert_close(
        strong - frames, restore_high_band(frames, 10 * frames, max_gain=3.0) / 2 - frames / 2
    )


def test_a_flat_fused_frame_stays_flat():
    flat = torch.full((1, 3, 1, 30, 41), 0.25)
    restored = restore_high_band(flat, _texture(1, (30, 41)))
    torch.testing.assert_close(restored, flat, atol=1e-5, rtol=0)


def test_energies_on_reduced_maps_give_nearly_the_gain_of_full_maps():
    original, fused = _texture(1), 0.6 * _texture(1) + 0.1
    fused[..., :40] *= 0.8
    frame, other = fused[:, :, 0], original[:, :, 0]
    detail, target = _detail(frame), _detail(other)
    energies = [_blurred(x.square().sum(1, keepdim=True), 8.0) for x in (target, detail)]
    gain = (energies[0] / energies[1]).sqrt().clamp(1, 2)
    expected = frame + (gain - 1) * detail
    # bilinear enlargement of a map blurred by 8 pixels: gains agree to a few hundredths
    error = (restore_high_band(fused, original)[:, :, 0] - expected).abs()
    assert error.max() < 0.05 * detail.abs().max()


def _blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    radius = round(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    padded = F.pad(x, (radius,) * 4, mode="replicate")
    return F.conv2d(padded.transpose(0, 1), kernel[None, None]).transpose(0, 1)


@pytest.mark.parametrize("rows", [16, 21])
def test_large_frames_are_fused_in_strips_to_the_same_values(monkeypatch, rows):
    generator = torch.Generator().manual_seed(0)
    own, other = torch.randn(2, 1, 3, rows, 12, generator=generator)
    flow = 3 * torch.randn(1, 2, rows, 12, generator=generator)
    link = fusion.Link(flow, torch.rand(1, 1, rows, 12, generator=generator))
    config = PropagationConfig(mode="bicubic", padding="border")
    whole = fusion.fuse(own, other, link, config=config)
    monkeypatch.setattr(fusion, "_LARGEST_AT_ONCE", 1)
    assert torch.equal(fusion.fuse(own, other, link, config=config), whole)
