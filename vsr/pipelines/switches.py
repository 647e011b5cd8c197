"""The switches that users of diffusers know: each works here, or is refused with a remedy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, cast

import torch
from torch import Tensor

from vsr.errors import ConfigError
from vsr.pipelines.sampling import OnStep

StepCallback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any] | None]
"""diffusers' callback: the pipeline, the step, the timestep and named tensors, which it may return
changed."""
_OFFLOAD = "take enable_model_cpu_offload, and tile=N in the call for still less memory"
_TENSORS = ("latents",)
"""The tensors that a callback can see and replace."""


class DiffusersSwitches:
    """Methods of DiffusionPipeline that would change nothing here, and its step callback."""

    unet: Any
    _interrupt: bool = False
    """A callback sets it to end sampling after its step; see diffusers' pipelines."""

    @property
    def interrupt(self) -> bool:
        """True if a callback has asked for the end of sampling."""
        return self._interrupt

    def enable_xformers_memory_efficient_attention(self, attention_op: Any = None) -> None:
        """Let the U-Net attend by xformers. Raises ConfigError for an operator of one's own."""
        if attention_op is not None:
            raise ConfigError("attention_op is chosen by xformers itself: leave it out")
        self.unet.set_attention_backend("xformers")

    def disable_xformers_memory_efficient_attention(self) -> None:
        """Let the U-Net attend by PyTorch."""
        self.unet.set_attention_backend("sdpa")

    def enable_attention_slicing(self, slice_size: str | int | None = "auto") -> None:
        """Raises ConfigError, unless it is turned off: fused attention has nothing to slice."""
        if slice_size is not None:
            _refuse("enable_attention_slicing", "attention is fused and needs no slices")

    def disable_attention_slicing(self) -> None:
        """Changes nothing: attention is never sliced."""

    def enable_sequential_cpu_offload(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ConfigError: layers that move one by one do not fit these networks."""
        del args, kwargs
        raise ConfigError(f"enable_sequential_cpu_offload does not fit these networks: {_OFFLOAD}")

    def enable_group_offload(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ConfigError: layers that move in groups do not fit these networks."""
        del args, kwargs
        raise ConfigError(f"enable_group_offload does not fit these networks: {_OFFLOAD}")

    def enable_vae_slicing(self) -> NoReturn:
        """Raises ConfigError: frames are decoded in groups already."""
        _refuse("enable_vae_slicing", "frames are decoded a few at a time already (decode_frames)")

    def enable_vae_tiling(self) -> NoReturn:
        """Raises ConfigError: tiles are chosen in the call."""
        _refuse("enable_vae_tiling", "tiles are an option of the call")

    def enable_freeu(self, s1: float, s2: float, b1: float, b2: float) -> NoReturn:
        """Raises ConfigError: FreeU is for other networks."""
        del s1, s2, b1, b2
        raise ConfigError("enable_freeu does not fit this U-Net: leave it out")

    def fuse_qkv_projections(self, unet: bool = True, vae: bool = True) -> NoReturn:
        """Raises ConfigError: the layers of these networks stay as they are."""
        del unet, vae
        raise ConfigError("fuse_qkv_projections does not fit these networks: leave it out")

    def _on_step(
        self, callback: StepCallback | None, tensors: Sequence[str], *, steps: int
    ) -> OnStep | None:
        """The hook of the denoising loop for a callback and a progress bar, if there is either.

        A bar is shown once `set_progress_bar_config` was called. Raises ConfigError for tensors
        that a callback cannot have.
        """
        self._interrupt = False
        unknown = [name for name in tensors if name not in _TENSORS]
        if unknown:
            raise ConfigError(
                f"callback_on_step_end_tensor_inputs has {unknown[0]}; it can be "
                f"{', '.join(_TENSORS)}"
            )
        this = cast("Any", self)
        bar = this.progress_bar(total=steps) if hasattr(self, "_progress_bar_config") else None
        if callback is None and bar is None:
            return None

        def on_step(step: int, timestep: Tensor, latents: Tensor) -> Tensor | None:
            if callback is not None:
                given = {"latents": latents} if "latents" in tensors else {}
                latents = (callback(self, step, timestep, given) or {}).get("latents", latents)
            if bar is not None:
                bar.update()
                if step == steps - 1 or self.interrupt:
                    bar.close()
            return None if self.interrupt else latents

        return on_step


def seeded(
    overrides: Mapping[str, Any],
    generator: torch.Generator | Sequence[torch.Generator] | None,
) -> Mapping[str, Any]:
    """Returns the overrides with a seed drawn from a generator, if one is given.

    Noise is drawn for each frame from the seed and the frame's number, so that clips, tiles and
    segments change nothing. A generator moves on with each call, as it does in diffusers. Raises
    ConfigError for a list of generators, and for a seed beside a generator.
    """
    if generator is None:
        return overrides
    if isinstance(generator, Sequence):
        raise ConfigError(f"generator is a {type(generator).__name__}; give one torch.Generator")
    if overrides.get("seed") is not None:
        raise ConfigError(f"seed = {overrides['seed']} and a generator are given: give one of them")
    drawn = torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device)
    return {**overrides, "seed": int(drawn)}


def _refuse(name: str, reason: str) -> NoReturn:
    raise ConfigError(f"{name} changes nothing here, since {reason}: for less memory give tile=N")
