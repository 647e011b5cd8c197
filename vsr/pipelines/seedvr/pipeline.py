"""SeedVRPipeline: SeedVR2 and SeedVR on clips of any number of frames, at any output size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vsr.config import Storage
from vsr.errors import ConfigError, InputError
from vsr.models.flow_estimators import FlowEstimator, flow_estimator
from vsr.ops.flow import Flows
from vsr.ops.frame_formats import (
    LargeFrames,
    OutputType,
    as_low_res,
    as_tensor,
    checked_output_type,
    collect,
)
from vsr.ops.frames import match_groups
from vsr.pipelines.clip_length import SEEDVR_CLIP_FRAMES
from vsr.pipelines.memory import MemoryTraits
from vsr.pipelines.seedvr.canvas import Canvas
from vsr.pipelines.seedvr.folder import read_folder
from vsr.pipelines.seedvr.networks import Networks
from vsr.pipelines.seedvr.noise import Draws
from vsr.pipelines.seedvr.plan import LOOK_AHEAD
from vsr.pipelines.seedvr.sampler import FlowSampling
from vsr.pipelines.seedvr.shot import ClipRun, Texts
from vsr.pipelines.seedvr.state import ShotState
from vsr.pipelines.settings import SamplingConfig, given, only_step_0, only_useful
from vsr.pipelines.steady import OF_FRAMES, clip_propagator
from vsr.pipelines.streaming import StreamingPipeline
from vsr.propagation.propagator import Propagator
from vsr.runtime.device import place_and_format
from vsr.runtime.timing import NullTimer, Timer, timed

SEEDVR_SAMPLING = SamplingConfig(
    num_inference_steps=1,
    guidance_scale=1.0,
    noise_level=0,
    segment_length=1,
    segment_stride=1,
    color="wavelet",
    propagation=OF_FRAMES,
    restore_detail=True,
)
"""The settings of SeedVR2; propagation on decoded frames is off unless it is asked for."""
_CHOICES = (
    *("num_inference_steps", "guidance_scale", "color", "seed"),
    *("propagation_steps", "propagation", "restore_detail"),
)
_SCALE = 4


@dataclass(slots=True)
class SeedVROutput:
    """A finished clip."""

    frames: LargeFrames
    latents: Float[Tensor, "_ _ _ 16"]
    """The final latents that became frames in this call."""
    state: ShotState
    """The state for the next clip of the same shot."""
    decoded: Float[Tensor, "_ 3 _ _"] | None = None
    """Frames before the colour transfer, with `output_type="pt"`."""


class SeedVRPipeline(StreamingPipeline):
    """Restores and enlarges clips by SeedVR or SeedVR2; see `from_pretrained` and `__call__`.

    A shot is a stream: the causal autoencoder encodes and decodes it once, a few frames at a time;
    the transformer works in segments that fade into each other.
    """

    look_ahead = LOOK_AHEAD
    any_size = True
    clip_frames = SEEDVR_CLIP_FRAMES
    scale: int = _SCALE
    """The factor by which frames grow where no size is given."""

    def __init__(
        self,
        networks: Networks,
        texts: Texts | None = None,
        *,
        settings: SamplingConfig | None = None,
        condition_noise_scale: float = 0.0,
    ) -> None:
        self.networks = networks
        self.texts = texts
        self.settings = settings or SEEDVR_SAMPLING
        self.condition_noise_scale = condition_noise_scale
        self.flow_estimator: FlowEstimator | None = None

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        storage: Storage = "auto",
    ) -> Self:
        """Returns the pipeline of a model folder that `vsr convert` made.

        `storage`: "fp8" keeps the transformer's weights in 8 bits and casts each as it is used,
        which halves their memory; files of 8 bits lose nothing by it. "auto": as `dtype`.

        Raises ModelError for a folder that is incomplete or whose weights do not fit its config.
        """
        found = read_folder(Path(folder), dtype=dtype)
        place = torch.device(device)
        networks = Networks(found.transformer, found.vae, place)
        if storage == "fp8":
            networks.transformer.store(torch.float8_e4m3fn)
        networks.place(place, dtype)
        texts = None if found.positive is None else Texts(found.positive, found.negative)
        sampling = dict(found.sampling)
        level = float(sampling.pop("condition_noise_scale", 0.0))
        settings = SEEDVR_SAMPLING.overridden(sampling)
        return cls(networks, texts, settings=settings, condition_noise_scale=level)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the networks."""
        return self.networks.dtype

    @property
    def device(self) -> torch.device:
        """The device that computes."""
        return self.networks.device

    def to(self, *places: torch.dtype | torch.device | str) -> Self:
        """Move the networks to a device, or change their number format, or both."""
        device, dtype = place_and_format(places, self.device, self.dtype)
        self.networks.to(device, dtype)
        return self

    @torch.no_grad()
    def __call__(
        self,
        frames: Any,
        *,
        target_area: float | None = None,
        size: tuple[int, int] | None = None,
        fit: str = "pad",
        condition_noise_scale: float | None = None,
        noise: Float[Tensor, "t h w 16"] | None = None,
        posterior_noise: Float[Tensor, "1 16 t h w"] | None = None,
        condition_noise: Float[Tensor, "t h w 16"] | None = None,
        text_embeds: Float[Tensor, "words c"] | None = None,
        negative_text_embeds: Float[Tensor, "words2 c"] | None = None,
        ahead: Any = None,
        first_frame: int | Sequence[int] = 0,
        state: ShotState | None = None,
        settings: SamplingConfig | None = None,
        flows: Flows | tuple[Tensor, Tensor] | None = None,
        output_type: str = "np",
        timer: Timer | None = None,
        **overrides: Any,
    ) -> SeedVROutput:
        """Returns the restored frames of one clip, as many as it has.

        `frames` are of any form that VideoUpscalePipeline takes. They are resized first: to about
        `target_area` pixels with their aspect, to `size` (height, width), or 4 times larger. `fit`:
        "pad" mirrors borders up to multiples of 16 and cuts them off afterwards; "crop" cuts the
        centre out as the published script does. Overrides are those of `SamplingConfig` that have a
        use here: num_inference_steps, guidance_scale, color, seed, propagation_steps.

        `noise` (`t h w 16`), `posterior_noise` and `condition_noise` replace the noise that is
        drawn by seed and frame number; t counts latents, one for the first frame and one for each
        four after it. `text_embeds` replace the model's own. `ahead`: the frames that follow the
        clip in its shot; `state`: that of the clip before.

        Raises ConfigError for a value out of range or without use, InputError for frames of another
        form.
        """
        form = checked_output_type(output_type)
        settings = self.configured(overrides, base=settings)
        source = _pixels(frames)
        level = condition_noise_scale
        run = ClipRun(
            networks=self.networks,
            canvas=_canvas(source, target_area, size, fit, self.scale),
            draws=Draws(settings.seed, noise, posterior_noise, condition_noise),
            sampling=FlowSampling(
                settings.num_inference_steps,
                settings.guidance_scale,
                self.condition_noise_scale if level is None else level,
            ),
            texts=self._texts(text_embeds, negative_text_embeds, settings.guidance_scale),
            given=source if ahead is None else _joined(source, _pixels(ahead)),
            count=len(source),
            first_frame=_number(first_frame),
            before=state,
            timer=timer or NullTimer(),
        )
        return self._output(run, settings, flows, form=form, like=frames)

    def _output(
        self,
        run: ClipRun,
        settings: SamplingConfig,
        flows: Flows | tuple[Tensor, Tensor] | None,
        *,
        form: OutputType,
        like: Any,
    ) -> SeedVROutput:
        raw: list[Tensor] = []
        propagator = self._propagator(run, settings, flows)
        large = _recorded(run.frames(), raw) if form == "pt" else run.frames()
        if propagator is not None:
            large = _fused(large, propagator, run.timer)
        images = collect(_coloured(large, run, settings), form, like=like)
        decoded = rearrange(torch.cat(raw, dim=2), "1 c t h w -> t c h w") if raw else None
        state = run.state(None if propagator is None else propagator.state())
        return SeedVROutput(images, run.latents, state, decoded)

    def _propagator(
        self, run: ClipRun, settings: SamplingConfig, flows: Flows | tuple[Tensor, Tensor] | None
    ) -> Propagator | None:
        """The propagator on decoded frames, where it is asked for."""
        if not settings.propagation_steps:
            return None
        low_res = as_low_res(run.given[: run.count]).to(self.device)
        h, w = run.canvas.shown
        return clip_propagator(
            low_res,
            settings,
            estimator=self._estimator,
            flows=flows,
            state=None if run.before is None else run.before.pixels,
            scale=max(h / low_res.shape[-2], w / low_res.shape[-1]),
            timer=run.timer,
        )

    def configured(
        self,
        overrides: Mapping[str, Any],
        *,
        preset: str | None = None,
        base: SamplingConfig | None = None,
    ) -> SamplingConfig:
        """Returns the settings of a call: the pipeline's own (or `base`) and overrides.

        Raises ConfigError for what SeedVR has no use for, a preset or a prompt among them.
        """
        settings = self.settings if base is None else base
        chosen = given({**overrides, "preset": preset})
        only_useful(chosen, settings, used=_CHOICES, who="SeedVR")
        only_step_0(chosen, because="SeedVR's decoded frames are propagated once")
        return settings.overridden(chosen)

    @property
    def memory_traits(self) -> MemoryTraits:
        """The ways in which this pipeline can use less memory: no tiles, all others."""
        return MemoryTraits(smallest_tile=None, offloads=True, by_rows=True)

    def set_attention_backend(self, backend: str) -> None:
        """Choose the backend of the transformer's attention; ConfigError for an unknown one."""
        self.networks.transformer.set_attention_backend(backend)

    def offload_idle_networks(self, device: torch.device) -> None:
        """Let the networks and the frames they carry wait on the CPU while they are idle."""
        self.networks.device = device
        self.networks.wait_on_cpu()

    def work_by_rows(self) -> None:
        """Let the autoencoder work in strips of rows, in streams that begin from now on."""
        self.networks.by_rows = True

    def read_state(self, data: bytes, device: torch.device) -> ShotState:
        """Returns the state that `ShotState.to_bytes` gave."""
        return ShotState.from_bytes(data, device)

    def _texts(self, positive: Tensor | None, negative: Tensor | None, guidance: float) -> Texts:
        own = self.texts
        positive = positive if positive is not None or own is None else own.positive
        negative = negative if negative is not None or own is None else own.negative
        if positive is None or (negative is None and guidance != 1):
            missing = "text_embeds" if positive is None else "negative_text_embeds"
            raise ConfigError(f"this model has no text of its own: give {missing}")
        width = self.networks.transformer.text_width
        for name, text in (("text_embeds", positive), ("negative_text_embeds", negative)):
            if text is not None and (text.ndim != 2 or text.shape[1] != width):
                raise InputError(
                    f"{name} has shape {tuple(text.shape)}; it must be words x {width}"
                )
        return Texts(positive, negative)

    def _estimator(self) -> FlowEstimator:
        if self.flow_estimator is None:
            self.flow_estimator = flow_estimator("auto", device=self.device)
        return self.flow_estimator


