"""A model with the choices of a run made: clips go in, finished frames come out."""

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import cv2
import numpy as np
import torch
from diffusers.utils import logging as diffusers_logging
from jaxtyping import UInt8, UInt16

from vsr.checkpoints.find import find_model, is_network
from vsr.checkpoints.load import load_pipeline
from vsr.config import Color, Dtype, UpscaleConfig
from vsr.errors import ConfigError, DeviceError, NumericalError
from vsr.models.flow_estimators import FlowEstimator, flow_estimator, raft_weights
from vsr.models.image import ImageNetwork
from vsr.ops.resize import reduce_frames
from vsr.pipelines.image import ImageUpscalePipeline
from vsr.pipelines.presets import read_preset
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.propagation.propagator import PropagationState
from vsr.runtime.device import choose_device, choose_dtype, smaller_dtype
from vsr.runtime.memory import keep_freed_memory
from vsr.runtime.timing import Timer
from vsr.upscaling.carried import from_bytes, to_bytes
from vsr.upscaling.fallback import (
    AS_ASKED,
    Limits,
    Reduced,
    explained,
    first_line,
    free_memory,
    is_shortage,
    parts_of,
    smaller,
)
from vsr.upscaling.sizes import Size
from vsr.video.reading.clips import Clip

_log = logging.getLogger(__name__)

_BLACK, _SEEN = 2 / 255, 16 / 255
"""A frame of the mean `_BLACK` is none where that of the source is `_SEEN`, of white."""


Pixels = UInt8[np.ndarray, "_ _ _ 3"] | UInt16[np.ndarray, "_ _ _ 3"]
_Made = tuple[Pixels, PropagationState | None]


@dataclass(frozen=True, slots=True)
class UpscaledClip:
    """The finished frames of a clip, and when each is shown."""

    pixels: Pixels
    pts: tuple[int, ...]
    reduced: Reduced = AS_ASKED
    """How much smaller than asked for the clip was made."""


class _Settings(Protocol):
    @property
    def propagation_steps(self) -> tuple[int, ...]: ...


class _Output(Protocol):
    frames: Any
    state: PropagationState | None


class UpscalePipeline(Protocol):
    """What the job asks of a pipeline: VideoUpscalePipeline and ImageUpscalePipeline have it."""

    flow_estimator: FlowEstimator | None

    @property
    def settings(self) -> _Settings:
        """What the model does by itself."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The number format of its networks."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its networks are."""
        ...

    def to(self, dtype: torch.dtype, /) -> object:
        """Change the number format of its networks."""
        ...

    def set_attention_backend(self, backend: str) -> None:
        """Let another library compute attention."""
        ...

    def __call__(
        self,
        frames: UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"],
        *,
        prompt: str | None,
        negative_prompt: str | None,
        num_inference_steps: int | None,
        guidance_scale: float | None,
        noise_level: int | None,
        propagation_steps: Sequence[int] | None,
        seed: int,
        first_frame: int,
        state: PropagationState | None,
        segment_length: int | None,
        tile: int | None,
        color: Color | None,
        timer: Timer | None,
    ) -> _Output:
        """The finished frames of a clip, and what the next one begins with."""
        ...


