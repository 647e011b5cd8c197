"""ImageUpscalePipeline: an image network for each frame, its flicker taken out along the flow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from vsr.config import Color
from vsr.errors import ConfigError
from vsr.models.flow_estimators import FlowEstimator, flow_estimator
from vsr.models.image import ImageNetwork
from vsr.ops.flow import Flows
from vsr.ops.frames import OutputType, as_low_res, collect, match_colors
from vsr.ops.tiles import Tile, blend_tiles, fit_tiles
from vsr.propagation.propagator import (
    PropagationConfig,
    PropagationState,
    carry_over,
    propagate_frames,
    restore_high_band,
)
from vsr.runtime.timing import NullTimer, Timer

# Large frames of a clip wait in memory until the backward pass is through: half the bytes of
# float32, at a sixteenth of an 8-bit step.
_KEPT = torch.float16


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUpscaleConfig:
    """What the pipeline does unless the call says otherwise.

    `propagation` is for pixels of the large frames; its values were measured on real networks
    (docs/image_models.md). `tile` and `tile_overlap` are in pixels of the small frames; frames of
    up to `tile` squared pixels are not cut.
    """

    propagation_steps: tuple[int, ...] = (0,)
    propagation: PropagationConfig = field(
        default_factory=lambda: PropagationConfig(
            beta=0.5, alpha1=0.01, alpha2=0.5, mode="bicubic", padding="border"
        )
    )
    restore_detail: bool = True
    color: Color = "none"
    tile: int = 512
    tile_overlap: int = 32


@dataclass(slots=True)
class ImageUpscaleOutput:
    """A finished clip."""

    frames: (
        UInt8[np.ndarray, "t h2 w2 3"]
        | UInt16[np.ndarray, "t h2 w2 3"]
        | Float[Tensor, "1 3 t h2 w2"]
    )
    state: PropagationState | None
    """What the next clip of the same shot begins with; None where nothing was propagated."""


class ImageUpscalePipeline:
    """Makes clips larger by a network for images; see `from_file` and `__call__`."""

    def __init__(self, network: ImageNetwork, settings: ImageUpscaleConfig | None = None) -> None:
        self.network = network
        self.settings = settings or ImageUpscaleConfig()
        self.flow_estimator: FlowEstimator | None = None

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        torch_dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Self:
        """The pipeline of the network in a .safetensors or .pth file.

        Raises ModelError where there is none, ConfigError for a `torch_dtype` it cannot compute in.
        """
        return cls(ImageNetwork.load(path).to(device, torch_dtype))

    @property
    def scale(self) -> int:
        """How many times larger the frames become."""
        return self.network.scale

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the network."""
        return self.network.descriptor.dtype

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.device

    def to(self, dtype: torch.dtype) -> Self:
        """Change the network's number format. Raises ConfigError for one it does not compute in."""
        self.network.to(self.device, dtype)
        return self

    @torch.no_grad()
    def __call__(
        self,
        frames: UInt8[np.ndarray, "t h w 3"]
        | UInt16[np.ndarray, "t h w 3"]
        | UInt8[Tensor, "t h w 3"]
        | Float[Tensor, "1 3 t h w"],
        *,
        propagation_steps: Sequence[int] | None = None,
        flows: Flows | tuple[Tensor, Tensor] | None = None,
        first_frame: int = 0,
        state: PropagationState | None = None,
        tile: int | None = None,
        color: Color | None = None,
        output_type: OutputType = "np",
        timer: Timer | None = None,
        seed: int = 0,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        noise_level: int | None = None,
        segment_length: int | None = None,
    ) -> ImageUpscaleOutput:
        """The frames of one clip, `scale` times larger, with its state; as VideoUpscalePipeline.

        `frames`: uint8 or uint16 RGB, or float in [-1, 1]. None means the model's own default.
        `flows` (forward, backward) in pixels of `frames`: estimated where they are needed and not
        given; with a `state` they begin with the pair from the frame before the clip.
        `propagation_steps`: () means none, (0,) after the only step. `tile`: largest spatial tile
        in pixels of `frames`. `state`: of the clip before, if it belongs to the same shot.
        `output_type`: "np" gives uint8 (uint16 for uint16), "pt" floats in [-1, 1]. `first_frame`
        and `seed` change nothing: no noise is drawn.

        Raises ConfigError for a value out of range, and for what a network without text, noise and
        steps has no use for: the last six. InputError for frames of another form.
        """
        _refuse(
            prompt=prompt,
            negative_prompt=negative_prompt,
            steps=None if num_inference_steps == 1 else num_inference_steps,
            guidance_scale=None if guidance_scale == 1 else guidance_scale,
            noise_level=noise_level or None,
            segment_length=segment_length,
        )
        timer = timer or NullTimer()
        low_res = as_low_res(frames).to(self.network.device)
        propagated = self._propagates(propagation_steps)
        finished = self._predicted(low_res, self._tiles(low_res, tile), timer)
        carried: list[Tensor] = []
        if propagated:
            with timer("flow"):
                flows = self._flows(low_res, flows, state)
            finished = self._steady(finished, flows, state, carried, timer)
        groups = self._coloured(finished, low_res, color or self.settings.color, timer)
        images = collect(groups, output_type, like=frames)
        next_state = carry_over(carried[-1], low_res, state=state) if carried else None
        return ImageUpscaleOutput(images, next_state)

    def set_attention_backend(self, backend: str) -> None:
        """Accept "sdpa", for the networks bring their own attention; ConfigError for another."""
        if backend != "sdpa":
            raise ConfigError(
                f"attention = {backend}, but {self.network.name} brings its own: leave it out"
            )

    def _propagates(self, steps: Sequence[int] | None) -> bool:
        steps = self.settings.propagation_steps if steps is None else steps
        if any(step != 0 for step in steps):
            raise ConfigError(
                f"propagation_steps = {','.join(map(str, steps))}, but {self.network.name} has one "
                "step: it can be none or 0"
            )
        return bool(steps)

    def _flows(
        self,
        low_res: Tensor,
        flows: Flows | tuple[Tensor, Tensor] | None,
        state: PropagationState | None,
    ) -> Flows:
        if flows is not None:
            pairs = flows if isinstance(flows, Flows) else Flows(*flows)
            return Flows(pairs.forward.to(low_res.device), pairs.backward.to(low_res.device))
        if self.flow_estimator is None:
            self.flow_estimator = flow_estimator("auto", device=low_res.device)
        if state is None:
            return self.flow_estimator(low_res)
        before = state.frame[:, :, None].to(low_res)
        return self.flow_estimator(torch.cat([before, low_res], dim=2))

    def _tiles(self, low_res: Tensor, tile: int | None) -> dict[int, tuple[Tile, ...]]:
        """The plans for maps of the small frames' size (1) and of the large ones' (scale)."""
        network, settings = self.network, self.settings
        h, w = low_res.shape[-2:]
        if tile is not None and network.tiling == "never":
            raise ConfigError(f"tile = {tile}, but {network.name} cuts frames itself: leave it out")
        if tile is None:
            whole = h * w <= settings.tile**2 or network.tiling != "free"
            tile = max(h, w) if whole else settings.tile
        return {
            enlarge: fit_tiles(
                h,
                w,
                tile=max(tile, network.sizes.minimum),
                overlap=settings.tile_overlap,
                multiple_of=network.sizes.multiple_of,
                enlarge=enlarge,
            )
            for enlarge in (1, network.scale)
        }

    def _predicted(
        self, low_res: Tensor, tiles: dict[int, tuple[Tile, ...]], timer: Timer
    ) -> Iterator[Float[Tensor, "1 3 h2 w2"]]:
        for small in low_res.unbind(dim=2):
            with timer("network"):
                parts = (self.network(tile.crop(small)) for tile in tiles[1])
                large = next(parts) if len(tiles[1]) == 1 else blend_tiles(parts, tiles[self.scale])
            yield large

    def _steady(
        self,
        predicted: Iterator[Tensor],
        flows: Flows,
        state: PropagationState | None,
        carried: list[Tensor],
        timer: Timer,
    ) -> Iterator[Float[Tensor, "1 3 h2 w2"]]:
        """The frames fused along the flow, one by one; the last one's pixels go to `carried`."""
        own = [frame.to(_KEPT) for frame in predicted]
        h, w = own[0].shape[-2:]
        fused = propagate_frames(
            list(own),
            lambda k: flows.pair(k, (h, w)),
            config=self.settings.propagation,
            state=state,
        )
        for original in own:
            with timer("propagate"):
                frame = next(fused)[:, :, None].float()
                carried[:] = [frame]
                if self.settings.restore_detail:
                    frame = restore_high_band(frame, original[:, :, None].float())
                frame = frame[:, :, 0].clamp(-1, 1)  # cubic kernels and gains overshoot
            yield frame

    def _coloured(
        self, frames: Iterator[Tensor], low_res: Tensor, color: Color, timer: Timer
    ) -> Iterator[Float[Tensor, "1 3 1 h2 w2"]]:
        for i, frame in enumerate(frames):
            with timer("color"):
                coloured = match_colors(frame[:, :, None], low_res[:, :, i : i + 1], color=color)
            yield coloured


def _refuse(**options: object) -> None:
    """Raise ConfigError for the first option that was given."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(
                f"{name} = {value}, but a network for images has no use for it: leave it out"
            )
