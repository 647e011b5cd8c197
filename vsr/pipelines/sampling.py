"""The denoising loop: it takes callables and a scheduler, and knows neither network nor flow."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Self, get_args

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from jaxtyping import Float
from torch import Tensor

from vsr.config import nearest
from vsr.errors import ConfigError
from vsr.ops.segments import BlendKind
from vsr.propagation.propagator import PropagationConfig

Prediction = Literal["epsilon", "v_prediction", "sample", "residual"]
ColorMatch = Literal["none", "wavelet", "adain"]
SchedulerKind = Literal["own", "ddim", "dpm++"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """What a model does unless the call says otherwise; it lies in `model_index.json`.

    `start`: sampling begins at pure noise, or at the latents of the enlarged LR frames plus
    `start_strength` times noise. `restore_detail`: after propagation each frame's fine detail gets
    its own energy back. `tile_overlap` is in LR pixels. `scheduler`: the model's own, or another on
    its noise schedule. `guidance_interval`: guidance acts at timesteps in this part of the
    schedule, 0 clean and 1 noise; elsewhere the prompt alone counts, which is half the work.
    `frame_window`: full attention sees windows of so many rows and columns of its map, which is an
    eighth of the frame in the published networks; None: all of it. `decode_frames` and
    `decode_context` stand in for those of the autoencoder.
    """

    prediction: Prediction = "v_prediction"
    scheduler: SchedulerKind = "own"
    start: Literal["noise", "low_res"] = "noise"
    start_strength: float = 1.0
    num_inference_steps: int = 30
    guidance_scale: float = 6.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    noise_level: int = 120
    prompt_suffix: str = "best quality, extremely detailed"
    negative_prompt: str = "blur, worst quality"
    segment_length: int = 8
    segment_stride: int = 6
    blend: BlendKind = "crossfade"
    propagation_steps: tuple[int, ...] = ()
    propagation: PropagationConfig = field(default_factory=PropagationConfig)
    restore_detail: bool = False
    color: ColorMatch = "none"
    tile_overlap: int = 32
    frame_window: int | None = None
    decode_frames: int | None = None
    decode_context: int | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The config of a parsed JSON object. Raises ConfigError for an unknown key."""
        return cls().overridden(values)

    def overridden(self, values: Mapping[str, Any]) -> Self:
        """This config with other values, as a preset has them.

        Raises ConfigError for an unknown key.
        """
        _check_keys(values, type(self), "sampling")
        values = dict(values)
        if isinstance(propagation := values.get("propagation"), Mapping):
            _check_keys(propagation, PropagationConfig, "propagation")
            values["propagation"] = replace(self.propagation, **propagation)
        for key in ("propagation_steps", "guidance_interval"):
            if key in values:
                values[key] = tuple(values[key])
        return replace(self, **values)


@dataclass(frozen=True, slots=True)
class Mixture:
    """x_t = signal * x0 + noise * n at one point of a schedule."""

    signal: float
    noise: float


def start_latents(
    base: Float[Tensor, "b c t h w"], noise: Float[Tensor, "b c t h w"], *, strength: float
) -> Float[Tensor, "b c t h w"]:
    """Where sampling from the LR frames begins: their own latents and a little noise (ResShift's
    form, Yue et al. 2023, section 3.1)."""
    return base + strength * noise


def mix(
    clean: Float[Tensor, "b c t h w"],
    start: Float[Tensor, "b c t h w"],
    sigma: Float[Tensor, "b"] | float,
) -> Float[Tensor, "b c t h w"]:
    """(1 - sigma) clean + sigma start: the straight path of flow matching (Lipman et al. 2023)."""
    if isinstance(sigma, Tensor):
        sigma = sigma.to(clean.dtype).view(-1, 1, 1, 1, 1)
    return (1 - sigma) * clean + sigma * start


def clean_latents(
    output: Float[Tensor, "b c t h w"],
    latents: Float[Tensor, "b c t h w"],
    *,
    mixture: Mixture,
    prediction: Prediction,
    base: Float[Tensor, "b c t h w"] | None = None,
) -> Float[Tensor, "b c t h w"]:
    """x0 from what the network predicts at `latents` = signal * x0 + noise * n.

    "epsilon": the output is n; "v_prediction": signal * n - noise * x0 (Salimans & Ho 2022), for
    mixtures whose squares sum to one; "sample": x0; "residual": x0 - `base`, where `base` are the
    latents of the enlarged LR frames.
    """
    if prediction == "epsilon":
        return (latents - mixture.noise * output) / mixture.signal
    if prediction == "v_prediction":
        return mixture.signal * latents - mixture.noise * output
    if prediction == "residual":
        assert base is not None, "a residual is one above the latents of the LR frames"
        return base + output
    return output