@dataclass(slots=True)
class Upscaler:
    """The pipeline with its choices made, and what it carries from clip to clip of a shot.

    Where memory does not suffice, `reduced` says how much smaller clips are made from then on.
    """

    pipeline: UpscalePipeline
    config: UpscaleConfig
    size: Size
    timer: Timer
    reduced: Reduced = AS_ASKED
    _state: PropagationState | None = None
    _device: torch.device = field(init=False)

    def __post_init__(self) -> None:
        """Keep where the networks compute, since those that are idle may wait elsewhere."""
        self._device = self.pipeline.device

    @classmethod
    def load(cls, config: UpscaleConfig, size: Size, timer: Timer) -> Self:
        """Load the model that `config` names onto the device that it names."""
        model = find_model(config.model)
        device = choose_device(config.device)
        if device.type == "cpu":
            keep_freed_memory()
        preset = {} if config.preset is None else read_preset(config.preset)
        with explained(f"the model {model.name}"):
            pipeline = _load(model, config.dtype, device, preset)
        pipeline.set_attention_backend(config.attention)
        if _propagates(pipeline, config):
            pipeline.flow_estimator = flow_estimator(
                config.flow, weights=config.flow_weights or raft_weights(model), device=device
            )
        _log.info("%s on %s in %s", model.name, device, _name(pipeline.dtype))
        return cls(pipeline, config, size, timer)

    def __call__(self, clip: Clip) -> UpscaledClip:
        """Return the frames of `clip` at the size of the output; clips come in their order.

        A clip for which memory does not suffice is made again, smaller; one with NaN or black
        frames in float32. Raises DeviceError or NumericalError where that does not help either.
        """
        self._apply_reduced()
        while True:
            try:
                pixels, self._state = self._shown(clip)
            except (RuntimeError, MemoryError, cv2.error) as error:
                if not is_shortage(error):
                    raise
                reason = first_line(error)
            else:
                return UpscaledClip(pixels, tuple(f.pts for f in clip.frames), self.reduced)
            self._reduce(clip, reason)  # here, since the error holds the tensors of the attempt

    def carried(self) -> bytes:
        """What the clip that was made last hands to the next one of its shot, as bytes."""
        return to_bytes(self._state, self.reduced)

    def resume(self, carried: bytes) -> None:
        """Go on as the upscaler did that carried these bytes."""
        self._state, self.reduced = from_bytes(carried, self._device)

    def _shown(self, clip: Clip) -> _Made:
        """The frames of the clip: in float32 where the networks' format shows nothing."""
        try:
            return self._made(clip)
        except NumericalError as error:
            problem = str(error)
        dtype = self.pipeline.dtype
        if dtype != torch.float32:
            _log.warning("%s in %s: made again in float32", problem, _name(dtype))
            self._convert(torch.float32)
            try:
                return self._made(clip)
            except NumericalError as error:
                problem = str(error)
            finally:
                self._convert(dtype)
        raise NumericalError(
            f"{problem} in float32: the model or its weights are at fault; try another --model, or "
            "leave these frames out by --start and --duration"
        )

    def _made(self, clip: Clip) -> _Made:
        """The frames of the clip, and what the next one begins with."""
        state = None if clip.starts_shot else self._state
        done: list[Pixels] = []
        for part in parts_of(len(clip.frames), self.reduced.clip_frames):
            first = clip.first_frame_index + part.start
            frames = np.stack([frame.pixels for frame in clip.frames[part]])
            try:
                result = self._call(frames, first, state)
                _check_light(frames, result.frames)
            except NumericalError as error:
                bad = [first + i for i in error.frames or range(len(frames))]
                raise NumericalError(f"{error} (frames {_listed(bad)} of the source)") from error
            with self.timer("reduce"):
                done.append(reduce_frames(result.frames, self.size.height, self.size.width))
            state = result.state
        return np.concatenate(done) if len(done) > 1 else done[0], state

    def _call(self, frames: Pixels, first: int, state: PropagationState | None) -> _Output:
        config, tile = self.config, self.reduced.tile
        return self.pipeline(
            frames,
            prompt=config.prompt,
            negative_prompt=config.negative_prompt,
            num_inference_steps=config.steps,
            guidance_scale=config.guidance_scale,
            noise_level=config.noise_level,
            propagation_steps=config.propagation,
            seed=config.seed,
            first_frame=first,
            state=state,
            segment_length=config.segment_length,
            tile=config.tile if tile is None else tile,
            color=config.color,
            timer=self.timer,
        )

    def _reduce(self, clip: Clip, reason: str) -> None:
        """Make this clip and all after it smaller than before."""
        first = clip.first_frame_index
        frames = f"frames {first} to {first + len(clip.frames) - 1}"
        reduced = smaller(self.reduced, self._limits(clip))
        if reduced is None:
            raise DeviceError(
                f"memory does not suffice for {frames}, even with {self.reduced} ({reason}): end "
                "other programs, take a machine with more memory, or reduce the source first"
            )
        _log.warning("memory does not suffice for %s (%s): now with %s", frames, reason, reduced)
        self.reduced = reduced
        free_memory()
        self._apply_reduced()

    def _apply_reduced(self) -> None:
        """Bring the networks where and into the format that `reduced` says."""
        if self.reduced.offload and self.pipeline.device == self._device:
            assert isinstance(self.pipeline, VideoUpscalePipeline)
            with _quiet_diffusers():
                self.pipeline.enable_model_cpu_offload(device=self._device)
        if self.reduced.dtype is not None:
            self._convert(getattr(torch, self.reduced.dtype))

    def _limits(self, clip: Clip) -> Limits:
        """What is left to make smaller, for this clip."""
        pipeline, source = self.pipeline, clip.frames[0].pixels.shape[:2]
        tile = self.config.tile or max(source)
        limits = Limits(
            frames=len(clip.frames),
            tile=min(tile, max(source)),
            offload=self._device.type != "cpu",
            dtype=None if pipeline.dtype != torch.float32 else smaller_dtype(self._device),
        )
        if isinstance(pipeline, ImageUpscalePipeline):
            return _network_limits(pipeline.network, limits)
        assert isinstance(pipeline, VideoUpscalePipeline)
        # Of the embedded model tiles save a tenth at most and take three times as long (measured).
        return replace(limits, tiles_last=pipeline.vae.packed)

    def _convert(self, dtype: torch.dtype) -> None:
        if self.pipeline.dtype != dtype:
            with _quiet_diffusers():
                self.pipeline.to(dtype)


