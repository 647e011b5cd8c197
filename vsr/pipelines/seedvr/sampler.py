"""The flow-matching sampler of SeedVR: straight lines between clean latents and noise.

x_t = (1 - t / 1000) x_0 + (t / 1000) noise; the network gives noise - x_0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError

FULL_NOISE = 1000.0
_SMALL_PIXELS, _LARGE_PIXELS = 256 * 256 * 37, 1280 * 720 * 145
_LARGE_SHIFT = 5.0
_COLUMNS = 128
"""16 channels, which the published script takes for columns of 8 pixels."""

Velocity = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True, slots=True)
class FlowSampling:
    """The steps of a run and the noise on the condition; `guidance` 1: positive text alone."""

    steps: int = 1
    guidance: float = 1.0
    condition_noise: float = 0.0
    """Noise level of the condition, from 0 to 1, before its shift by the size."""

    def __post_init__(self) -> None:
        if not 0 <= self.condition_noise <= 1:
            raise ConfigError(
                f"condition_noise_scale = {self.condition_noise} is out of range; it can be 0 to 1"
            )


def sample(
    noise: Float[Tensor, "t h w c"], velocity: Velocity, *, steps: int
) -> Float[Tensor, "t h w c"]:
    """Returns clean latents from noise by Euler's method: x + (next - t) / 1000 v.

    The timesteps are 1000 (1 - i / steps) for i = 0, ..., steps.
    """
    x = noise
    timesteps = [FULL_NOISE * (1 - i / steps) for i in range(steps + 1)]
    for now, following in pairwise(timesteps):
        x = x + (following - now) / FULL_NOISE * velocity(x, now)
    return x


def condition_timestep(level: float, *, height: int, width: int) -> float:
    """Returns the timestep of the noise on the condition, for latents of `height` x `width`.

    The published script shifts it as for a video of 4 (height - 1) + 1 frames, 8 width rows and 128
    columns, whatever its length: it hands over its axes in another order than is meant. Its numbers
    are kept, since the released weights are run so.
    """
    frames = 4 * (height - 1) + 1
    pixels = frames * 8 * width * _COLUMNS
    share = (pixels - _SMALL_PIXELS) / (_LARGE_PIXELS - _SMALL_PIXELS)
    shift = 1 + (_LARGE_SHIFT - 1) * share
    return FULL_NOISE * shift * level / (1 + (shift - 1) * level)


def noisy(
    latents: Float[Tensor, "t h w c"], noise: Float[Tensor, "t h w c"], timestep: float
) -> Float[Tensor, "t h w c"]:
    """Returns latents on their way to noise at a timestep."""
    share = timestep / FULL_NOISE
    return (1 - share) * latents + share * noise