def denoise(
    latents: Float[Tensor, "b c t h w"],
    *,
    predict: Callable[[Tensor, Tensor], Tensor],
    scheduler: Any,
    prediction: Prediction,
    base: Float[Tensor, "b c t h w"] | None = None,
    propagate: Callable[[Tensor], Tensor] | None = None,
    propagation_steps: Collection[int] = (),
) -> Float[Tensor, "b c t h w"]:
    """The clean latents of a clip: all its segments step together (Zhou et al. 2024, section 3).

    `predict(latents, timestep)` is the network's output for the whole clip. At the steps (counted
    from 0) of `propagation_steps` the predicted x0 is replaced by `propagate(x0)`; the noise that
    the step adds back stays that of the original prediction, so that only the x0 part of the next
    latents changes: by signal_next * (propagated - x0). `scheduler.set_timesteps` has been called.

    Raises ConfigError for a prediction from which flow matching cannot tell x0 at its start, where
    the latents are all noise.
    """
    if is_flow_matching(scheduler) and prediction not in ("sample", "residual"):
        raise ConfigError(f"{prediction = } with flow matching; it can be sample or residual")
    mixtures = schedule_mixtures(scheduler)
    for i, timestep in enumerate(scheduler.timesteps):
        output = predict(latents, timestep)
        x0 = clean_latents(output, latents, mixture=mixtures[i], prediction=prediction, base=base)
        fused = propagate(x0) if propagate is not None and i in propagation_steps else x0
        if is_flow_matching(scheduler) and mixtures[i + 1].noise == 0:
            return fused  # what the formulas below come to, without a clip's worth of temporaries
        output = _scheduler_output(output, prediction, x0, latents, mixtures[i], scheduler)
        latents = scheduler.step(output, timestep, latents, return_dict=False)[0]
        if fused is not x0:
            latents = latents + mixtures[i + 1].signal * (fused - x0)
            _remember(scheduler, fused)
    return latents


def make_scheduler(kind: SchedulerKind, own: Any) -> Any:
    """A scheduler of that kind on the noise schedule of the model's `own` one.

    "dpm++" is DPM-Solver++ of second order (Lu et al. 2022) from pure noise on, where few steps
    should start (trailing timesteps, Lin et al. 2024). Raises ConfigError for flow matching, which
    has another noise schedule.
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


def set_timesteps(scheduler: Any, steps: int, *, device: torch.device) -> None:
    """Let the scheduler take `steps` steps: flow matching starts at sigma 1 and strides equally."""
    if is_flow_matching(scheduler):
        scheduler.set_timesteps(sigmas=[1 - i / steps for i in range(steps)], device=device)
    else:
        scheduler.set_timesteps(steps, device=device)


def schedule_mixtures(scheduler: Any) -> Sequence[Mixture]:
    """The mixture at every timestep of a scheduler, and the one that the last step leads to.

    Known are DDIM, flow matching, and those with a variance-preserving `sigmas` table
    (DPM-Solver++). Raises ConfigError for others.
    """
    if is_flow_matching(scheduler):
        return [Mixture(1 - float(s), float(s)) for s in scheduler.sigmas]
    if hasattr(scheduler, "sigmas") and hasattr(scheduler, "alpha_t"):
        return [_variance_preserving(1 / (1 + float(s) ** 2)) for s in scheduler.sigmas]
    if "DDIM" not in type(scheduler).__name__:
        raise ConfigError(
            f"scheduler {type(scheduler).__name__} is not known; allowed are DDIM, DPM-Solver++ "
            "and flow matching"
        )
    alphas = [float(scheduler.alphas_cumprod[int(t)]) for t in scheduler.timesteps]
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    after = int(scheduler.timesteps[-1]) - stride
    last = scheduler.alphas_cumprod[after] if after >= 0 else scheduler.final_alpha_cumprod
    return [_variance_preserving(alpha) for alpha in [*alphas, float(last)]]


def _check_keys(values: Mapping[str, Any], kind: type, what: str) -> None:
    known = [field.name for field in fields(kind)]
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown {what} key {key}{nearest(key, known)}")


def is_flow_matching(scheduler: Any) -> bool:
    """Whether the scheduler mixes by (1 - sigma) x0 + sigma n."""
    return "FlowMatch" in type(scheduler).__name__


def _scheduler_output(
    output: Tensor,
    prediction: Prediction,
    x0: Tensor,
    latents: Tensor,
    mixture: Mixture,
    scheduler: Any,
) -> Tensor:
    """What `scheduler.step` takes: the output if it is of the scheduler's kind, else from x0."""
    if is_flow_matching(scheduler):
        return (latents - x0) / mixture.noise
    kind = scheduler.config.prediction_type
    if kind == prediction:
        return output
    if kind == "sample":
        return x0
    noise = (latents - mixture.signal * x0) / mixture.noise
    return noise if kind == "epsilon" else mixture.signal * noise - mixture.noise * x0


def _remember(scheduler: Any, x0: Tensor) -> None:
    """Let a solver of several steps (DPM-Solver++) look back at this x0, not at the one predicted.

    It would take the jump between the two for the slope of the path, and jump again.
    """
    if hasattr(scheduler, "model_outputs"):
        scheduler.model_outputs[-1] = x0


def _variance_preserving(alpha_cumprod: float) -> Mixture:
    return Mixture(math.sqrt(alpha_cumprod), math.sqrt(1 - alpha_cumprod))


def sigma_timestep(sigma: Float[Tensor, "b"] | float, *, train_timesteps: int = 1000) -> Tensor:
    """The timestep by which flow matching tells the network sigma (Esser et al. 2024)."""
    return torch.as_tensor(sigma) * train_timesteps
