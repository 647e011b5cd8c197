"""Schedulers of diffusers for tests, their mixtures and their alphas by formula."""

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)

from vsr.pipelines.schedule import Mixture, Schedule

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 1e-4, "beta_end": 0.02}


def ddim(steps: int = 5, *, kind: str = "v_prediction", to_one: bool = False) -> DDIMScheduler:
    scheduler = DDIMScheduler(
        **BETAS,
        prediction_type=kind,
        clip_sample=False,
        set_alpha_to_one=to_one,
        steps_offset=1,
    )
    scheduler.set_timesteps(steps)
    return scheduler


def dpm(steps: int = 5, *, kind: str = "v_prediction") -> DPMSolverMultistepScheduler:
    scheduler = DPMSolverMultistepScheduler(**BETAS, prediction_type=kind)
    scheduler.set_timesteps(steps)
    return scheduler


def flow_matching(steps: int) -> FlowMatchEulerDiscreteScheduler:
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1 - i / steps for i in range(steps)])
    return scheduler


def mixtures_of(scheduler) -> tuple[Mixture, ...]:
    return Schedule.of(scheduler).mixtures


def alphas_by_formula() -> torch.Tensor:
    """The cumulated alphas of `BETAS`, by their own formula."""
    betas = torch.linspace(1e-4**0.5, 0.02**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0)


def assert_close(found: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)
