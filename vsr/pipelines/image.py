"""ImageUpscalePipeline: an image network for each frame, made steady by propagation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.models.flow_estimators import FlowEstimator, flow_estimator
from vsr.models.image import ImageNetwork
from vsr.ops.flow import Flows
from vsr.ops.frame_formats import LargeFrames, as_low_res, checked_output_type, collect
from vsr.ops.frames import match_groups
from vsr.ops.tiles import Tile, blend_tiles, fit_tiles
from vsr.pipelines.memory import MemoryTraits
from vsr.pipelines.settings import SamplingConfig, given, only_step_0, only_useful
from vsr.pipelines.steady import OF_FRAMES, clip_propagator
from vsr.pipelines.streaming import StreamingPipeline
from vsr.propagation.propagator import PropagationState
from vsr.runtime.device import place_and_format
from vsr.runtime.timing import NullTimer, Timer, timed

# Large frames of a clip wait in memory until the backward pass is through: half the bytes of
# float32, at a sixteenth of an 8-bit step.
_KEPT = torch.float16

IMAGE_SAMPLING = SamplingConfig(
    num_inference_steps=1,
    guidance_scale=1.0,
    noise_level=0,
    segment_length=1,
    segment_stride=1,
    propagation_steps=(0,),
    propagation=OF_FRAMES,
    restore_detail=True,
)
"""The settings of image networks: one step, no noise, no text.