def _fused(
    groups: Iterator[Tensor], propagator: Propagator, timer: Timer
) -> Iterator[Float[Tensor, "1 3 1 h w"]]:
    """The frames after propagation; until its backward pass is through, they wait in 16 bits."""
    own = [frame.half() for group in groups for frame in group.unbind(dim=2)]
    for frame in timed(propagator.fuse(own), timer, "propagate"):
        yield frame.clamp(-1, 1)[:, :, None]


def _coloured(
    groups: Iterator[Tensor], run: ClipRun, settings: SamplingConfig
) -> Iterator[Float[Tensor, "1 3 _ h w"]]:
    """The frames with the colours of the source frames at their size, clamped."""
    done = 0
    for group in groups:
        reference = run.reference(done, group.shape[2])
        matched = match_groups([group], reference, color=settings.color, timer=run.timer)
        yield from (frames.clamp(-1, 1) for frames in matched)
        done += group.shape[2]


def _recorded(groups: Iterator[Tensor], raw: list[Tensor]) -> Iterator[Tensor]:
    for group in groups:
        raw.append(group.float())
        yield group


def _canvas(
    source: Tensor, area: float | None, size: tuple[int, int] | None, fit: str, scale: int
) -> Canvas:
    h, w = source.shape[1:3]
    if area is not None and size is not None:
        raise ConfigError("target_area and size are both given: give one of them")
    if area is not None:
        return Canvas.of_area(h, w, area, fit=fit)
    return Canvas(*(size or (scale * h, scale * w)), fit)


def _number(first_frame: int | Sequence[int]) -> int:
    if not isinstance(first_frame, int):
        raise InputError("the frames of SeedVR follow each other: give the number of the first")
    return first_frame


def _pixels(frames: Any) -> Tensor:
    """The frames as `t h w 3`: integers as they are given, floats in [0, 1]."""
    low_res = as_low_res(frames)
    given = as_tensor(frames)
    if given.is_floating_point():
        return rearrange((low_res / 2 + 0.5).clamp(0, 1), "1 c t h w -> t h w c").cpu()
    return given if given.shape[-1] == 3 else rearrange(given, "t c h w -> t h w c")


def _joined(frames: Tensor, ahead: Tensor) -> Tensor:
    if frames.shape[1:] != ahead.shape[1:] or frames.dtype != ahead.dtype:
        raise InputError("ahead holds frames of another size or type than the clip")
    return torch.cat([frames, ahead[:LOOK_AHEAD]])
