"""The denoising loop: every scheduler and kind of prediction leads to the same clean latents."""

from collections.abc import Callable

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

from tests.pipelines.schedulers import (
    BETAS,
    alphas_by_formula,
    assert_close,
    ddim,
    dpm,
    flow_matching,
    mixtures_of,
)
from vsr.errors import ConfigError
from vsr.pipelines.sampling import clean_latents, denoise, mix, predicted_noise, starting_latents
from vsr.pipelines.schedule import Mixture, Schedule

SHAPE = (1, 2, 3, 4, 5)
KINDS = ["epsilon", "v_prediction", "sample"]
ALL_KINDS = [*KINDS, "residual"]


def _noise(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


X0, START, BASE = _noise(0), _noise(1), _noise(2)


def _changing(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    """A network's stand-in: any smooth function of latents and timestep."""
    return torch.tanh(latents + BASE) * (0.5 + timestep.float() / 1000)


def _perfect(kind: str, mixtures: list[Mixture], scheduler) -> Callable:
    """A network that always predicts X0, in the form of `kind`."""
    steps = {float(t): mixture for t, mixture in zip(scheduler.timesteps, mixtures, strict=False)}

    def predict(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        m = steps[float(timestep)]
        if kind == "sample":
            return X0
        if kind == "residual":
            return X0 - BASE
        noise = (latents - m.signal * X0) / m.noise
        return noise if kind == "epsilon" else m.signal * noise - m.noise * X0

    return predict


@pytest.mark.parametrize("kind", KINDS)
def test_with_ddim_it_is_the_plain_loop_of_diffusers(kind):
    plain, scheduler = START, ddim(kind=kind)
    for timestep in scheduler.timesteps:
        plain = scheduler.step(_changing(plain, timestep), timestep, plain).prev_sample
    found = denoise(
        START, predict=_changing, schedule=Schedule.of(ddim(kind=kind)), prediction=kind
    )
    assert torch.equal(found, plain)


def _ddim_by_hand(
    steps: int, propagate: Callable | None = None, propagation_steps: tuple[int, ...] = ()
) -> torch.Tensor:
    """Song et al. 2021, eq. 12 with eta 0 and v-prediction; propagation changes x0 alone."""
    alphas, latents, stride = alphas_by_formula(), START.double(), 1000 // steps
    for i, t in enumerate(range((steps - 1) * stride + 1, 0, -stride)):
        now, after = alphas[t], alphas[max(t - stride, 0)]
        v = _changing(latents, torch.tensor(t))
        x0 = now.sqrt() * latents - (1 - now).sqrt() * v
        noise = now.sqrt() * v + (1 - now).sqrt() * latents
        if propagate is not None and i in propagation_steps:
            x0 = propagate(x0)
        latents = after.sqrt() * x0 + (1 - after).sqrt() * noise
    return latents.float()


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_with_ddim_it_is_the_published_formula(steps):
    found = denoise(
        START, predict=_changing, schedule=Schedule.of(ddim(steps)), prediction="v_prediction"
    )
    assert_close(found, _ddim_by_hand(steps))


def _half(x0: torch.Tensor) -> torch.Tensor:
    return 0.5 * x0 + 0.1


@pytest.mark.parametrize("propagation_steps", [(0,), (4,), (1, 3)])
def test_propagated_x0_enters_ddim_by_the_weight_of_the_signal(propagation_steps):
    found = denoise(
        START,
        predict=_changing,
        schedule=Schedule.of(ddim()),
        prediction="v_prediction",
        propagate=_half,
        propagation_steps=propagation_steps,
    )
    assert_close(found, _ddim_by_hand(5, _half, propagation_steps))


@pytest.mark.parametrize("steps", [1, 4])
def test_propagated_x0_of_the_last_step_is_the_result_of_flow_matching(steps):
    found = denoise(
        START,
        predict=lambda x, t: _changing(x, t),
        schedule=Schedule.of(flow_matching(steps)),
        prediction="sample",
        propagate=lambda x0: 0 * x0 + X0,
        propagation_steps=(steps - 1,),
    )
    assert_close(found, X0)


@pytest.mark.parametrize("make", [ddim, dpm, flow_matching])
def test_propagation_that_changes_nothing_changes_no_latents(make):
    prediction = "sample" if make is flow_matching else "v_prediction"
    given = {"predict": _changing, "prediction": prediction}
    plain = denoise(START, schedule=Schedule.of(make(5)), **given)
    found = denoise(
        START,
        schedule=Schedule.of(make(5)),
        **given,
        propagate=lambda x0: x0,
        propagation_steps=range(5),
    )
    assert torch.equal(found, plain)


def test_dpm_solver_does_not_take_the_jump_of_propagation_for_a_slope():
    before, after = _noise(1), _noise(2)
    paths = []
    for order in (1, 2):
        scheduler = DPMSolverMultistepScheduler(
            **BETAS, prediction_type="sample", solver_order=order
        )
        scheduler.set_timesteps(6)
        seen = []

        def network(latents, timestep, seen=seen):
            """It takes up what was propagated, and stays there."""
            seen.append(latents)
            return before if len(seen) <= 2 else after

        denoise(
            _noise(0),
            predict=network,
            schedule=Schedule.of(scheduler),
            prediction="sample",
            propagate=lambda x0: after,
            propagation_steps=(1,),
        )
        paths.append(torch.stack(seen))
    # x0 does not move but by propagation: there is no slope for the second order to follow
    assert_close(paths[1], paths[0])


def test_propagation_runs_at_its_steps_only():
    seen: list[torch.Tensor] = []
    denoise(
        START,
        predict=_changing,
        schedule=Schedule.of(ddim()),
        prediction="v_prediction",
        propagate=lambda x0: seen.append(x0) or x0,
        propagation_steps=(0, 3),
    )
    assert len(seen) == 2


def test_one_step_of_flow_matching_gives_base_and_residual():
    found = denoise(
        START,
        predict=lambda x, t: X0,
        schedule=Schedule.of(flow_matching(1)),
        prediction="residual",
        base=BASE,
    )
    assert_close(found, BASE + X0, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("kind", ["sample", "residual"])
def test_a_perfect_network_gives_x0_by_flow_matching_in_any_number_of_steps(kind, steps):
    scheduler = flow_matching(steps)
    predict = _perfect(kind, mixtures_of(scheduler), scheduler)
    assert_close(
        denoise(
            START, predict=predict, schedule=Schedule.of(scheduler), prediction=kind, base=BASE
        ),
        X0,
    )


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_perfect_network_of_any_kind_gives_x0_whatever_kind_ddim_takes(kind, theirs):
    scheduler = ddim(kind=theirs, to_one=True)
    predict = _perfect(kind, mixtures_of(scheduler), scheduler)
    found = denoise(
        START, predict=predict, schedule=Schedule.of(scheduler), prediction=kind, base=BASE
    )
    assert_close(found, X0, atol=1e-4)


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_perfect_network_of_any_kind_gives_x0_by_dpm_solver(kind, theirs):
    scheduler = dpm(kind=theirs)
    predict = _perfect(kind, mixtures_of(scheduler), scheduler)
    found = denoise(
        START, predict=predict, schedule=Schedule.of(scheduler), prediction=kind, base=BASE
    )
    assert_close(found, X0, atol=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_flow_matching_takes_no_prediction_that_hides_x0_in_pure_noise(kind):
    with pytest.raises(ConfigError, match=f"{kind}.* sample or residual"):
        denoise(START, predict=_changing, schedule=Schedule.of(flow_matching(2)), prediction=kind)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_all_kinds_of_prediction_tell_the_same_x0(kind):
    mixture = Mixture(0.8, 0.6)
    latents = mixture.signal * X0 + mixture.noise * START
    output = {
        "epsilon": START,
        "v_prediction": mixture.signal * START - mixture.noise * X0,
        "sample": X0,
        "residual": X0 - BASE,
    }[kind]
    assert_close(clean_latents(output, latents, mixture=mixture, prediction=kind, base=BASE), X0)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_all_kinds_of_prediction_tell_the_same_noise(kind):
    mixture = Mixture(0.8, 0.6)
    latents = mixture.signal * X0 + mixture.noise * START
    output = {
        "epsilon": START,
        "v_prediction": mixture.signal * START - mixture.noise * X0,
        "sample": X0,
        "residual": X0 - BASE,
    }[kind]
    found = predicted_noise(output, latents, mixture=mixture, prediction=kind, x0=X0)
    assert_close(found, START)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [2, 6, 20])
def test_with_dpm_solver_it_is_the_plain_loop_of_diffusers(kind, steps):
    plain, scheduler = START, dpm(steps, kind=kind)
    for timestep in scheduler.timesteps:
        plain = scheduler.step(_changing(plain, timestep), timestep, plain).prev_sample
    schedule = Schedule.of(dpm(steps, kind=kind))
    found = denoise(START, predict=_changing, schedule=schedule, prediction=kind)
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


def test_a_channel_of_the_base_may_stand_for_several() -> None:
    base, change = torch.randn(1, 3, 2, 4, 5), torch.randn(1, 12, 2, 4, 5)
    expected = base.repeat_interleave(4, dim=1) + 0.5 * change
    assert torch.equal(starting_latents(change, base=base, strength=0.5), expected)


def test_x0_can_be_kept_in_another_number_format_than_it_is_computed_in() -> None:
    base, residual = torch.rand(1, 1, 1, 2, 2), torch.rand(1, 3, 1, 2, 2).bfloat16()
    mixture = Mixture(signal=0.0, noise=1.0)
    options = {"mixture": mixture, "prediction": "residual", "base": base}
    exact = clean_latents(residual, residual, **options)
    kept = clean_latents(residual, residual, kept=torch.float16, **options)
    assert torch.equal(kept, exact.half())


def test_the_straight_path_goes_from_clean_to_start():
    assert torch.equal(mix(X0, START, 0.0), X0)
    assert torch.equal(mix(X0, START, 1.0), START)
    assert_close(mix(X0, START, torch.tensor([0.25])), 0.75 * X0 + 0.25 * START)


def test_sampling_from_the_small_frames_starts_at_them_with_a_little_noise():
    assert_close(starting_latents(START, base=BASE, strength=0.1), BASE + 0.1 * START)
    assert starting_latents(START) is START
