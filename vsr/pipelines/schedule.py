"""Noise schedules: the timesteps of a run, the mixture at each, and the step from one to the next.

Timesteps and noise tables come from diffusers' schedulers; the solvers are written here as pure
functions of the predictions.
"""

import math
from dataclasses import dataclass
from typing import Any, Self, get_args

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
    FlowMatchEulerDiscreteScheduler,
)
from jaxtyping import Float, Shaped
from torch import Tensor

from vsr.errors import ConfigError
from vsr.pipelines.settings import SchedulerKind

_FEW_STEPS = 15
"""With fewer steps the last one of DPM-Solver++ is of first order, which is more stable."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """x_t = signal * x0 + noise * n at one point of a schedule."""

    signal: float
    noise: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """Timesteps from noisy to clean, and how a sampler steps along them.

    `mixtures` has one entry more than `timesteps`: the last step leads there. `order` 1 is DDIM
    (Song et al. 2021) or, on straight paths, Euler's method; order 2 is DPM-Solver++ 2M (Lu et al.
    2022, algorithm 2). `straight`: signal and noise sum to one, as in flow matching; else their
    squares do.
    """

    timesteps: Shaped[Tensor, " steps"]
    mixtures: tuple[Mixture, ...]
    train_timesteps: int
    order: int = 1
    straight: bool = False

    @classmethod
    def of(cls, scheduler: Any) -> Self:
        """Returns the schedule of a diffusers scheduler whose timesteps are set.

        Raises ConfigError for another kind than DDIM, DPM-Solver++ and flow matching, and for
        values of these that this project has no solver for.
        """
        straight = is_flow_matching(scheduler)
        order = 1
        if straight:
            mixtures = [Mixture(1 - float(s), float(s)) for s in scheduler.sigmas]
        elif isinstance(scheduler, DPMSolverMultistepScheduler):
            mixtures = [_variance_preserving(1 / (1 + s.double() ** 2)) for s in scheduler.sigmas]
            order = scheduler.config["solver_order"]
        elif isinstance(scheduler, DDIMScheduler):
            mixtures = [_variance_preserving(alpha) for alpha in _ddim_alphas(scheduler)]
        else:
            raise ConfigError(
                f"scheduler {type(scheduler).__name__} is not known; allowed are DDIM, "
                "DPM-Solver++ and flow matching"
            )
        _check_config(scheduler)
        timesteps: Tensor = scheduler.timesteps
        train_timesteps = scheduler.config["num_train_timesteps"]
        return cls(timesteps, tuple(mixtures), train_timesteps, order, straight)

    def step(
        self,
        i: int,
        latents: Float[Tensor, "b c t h w"],
        x0: Float[Tensor, "b c t h w"],
        noise: Float[Tensor, "b c t h w"],
        *,
        change: Float[Tensor, "b c t h w"] | None = None,
    ) -> Float[Tensor, "b c t h w"]:
        """Returns the latents after step `i`, from those before it and the predicted x0 and noise.

        `change`: how far the prediction of x0 has moved since the step before, which second order
        follows; None at the first step.
        """
        now, after = self.mixtures[i], self.mixtures[i + 1]
        if self.straight:
            return latents + (after.noise - now.noise) * ((latents - x0) / now.noise)
        stepped = after.signal * x0 + after.noise * noise
        if change is None or not self._is_second_order(i):
            return stepped
        return stepped + self._slope(i) * change

    def _is_second_order(self, i: int) -> bool:
        steps = len(self.timesteps)
        ends = self.mixtures[i + 1].noise == 0 or (i == steps - 1 and steps < _FEW_STEPS)
        return self.order == 2 and i > 0 and not ends

    def _slope(self, i: int) -> float:
        """alpha (1 - e^-h) h / (2 h'), with h and h' the strides of log(signal / noise)."""
        before, now, after = (
            math.log(mixture.signal / mixture.noise) for mixture in self.mixtures[i - 1 : i + 2]
        )
        h = after - now
        return self.mixtures[i + 1].signal * -math.expm1(-h) * h / (2 * (now - before))


def make_schedule(
    scheduler: Any, steps: int, *, device: torch.device, kind: SchedulerKind = "own"
) -> Schedule:
    """Returns the schedule of `steps` steps by the model's own `scheduler`, or by another `kind`.

    Flow matching starts at sigma 1 and strides equally. `scheduler` itself is left as it is.
    """
    chosen = make_scheduler(kind, scheduler)
    fresh: Any = type(chosen).from_config(chosen.config)
    if is_flow_matching(fresh):
        fresh.set_timesteps(sigmas=[1 - i / steps for i in range(steps)], device=device)
    else:
        fresh.set_timesteps(num_inference_steps=steps, device=device)
    return Schedule.of(fresh)


def make_scheduler(kind: SchedulerKind, own: Any) -> Any:
    """Returns a scheduler of that kind on the noise schedule of the model's `own` one.

    "dpm++" is DPM-Solver++ of second order from pure noise on, where few steps should start
    (trailing timesteps, Lin et al. 2024). Raises ConfigError for flow matching, which has another
    noise schedule.
    """
    if kind == "own" or (kind == "ddim" and isinstance(own, DDIMScheduler)):
        return own
    if not hasattr(own, "alphas_cumprod"):
        raise ConfigError(
            f"scheduler {kind} does not fit a model with {type(own).__name__}: leave it out"
        )
    if kind == "ddim":
        return DDIMScheduler.from_config(own.config)
    if kind == "dpm++":
        return DPMSolverMultistepScheduler.from_config(own.config, timestep_spacing="trailing")
    raise ConfigError(f"unknown scheduler {kind}; allowed are {', '.join(get_args(SchedulerKind))}")


def is_flow_matching(scheduler: Any) -> bool:
    """True if the scheduler mixes by (1 - sigma) x0 + sigma n."""
    return isinstance(scheduler, FlowMatchEulerDiscreteScheduler)


def sigma_timestep(sigma: Float[Tensor, " b"] | float, *, train_timesteps: int = 1000) -> Tensor:
    """Returns the timestep by which flow matching tells the network sigma (Esser et al. 2024)."""
    return torch.as_tensor(sigma) * train_timesteps


def _ddim_alphas(scheduler: DDIMScheduler) -> list[Tensor]:
    alphas = [scheduler.alphas_cumprod[int(t)] for t in scheduler.timesteps]
    stride = scheduler.config["num_train_timesteps"] // len(alphas)
    after = int(scheduler.timesteps[-1]) - stride
    last = scheduler.alphas_cumprod[after] if after >= 0 else scheduler.final_alpha_cumprod
    return [*alphas, torch.as_tensor(last)]


def _check_config(scheduler: Any) -> None:
    allowed = {"solver_order": (1, 2), "algorithm_type": ("dpmsolver++",), "thresholding": (False,)}
    for key, values in allowed.items():
        value = scheduler.config.get(key, values[0])
        if value not in values:
            raise ConfigError(
                f"the scheduler's {key} is {value}; it can be {' or '.join(map(str, values))}"
            )


def _variance_preserving(alpha_cumprod: Tensor) -> Mixture:
    # in the type of the table, as diffusers computes them
    return Mixture(float(alpha_cumprod.sqrt()), float((1 - alpha_cumprod).sqrt()))
