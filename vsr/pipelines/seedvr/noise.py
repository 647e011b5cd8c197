"""The random draws of SeedVR: given by the caller, or by the absolute number of a frame."""

from collections.abc import Sequence
from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vsr.models.seedvr.causal_vae import FRAMES_PER_LATENT
from vsr.models.seedvr.nadit import LATENT_CHANNELS
from vsr.ops.frames import require_shape
from vsr.ops.noise import frame_noise


@dataclass(frozen=True, slots=True)
class Draws:
    """The noise of a clip, as far as the caller gives it; the rest is drawn by `seed`.

    Noise that is drawn depends on the absolute number of the latent's last frame: not on clips,
    segments, resuming or the number of processes.
    """

    seed: int = 0
    noise: Float[Tensor, "t h w 16"] | None = None
    posterior: Float[Tensor, "1 16 t h w"] | None = None
    condition: Float[Tensor, "t h w 16"] | None = None

    def of_sampling(self, latents: range, first_frame: int, size: tuple[int, int]) -> Tensor:
        """Returns the noise `t h w 16` with which sampling starts."""
        return self._channels_last("noise", self.noise, latents, first_frame, size)

    def of_condition(self, latents: range, first_frame: int, size: tuple[int, int]) -> Tensor:
        """Returns the noise `t h w 16` on the condition."""
        return self._channels_last("condition_noise", self.condition, latents, first_frame, size)

    def of_posterior(self, latents: range, first_frame: int, size: tuple[int, int]) -> Tensor:
        """Returns the noise `1 16 t h w` that samples the latents of frames."""
        if self.posterior is not None:
            shape = (1, LATENT_CHANNELS, len(latents), *size)
            return require_shape("posterior_noise", self.posterior, shape)
        return _drawn(latents, first_frame, size, seed=self.seed, stream="seedvr posterior")[None]

    def _channels_last(
        self,
        name: str,
        given: Tensor | None,
        latents: range,
        first_frame: int,
        size: tuple[int, int],
    ) -> Tensor:
        if given is not None:
            return require_shape(name, given, (len(latents), *size, LATENT_CHANNELS))
        drawn = _drawn(latents, first_frame, size, seed=self.seed, stream=f"seedvr {name}")
        return rearrange(drawn, "c t h w -> t h w c")


def _drawn(
    latents: Sequence[int], first_frame: int, size: tuple[int, int], *, seed: int, stream: str
) -> Float[Tensor, "c t h w"]:
    numbers = [first_frame + FRAMES_PER_LATENT * latent for latent in latents]
    return frame_noise((LATENT_CHANNELS, *size), frames=numbers, seed=seed, stream=stream)
