"""The denoising loop: it takes callables and a schedule, and knows neither network nor flow."""

from collections.abc import Callable, Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vsr.errors import ConfigError
from vsr.pipelines.schedule import Mixture, Schedule
from vsr.pipelines.settings import Prediction

OnStep = Callable[[int, Tensor, Tensor], Tensor | None]
"""Called after a step with its number, timestep and latents; returns the latents to go on with, or
None to end with the clean latents that are predicted by now."""


def denoise(
    latents: Float[Tensor, "b c t h w"],
    *,
    predict: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    prediction: Prediction,
    base: Float[Tensor, "b _ t h w"] | None = None,
    propagate: Callable[[Tensor], Tensor] | None = None,
    propagation_steps: Collection[int] = (),
    guides: Callable[[Tensor], Tensor] | None = None,
    on_step: OnStep | None = None,
    kept: torch.dtype | None = None,
) -> Float[Tensor, "b c t h w"]:
    """Returns a clip's clean latents; all segments step together (Zhou et al. 2024, section 3).

    `predict(latents, timestep)` is the network's output for the whole clip. At the steps (counted
    from 0) of `propagation_steps` the predicted x0 is replaced by `propagate(x0)`, which may write
    into x0; the noise stays that of the original prediction. At every step, `guides(x0)` replaces
    what is predicted by then in the same way (PGDiff, Yang et al. 2023). Second-order steps look
    back at the replaced x0, so that the jump between the two is not taken for the path's slope.

    `kept`: the number format of x0 of a residual; None: that in which it is computed.

    Raises ConfigError for a prediction from which flow matching cannot tell x0 at its start, where
    the latents are all noise.
    """
    if schedule.straight and prediction not in ("sample", "residual"):
        raise ConfigError(f"{prediction = } with flow matching; it can be sample or residual")
    before: Tensor | None = None
    for i, timestep in enumerate(schedule.timesteps):
        now, after = schedule.mixtures[i], schedule.mixtures[i + 1]
        output = predict(latents, timestep)
        x0 = clean_latents(
            output, latents, mixture=now, prediction=prediction, base=base, kept=kept
        )
        fuse = _in_turn(propagate if i in propagation_steps else None, guides)
        if after.noise == 0:
            del output, latents, base  # each as large as what propagation makes
            clean = x0 if fuse is None else fuse(x0)
            last = None if on_step is None else on_step(i, timestep, clean)
            return clean if last is None else last
        fused = x0 if fuse is None else fuse(x0.clone())
        noise = predicted_noise(output, latents, mixture=now, prediction=prediction, x0=x0)
        change = None if before is None else x0 - before
        latents = schedule.step(i, latents, x0, noise, change=change)
        if fused is not x0:
            latents = latents + after.signal * (fused - x0)
        if on_step is not None:
            stepped = on_step(i, timestep, latents)
            if stepped is None:
                return fused
            latents = stepped
        before = fused
    return latents


def _in_turn(
    first: Callable[[Tensor], Tensor] | None, second: Callable[[Tensor], Tensor] | None
) -> Callable[[Tensor], Tensor] | None:
    """Returns both changes, one after the other; None without any."""
    if first is None or second is None:
        return first or second
    return lambda x: second(first(x))


def clean_latents(
    output: Float[Tensor, "b c t h w"],
    latents: Float[Tensor, "b c t h w"],
    *,
    mixture: Mixture,
    prediction: Prediction,
    base: Float[Tensor, "b _ t h w"] | None = None,
    kept: torch.dtype | None = None,
) -> Float[Tensor, "b c t h w"]:
    """Returns x0 from the network's output at `latents` = signal * x0 + noise * n.

    The channels of `base` may be fewer: each then stands for several that follow one another.
    `kept`: see `denoise`.

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
        return _above(base, output, kept)
    return output


def predicted_noise(
    output: Float[Tensor, "b c t h w"],
    latents: Float[Tensor, "b c t h w"],
    *,
    mixture: Mixture,
    prediction: Prediction,
    x0: Float[Tensor, "b c t h w"],
) -> Float[Tensor, "b c t h w"]:
    """Returns n of `latents` = signal * x0 + noise * n, the other half of `clean_latents`."""
    if prediction == "epsilon":
        return output
    if prediction == "v_prediction":
        return mixture.signal * output + mixture.noise * latents
    return (latents - mixture.signal * x0) / mixture.noise


def starting_latents(
    noise: Float[Tensor, "b c t h w"],
    *,
    base: Float[Tensor, "b _ t h w"] | None = None,
    strength: float = 1.0,
) -> Float[Tensor, "b c t h w"]:
    """Returns where sampling begins: at noise, or at `base` plus `strength` times noise.

    `base` are the latents of the enlarged LR frames (ResShift's form, Yue et al. 2023, sec. 3.1);
    its channels may be fewer, as in `clean_latents`.
    """
    return noise if base is None else _above(base, strength * noise)


def noise_low_res(
    low_res: Float[Tensor, "b 3 t h w"],
    noise: Float[Tensor, "b 3 t h w"],
    levels: Int[Tensor, " b"],
    *,
    scheduler: Any,
) -> Float[Tensor, "b 3 t h w"]:
    """Returns small frames with noise of their levels as `scheduler` adds it; 0 adds none."""
    noisy = scheduler.add_noise(low_res, noise, levels)
    return torch.where((levels > 0).to(low_res.device).view(-1, 1, 1, 1, 1), noisy, low_res)


def _above(base: Tensor, change: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Returns base + change, with each channel of the base for several of the change."""
    dtype = dtype or torch.promote_types(base.dtype, change.dtype)
    if base.shape[1] == change.shape[1]:
        return (base + change).to(dtype)
    parts = change.unflatten(1, (base.shape[1], -1))
    out = torch.empty(parts.shape, dtype=dtype, device=change.device)
    for i in range(parts.shape[3]):  # one frame at a time, since mixed types are added in copies
        out[:, :, :, i] = base[:, :, None, i] + parts[:, :, :, i]
    return out.flatten(1, 2)


def mix(
    clean: Float[Tensor, "b c t h w"],
    start: Float[Tensor, "b c t h w"],
    sigma: Float[Tensor, " b"] | float,
) -> Float[Tensor, "b c t h w"]:
    """(1 - sigma) clean + sigma start: the straight path of flow matching (Lipman et al. 2023)."""
    if isinstance(sigma, Tensor):
        sigma = sigma.to(clean.dtype).view(-1, 1, 1, 1, 1)
    return (1 - sigma) * clean + sigma * start