`propagation` is for pixels of the large frames, and was measured on real networks
(docs/image_models.md).
"""
_CHOICES = (
    *("propagation_steps", "propagation", "restore_detail"),
    *("color", "tile", "tile_overlap", "seed"),
)
"""The fields of SamplingConfig that an image network has a use for; it draws no noise by `seed`."""


@dataclass(slots=True)
class ImageUpscaleOutput:
    """A finished clip."""

    frames: LargeFrames
    state: PropagationState | None
    """The state for the next clip of the same shot; None without propagation."""


def own_settings(network: ImageNetwork) -> SamplingConfig:
    """Returns the settings of a network: those for super-resolution match colours to the source.

    They shift tones by 2.6 to 5 levels of 255; a restoration may be meant to change them.
    """
    return replace(IMAGE_SAMPLING, color="wavelet" if network.purpose == "SR" else "none")


class ImageUpscalePipeline(StreamingPipeline):
    """Upscales clips by a network for images; see `from_file`, `__call__` and `upscale`."""

    largest_whole: int = 512
    """Frames of up to this many squared pixels are computed whole, larger ones in tiles of it."""

    def __init__(self, network: ImageNetwork, settings: SamplingConfig | None = None) -> None:
        self.network = network
        self.settings = settings or own_settings(network)
        self.flow_estimator: FlowEstimator | None = None

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        torch_dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Returns the pipeline of the network in a .safetensors or .pth file.

        Raises ModelError if the file is missing or broken, ConfigError for an unfit `torch_dtype`.
        """
        return cls(ImageNetwork.load(path).to(device, torch_dtype))

    @property
    def scale(self) -> int:
        """The factor by which frames grow."""
        return self.network.scale

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the network."""
        return self.network.descriptor.dtype

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return self.network.device

    def to(self, *places: torch.dtype | torch.device | str) -> Self:
        """Move the network to a device, or change its number format, or both.

        Raises ConfigError for a format that it does not compute in.
        """
        device, dtype = place_and_format(places, self.device, self.dtype)
        self.network.to(device, dtype)
        return self

    @torch.no_grad()
    def __call__(
        self,
        frames: Any,
        *,
        first_frame: int | Sequence[int] = 0,
        state: PropagationState | None = None,
        settings: SamplingConfig | None = None,
        flows: Flows | tuple[Tensor, Tensor] | None = None,
        output_type: str = "np",
        timer: Timer | None = None,
        **overrides: Any,
    ) -> ImageUpscaleOutput:
        """Returns the frames of one clip, `scale` times larger, with its state.

        Takes what VideoUpscalePipeline takes, as far as a network without text, noise and steps has
        a use for it. `propagation_steps`: () means none, (0,) after the only step. `tile`: largest
        spatial tile in pixels of `frames`. `first_frame` changes nothing: no noise is drawn.

        Raises ConfigError for a value out of range or without use, InputError for frames of another
        form.
        """
        timer = timer or NullTimer()
        form = checked_output_type(output_type)
        settings = self.configured(overrides, base=settings)
        low_res = as_low_res(frames).to(self.device)
        large = timed(self._predict(low_res, settings), timer, "network")
        propagator = clip_propagator(
            low_res,
            settings,
            estimator=self._estimator,
            flows=flows,
            state=state,
            scale=self.scale,
            timer=timer,
        )
        if propagator is not None:
            own = [frame.to(_KEPT) for frame in large]
            fused = timed(propagator.fuse(own), timer, "propagate")
            large = (frame.clamp(-1, 1) for frame in fused)  # cubic kernels and gains overshoot
        groups = (frame[:, :, None] for frame in large)
        coloured = match_groups(groups, low_res, color=settings.color, timer=timer)
        images = collect(coloured, form, like=frames)
        return ImageUpscaleOutput(images, propagator.state() if propagator else None)

    def configured(
        self,
        overrides: Mapping[str, Any],
        *,
        preset: str | None = None,
        base: SamplingConfig | None = None,
    ) -> SamplingConfig:
        """Returns the settings of a call: the pipeline's own (or `base`) and overrides.

        Raises ConfigError for what a network for images has no use for, a preset among them.
        """
        settings = self.settings if base is None else base
        chosen = given({**overrides, "preset": preset})
        only_useful(chosen, settings, used=_CHOICES, who="a network for images")
        only_step_0(chosen, because=f"{self.network.name} has one step")
        if "tile" in chosen and self.network.tiling == "never":
            raise ConfigError(
                f"tile = {chosen['tile']}, but {self.network.name} cuts frames itself: leave it out"
            )
        return settings.overridden(chosen)

    @property
    def memory_traits(self) -> MemoryTraits:
        """The ways in which this pipeline can use less memory."""
        network = self.network
        smallest = max(MemoryTraits().smallest_tile or 1, network.sizes.minimum)
        return MemoryTraits(
            smallest_tile=None if network.tiling == "never" else smallest,
            dtypes=tuple(network.dtypes),
        )

    def set_attention_backend(self, backend: str) -> None:
        """Accept "sdpa", for the networks bring their own attention; ConfigError for another."""
        if backend != "sdpa":
            raise ConfigError(
                f"attention = {backend}, but {self.network.name} brings its own: leave it out"
            )

    def offload_idle_networks(self, device: torch.device) -> None:
        """Change nothing: a single network is never idle."""

    def _predict(
        self, low_res: Tensor, settings: SamplingConfig
    ) -> Iterator[Float[Tensor, "1 3 h2 w2"]]:
        tiles = self._tiles(low_res, settings)
        large_tiles = self._tiles(low_res, settings, enlarge=self.scale)
        for small in low_res.unbind(dim=2):
            parts = (self.network(tile.crop(small)) for tile in tiles)
            yield next(parts) if len(tiles) == 1 else blend_tiles(parts, large_tiles)

    def _tiles(
        self, low_res: Tensor, settings: SamplingConfig, *, enlarge: int = 1
    ) -> tuple[Tile, ...]:
        network, tile = self.network, settings.tile
        h, w = low_res.shape[-2:]
        if tile is None:
            whole = h * w <= self.largest_whole**2 or network.tiling != "free"
            tile = max(h, w) if whole else self.largest_whole
        return fit_tiles(
            h,
            w,
            tile=max(tile, network.sizes.minimum),
            overlap=settings.tile_overlap,
            multiple_of=network.sizes.multiple_of,
            enlarge=enlarge,
        )

    def _estimator(self) -> FlowEstimator:
        if self.flow_estimator is None:
            self.flow_estimator = flow_estimator("auto", device=self.device)
        return self.flow_estimator
