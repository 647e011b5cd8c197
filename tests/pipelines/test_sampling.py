"""The denoising loop: every scheduler and kind of prediction leads to the same clean latents."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

from vsr.errors import ConfigError
from vsr.pipelines.sampling import clean_latents, denoise, mix, predicted_noise, starting_latents
from vsr.pipelines.schedule import Mixture, Schedule, make_schedule, make_scheduler, sigma_timestep
from vsr.pipelines.settings import SamplingConfig
from vsr.propagation.fusion import PropagationConfig

SHAPE = (1, 2, 3, 4, 5)
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}
KINDS = ["epsilon", "v_prediction", "sample"]
ALL_KINDS = [*KINDS, "residual"]


def _noise(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


X0, START, BASE = _noise(0), _noise(1), _noise(2)


def _ddim(steps: int = 5, *, kind: str = "v_prediction", to_one: bool = False) -> DDIMScheduler:
    scheduler = DDIMScheduler(
        **BETAS,
        prediction_type=kind,
        clip_sample=False,
        set_alpha_to_one=to_one,
        steps_offset=1,
    )
    scheduler.set_timesteps(steps)
    return scheduler


def _dpm(steps: int = 5, *, kind: str = "v_prediction") -> DPMSolverMultistepScheduler:
    scheduler = DPMSolverMultistepScheduler(**BETAS, prediction_type=kind)
    scheduler.set_timesteps(steps)
    return scheduler


def _flow_matching(steps: int) -> FlowMatchEulerDiscreteScheduler:
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1 - i / steps for i in range(steps)])
    return scheduler


def _mixtures(scheduler) -> tuple[Mixture, ...]:
    return Schedule.of(scheduler).mixtures


def _alphas() -> torch.Tensor:
    """The cumulated alphas of `BETAS`, by their own formula."""
    betas = torch.linspace(1e-4**0.5, 0.02**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0)


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


def _close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_with_ddim_it_is_the_plain_loop_of_diffusers(kind):
    plain, scheduler = START, _ddim(kind=kind)
    for timestep in scheduler.timesteps:
        plain = scheduler.step(_changing(plain, timestep), timestep, plain).prev_sample
    found = denoise(
        START, predict=_changing, schedule=Schedule.of(_ddim(kind=kind)), prediction=kind
    )
    assert torch.equal(found, plain)


def _ddim_by_hand(
    steps: int, propagate: Callable | None = None, propagation_steps: tuple[int, ...] = ()
) -> torch.Tensor:
    """Song et al. 2021, eq. 12 with eta 0 and v-prediction; propagation changes x0 alone."""
    alphas, latents, stride = _alphas(), START.double(), 1000 // steps
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
        START, predict=_changing, schedule=Schedule.of(_ddim(steps)), prediction="v_prediction"
    )
    _close(found, _ddim_by_hand(steps))


def _half(x0: torch.Tensor) -> torch.Tensor:
    return 0.5 * x0 + 0.1


@pytest.mark.parametrize("propagation_steps", [(0,), (4,), (1, 3)])
def test_propagated_x0_enters_ddim_by_the_weight_of_the_signal(propagation_steps):
    found = denoise(
        START,
        predict=_changing,
        schedule=Schedule.of(_ddim()),
        prediction="v_prediction",
        propagate=_half,
        propagation_steps=propagation_steps,
    )
    _close(found, _ddim_by_hand(5, _half, propagation_steps))


@pytest.mark.parametrize("steps", [1, 4])
def test_propagated_x0_of_the_last_step_is_the_result_of_flow_matching(steps):
    found = denoise(
        START,
        predict=lambda x, t: _changing(x, t),
        schedule=Schedule.of(_flow_matching(steps)),
        prediction="sample",
        propagate=lambda x0: 0 * x0 + X0,
        propagation_steps=(steps - 1,),
    )
    _close(found, X0)


@pytest.mark.parametrize("make", [_ddim, _dpm, _flow_matching])
def test_propagation_that_changes_nothing_changes_no_latents(make):
    prediction = "sample" if make is _flow_matching else "v_prediction"
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
    _close(paths[1], paths[0])


def test_propagation_runs_at_its_steps_only():
    seen: list[torch.Tensor] = []
    denoise(
        START,
        predict=_changing,
        schedule=Schedule.of(_ddim()),
        prediction="v_prediction",
        propagate=lambda x0: seen.append(x0) or x0,
        propagation_steps=(0, 3),
    )
    assert len(seen) == 2


def test_one_step_of_flow_matching_gives_base_and_residual():
    found = denoise(
        START,
        predict=lambda x, t: X0,
        schedule=Schedule.of(_flow_matching(1)),
        prediction="residual",
        base=BASE,
    )
    _close(found, BASE + X0, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("kind", ["sample", "residual"])
def test_a_perfect_network_gives_x0_by_flow_matching_in_any_number_of_steps(kind, steps):
    scheduler = _flow_matching(steps)
    predict = _perfect(kind, _mixtures(scheduler), scheduler)
    _close(
        denoise(
            START, predict=predict, schedule=Schedule.of(scheduler), prediction=kind, base=BASE
        ),
        X0,
    )


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_perfect_network_of_any_kind_gives_x0_whatever_kind_ddim_takes(kind, theirs):
    scheduler = _ddim(kind=theirs, to_one=True)
    predict = _perfect(kind, _mixtures(scheduler), scheduler)
    found = denoise(
        START, predict=predict, schedule=Schedule.of(scheduler), prediction=kind, base=BASE
    )
    _close(found, X0, atol=1e-4)


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_perfect_network_of_any_kind_gives_x0_by_dpm_solver(kind, theirs):
    scheduler = _dpm(kind=theirs)
    predict = _perfect(kind, _mixtures(scheduler), scheduler)
    found = denoise(
        START, predict=predict, schedule=Schedule.of(scheduler), prediction=kind, base=BASE
    )
    _close(found, X0, atol=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_flow_matching_takes_no_prediction_that_hides_x0_in_pure_noise(kind):
    with pytest.raises(ConfigError, match=f"{kind}.* sample or residual"):
        denoise(START, predict=_changing, schedule=Schedule.of(_flow_matching(2)), prediction=kind)


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
    _close(clean_latents(output, latents, mixture=mixture, prediction=kind, base=BASE), X0)


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
    _close(found, START)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [2, 6, 20])
def test_with_dpm_solver_it_is_the_plain_loop_of_diffusers(kind, steps):
    plain, scheduler = START, _dpm(steps, kind=kind)
    for timestep in scheduler.timesteps:
        plain = scheduler.step(_changing(plain, timestep), timestep, plain).prev_sample
    schedule = Schedule.of(_dpm(steps, kind=kind))
    found = denoise(START, predict=_changing, schedule=schedule, prediction=kind)
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)


def test_the_schedule_of_a_run_leaves_the_models_scheduler_alone():
    own = _ddim(5)
    timesteps = own.timesteps.clone()
    assert len(make_schedule(own, 9, device=torch.device("cpu")).timesteps) == 9
    assert torch.equal(own.timesteps, timesteps)


@pytest.mark.parametrize(
    ("key", "value"), [("solver_order", 3), ("algorithm_type", "sde-dpmsolver++")]
)
def test_a_solver_that_is_not_there_is_an_error_that_says_which_are(key, value):
    scheduler = DPMSolverMultistepScheduler(**BETAS, **{key: value})
    scheduler.set_timesteps(3)
    with pytest.raises(ConfigError, match=f"{key} is .*; it can be"):
        Schedule.of(scheduler)


def test_mixtures_of_ddim_are_those_of_its_noise_schedule_and_end_at_its_first_alpha():
    alphas = _alphas()
    expected = [math.sqrt(alphas[t]) for t in (801, 601, 401, 201, 1, 0)]
    assert [m.signal for m in _mixtures(_ddim())] == pytest.approx(expected, abs=1e-5)


def test_mixtures_of_dpm_solver_are_those_of_its_noise_schedule_and_end_without_noise():
    scheduler = _dpm()
    expected = [math.sqrt(_alphas()[t]) for t in scheduler.timesteps] + [1]
    found = [m.signal for m in _mixtures(scheduler)]
    assert found == pytest.approx(expected, abs=1e-5)


def test_mixtures_of_flow_matching_fall_evenly():
    found = _mixtures(_flow_matching(4))
    assert [m.noise for m in found] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert all(m.signal + m.noise == pytest.approx(1) for m in found)


@pytest.mark.parametrize("make", [_ddim, _dpm])
def test_squares_of_other_mixtures_sum_to_one(make):
    assert all(m.signal**2 + m.noise**2 == pytest.approx(1) for m in _mixtures(make()))


@pytest.mark.parametrize("make", [_ddim, _dpm, _flow_matching])
def test_noise_falls_from_step_to_step(make):
    assert all(a.noise > b.noise for a, b in pairwise(_mixtures(make(5))))


@pytest.mark.parametrize(("kind", "own"), [("own", _flow_matching(1)), ("ddim", _ddim())])
def test_a_model_keeps_its_own_scheduler_where_no_other_is_asked_for(kind, own):
    assert make_scheduler(kind, own) is own


def test_another_scheduler_has_the_noise_schedule_and_prediction_of_the_models_own():
    made = make_scheduler("dpm++", _ddim(kind="epsilon"))
    assert isinstance(made, DPMSolverMultistepScheduler)
    assert made.config.prediction_type == "epsilon"
    _close(made.alphas_cumprod, _alphas().float())
    assert isinstance(make_scheduler("ddim", made), DDIMScheduler)


def test_dpm_solver_starts_at_pure_noise():
    made = make_scheduler("dpm++", _ddim())
    made.set_timesteps(10)
    assert made.timesteps[0] == 999


@pytest.mark.parametrize("kind", ["ddim", "dpm++"])
def test_flow_matching_gives_way_to_no_other_scheduler(kind):
    with pytest.raises(ConfigError, match="does not fit a model with FlowMatchEuler"):
        make_scheduler(kind, _flow_matching(1))


def test_an_unknown_scheduler_is_an_error_that_names_it():
    scheduler = EulerDiscreteScheduler()
    scheduler.set_timesteps(2)
    with pytest.raises(ConfigError, match="EulerDiscreteScheduler is not known; allowed are DDIM"):
        Schedule.of(scheduler)


def test_the_straight_path_goes_from_clean_to_start():
    assert torch.equal(mix(X0, START, 0.0), X0)
    assert torch.equal(mix(X0, START, 1.0), START)
    _close(mix(X0, START, torch.tensor([0.25])), 0.75 * X0 + 0.25 * START)


def test_sampling_from_the_small_frames_starts_at_them_with_a_little_noise():
    _close(starting_latents(START, base=BASE, strength=0.1), BASE + 0.1 * START)
    assert starting_latents(START) is START


def test_flow_matching_tells_sigma_by_the_timesteps_of_its_scheduler():
    scheduler = _flow_matching(4)
    _close(sigma_timestep(scheduler.sigmas[:-1]), scheduler.timesteps)


def test_a_sampling_config_is_made_of_parsed_json():
    config = SamplingConfig.from_dict(
        {"prediction": "sample", "propagation_steps": [1, 2], "propagation": {"beta": 0.25}}
    )
    assert config == SamplingConfig(
        prediction="sample",
        propagation_steps=(1, 2),
        propagation=PropagationConfig(beta=0.25),
    )


def test_a_config_keeps_what_is_not_overridden():
    config = SamplingConfig(noise_level=7, propagation=PropagationConfig(beta=0.25, alpha1=0.5))
    found = config.overridden({"guidance_interval": [0.2, 1], "propagation": {"beta": 1.0}})
    assert (found.noise_level, found.guidance_interval) == (7, (0.2, 1))
    assert found.propagation == PropagationConfig(beta=1.0, alpha1=0.5)


def test_an_unknown_propagation_key_is_an_error_that_suggests_the_right_one():
    with pytest.raises(ConfigError, match="propagation key betta; did you mean beta"):
        SamplingConfig.from_dict({"propagation": {"betta": 1}})


def test_an_unknown_sampling_key_is_an_error_that_suggests_the_right_one():
    with pytest.raises(ConfigError, match="start_strenght; did you mean start_strength"):
        SamplingConfig.from_dict({"start_strenght": 1})
