"""Schedules: the mixtures of signal and noise of each scheduler, and which scheduler is taken."""

import math
from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler

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
from vsr.pipelines.schedule import Schedule, make_schedule, make_scheduler, sigma_timestep


def test_the_schedule_of_a_run_leaves_the_models_scheduler_alone():
    own = ddim(5)
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
    alphas = alphas_by_formula()
    expected = [math.sqrt(alphas[t]) for t in (801, 601, 401, 201, 1, 0)]
    assert [m.signal for m in mixtures_of(ddim())] == pytest.approx(expected, abs=1e-5)


def test_mixtures_of_dpm_solver_are_those_of_its_noise_schedule_and_end_without_noise():
    scheduler = dpm()
    expected = [math.sqrt(alphas_by_formula()[t]) for t in scheduler.timesteps] + [1]
    found = [m.signal for m in mixtures_of(scheduler)]
    assert found == pytest.approx(expected, abs=1e-5)


def test_mixtures_of_flow_matching_fall_evenly():
    found = mixtures_of(flow_matching(4))
    assert [m.noise for m in found] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert all(m.signal + m.noise == pytest.approx(1) for m in found)


@pytest.mark.parametrize("make", [ddim, dpm])
def test_squares_of_other_mixtures_sum_to_one(make):
    assert all(m.signal**2 + m.noise**2 == pytest.approx(1) for m in mixtures_of(make()))


@pytest.mark.parametrize("make", [ddim, dpm, flow_matching])
def test_noise_falls_from_step_to_step(make):
    assert all(a.noise > b.noise for a, b in pairwise(mixtures_of(make(5))))


@pytest.mark.parametrize(("kind", "own"), [("own", flow_matching(1)), ("ddim", ddim())])
def test_a_model_keeps_its_own_scheduler_where_no_other_is_asked_for(kind, own):
    assert make_scheduler(kind, own) is own


def test_another_scheduler_has_the_noise_schedule_and_prediction_of_the_models_own():
    made = make_scheduler("dpm++", ddim(kind="epsilon"))
    assert isinstance(made, DPMSolverMultistepScheduler)
    assert made.config.prediction_type == "epsilon"
    assert_close(made.alphas_cumprod, alphas_by_formula().float())
    assert isinstance(make_scheduler("ddim", made), DDIMScheduler)


def test_dpm_solver_starts_at_pure_noise():
    made = make_scheduler("dpm++", ddim())
    made.set_timesteps(10)
    assert made.timesteps[0] == 999


@pytest.mark.parametrize("kind", ["ddim", "dpm++"])
def test_flow_matching_gives_way_to_no_other_scheduler(kind):
    with pytest.raises(ConfigError, match="does not fit a model with FlowMatchEuler"):
        make_scheduler(kind, flow_matching(1))


def test_an_unknown_scheduler_is_an_error_that_names_it():
    scheduler = EulerDiscreteScheduler()
    scheduler.set_timesteps(2)
    with pytest.raises(ConfigError, match="EulerDiscreteScheduler is not known; allowed are DDIM"):
        Schedule.of(scheduler)


def test_flow_matching_tells_sigma_by_the_timesteps_of_its_scheduler():
    scheduler = flow_matching(4)
    assert_close(sigma_timestep(scheduler.sigmas[:-1]), scheduler.timesteps)