def _network_limits(network: ImageNetwork, limits: Limits) -> Limits:
    """`limits` with what a network for images allows of it."""
    smallest = max(limits.smallest_tile or 1, network.sizes.minimum)
    half = limits.dtype is not None and getattr(torch, limits.dtype) in network.dtypes
    return replace(
        limits,
        smallest_tile=None if network.tiling == "never" else smallest,
        offload=False,  # a single network is never idle
        dtype=limits.dtype if half else None,
    )


def _check_light(frames: Pixels, result: Pixels) -> None:
    """Raise NumericalError for frames that are black where those of the source are not."""
    seen, shown = (
        images.mean(axis=(1, 2, 3), dtype=np.float32) / np.iinfo(images.dtype).max
        for images in (frames, result)
    )
    black = np.flatnonzero((shown <= _BLACK) & (seen >= _SEEN))
    if len(black):
        raise NumericalError("the networks make black pictures", tuple(map(int, black)))


def _listed(numbers: Sequence[int]) -> str:
    few = ", ".join(map(str, numbers[:4]))
    return few if len(numbers) <= 4 else f"{few} and {len(numbers) - 4} more"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _load(
    model: Path, dtype: Dtype, device: torch.device, preset: Mapping[str, Any]
) -> UpscalePipeline:
    chosen = choose_dtype(dtype, device)
    if is_network(model):
        if preset:
            raise ConfigError(
                f"presets are for model folders, and {model} is one file: leave it out"
            )
        network = ImageNetwork.load(model)
        if dtype == "auto" and chosen not in network.dtypes:
            chosen = torch.float32
        return ImageUpscalePipeline(network.to(device, chosen))
    with _quiet_diffusers():
        pipeline = load_pipeline(model, torch_dtype=chosen, device=device)
    pipeline.settings = pipeline.settings.overridden(preset)
    return pipeline


@contextmanager
def _quiet_diffusers() -> Generator[None]:
    """No bars and advice of diffusers on standard error: what goes wrong is raised."""
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(verbosity)
        diffusers_logging.enable_progress_bar()


def _propagates(pipeline: UpscalePipeline, config: UpscaleConfig) -> bool:
    own = pipeline.settings.propagation_steps
    return bool(own if config.propagation is None else config.propagation)
