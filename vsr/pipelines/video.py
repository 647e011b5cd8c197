"""VideoUpscalePipeline: the whole method, from small frames to large ones."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from jaxtyping import Float
from torch import Tensor

from vsr.config import NATIVE_SCALE
from vsr.errors import ConfigError, ModelError
from vsr.models.blocks import end_stage
from vsr.models.flow_estimators import FlowEstimator, flow_estimator
from vsr.models.other_weights import OtherWeights
from vsr.models.text import embed_prompt
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo, WarpableFrames
from vsr.ops.flow import Flows
from vsr.ops.frame_formats import LargeFrames, as_low_res, checked_output_type, collect
from vsr.ops.frames import match_groups, require_shape
from vsr.ops.noise import NoiseSource, clip_noise
from vsr.ops.tiles import blend_tiles
from vsr.option_values import parse_guides
from vsr.pipelines.clip_length import MOST_MODELS, PACKED_LATENTS, ClipMemory
from vsr.pipelines.guides import check_steps, clip_guides, moves_colours
from vsr.pipelines.memory import MemoryTraits
from vsr.pipelines.predictor import ClipPredictor, Guidance
from vsr.pipelines.presets import read_preset
from vsr.pipelines.sampling import denoise, noise_low_res, starting_latents
from vsr.pipelines.schedule import Schedule, make_schedule
from vsr.pipelines.settings import Prediction, SamplingConfig, given
from vsr.pipelines.steady import clip_propagator
from vsr.pipelines.streaming import StreamingPipeline
from vsr.pipelines.switches import DiffusersSwitches, StepCallback, seeded
from vsr.propagation.propagator import PropagationState, Propagator
from vsr.runtime.timing import NullTimer, Timer, timed

_DIRECT: tuple[Prediction, ...] = ("sample", "residual")
"""The predictions that give clean latents without those with noise."""
_PIXELS_KEPT = torch.float16
"""Half the bytes of float32, at a sixteenth of an 8-bit step."""
_TEXT_KEYS = ("prompt", "negative_prompt", "guidance_scale")


@dataclass(slots=True)
class VideoUpscaleOutput:
    """A finished clip."""

    frames: LargeFrames
    latents: Float[Tensor, "1 c t h w"]
    """The clean latents, scaled as the U-Net sees them."""
    state: PropagationState | None
    """The state for the next clip of the same shot; None without propagation."""


class VideoUpscalePipeline(DiffusersSwitches, StreamingPipeline, DiffusionPipeline):
    """Upscales clips four times; see `__call__`, and `upscale` for any number of frames.

    `load_pipeline` loads it from a model folder.
    """

    scale = NATIVE_SCALE
    """The factor by which frames grow."""
    _optional_components: ClassVar[list[str]] = ["text_encoder", "tokenizer"]
    model_cpu_offload_seq = "text_encoder->unet->vae"

    def __init__(
        self,
        unet: UNetVideoModel,
        vae: AutoencoderKLVideo,
        scheduler: Any,
        low_res_scheduler: Any,
        text_encoder: Any = None,
        tokenizer: Any = None,
        sampling: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.register_modules(
            unet=unet,
            vae=vae,
            scheduler=scheduler,
            low_res_scheduler=low_res_scheduler,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
        )
        self.settings = SamplingConfig.from_dict(sampling or {})
        self.register_to_config(sampling=asdict(self.settings))
        self.flow_estimator: FlowEstimator | None = None
        self.clean_weights: OtherWeights | None = None
        """Those for small frames that lost nothing but size."""

    @torch.no_grad()
    def __call__(
        self,
        frames: Any,
        *,
        first_frame: int | Sequence[int] = 0,
        state: PropagationState | None = None,
        settings: SamplingConfig | None = None,
        prompt_embeds: Float[Tensor, "1 n d"] | None = None,
        negative_prompt_embeds: Float[Tensor, "1 n d"] | None = None,
        flows: Flows | tuple[Tensor, Tensor] | None = None,
        low_res_noise: Float[Tensor, "1 3 t h w"] | None = None,
        latents: Float[Tensor, "1 c t h w"] | None = None,
        output_type: str = "np",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        timer: Timer | None = None,
        preset: str | None = None,
        **overrides: Any,
    ) -> VideoUpscaleOutput:
        """Returns the frames of one clip, four times larger, with its latents and state.

        `frames`: arrays, tensors or lists in any form of `as_low_res`. `first_frame` is the number
        of the first one in its film, on which noise depends, or the numbers of all. `state`: that
        of the clip before, of the same shot. `settings` (None: the pipeline's own) say how to
        sample; `preset` (a name or a file) and `overrides` (fields of SamplingConfig) replace
        single values. `flows` (forward, backward) in pixels of `frames` replace the estimated ones;
        with a `state` they begin with the pair from the frame before. `low_res_noise` and `latents`
        (where sampling starts) replace the noise, `generator` the seed. `callback_on_step_end` is
        diffusers'. `output_type`: "np", "pil" or "pt" (floats in [-1, 1]). Raises ConfigError for a
        value out of range, InputError for other frames, ModelError for text that is missing.
        """
        timer = timer or NullTimer()
        form = checked_output_type(output_type)
        settings = self.configured(seeded(overrides, generator), preset=preset, base=settings)
        low_res = as_low_res(frames).to(self._execution_device)
        noise = partial(clip_noise, low_res, first_frame=first_frame, seed=settings.seed)
        condition = self._condition(low_res, noise, low_res_noise, level=settings.noise_level)
        guidance = self._guidance(settings, negative_prompt_embeds, prompt_embeds)
        predict = self._predictor(condition, guidance, settings, timer)
        propagator = self._propagator(low_res, flows, state, settings, timer)
        starts, bases = self._start(low_res, noise, latents, settings)
        steps, seen = settings.num_inference_steps, callback_on_step_end_tensor_inputs
        with self._weights(settings):
            clean = denoise(
                starts.pop(),
                predict=predict,
                schedule=self._schedule(settings),
                prediction=settings.prediction,
                base=bases.pop(),
                propagate=partial(self._fuse, propagator, timer) if propagator else None,
                propagation_steps=settings.propagation_steps,
                guides=clip_guides(parse_guides(settings.guide), self.vae, low_res),
                on_step=self._on_step(callback_on_step_end, seen, steps=steps),
                kept=self._kept_dtype(low_res, settings),
            )
            images = collect(self._large(clean, low_res, settings, timer), form, like=frames)
        self.maybe_free_model_hooks()
        carried = None if propagator is None or self.interrupt else propagator.state()
        return VideoUpscaleOutput(images, clean, carried)

    def configured(
        self,
        overrides: Mapping[str, Any],
        *,
        preset: str | None = None,
        base: SamplingConfig | None = None,
    ) -> SamplingConfig:
        """Returns the settings of a call: the pipeline's own (or `base`), a preset, overrides.

        Raises ConfigError for what this model does not take.
        """
        settings = self.settings if base is None else base
        if preset is not None:
            settings = settings.overridden(read_preset(preset))
        chosen = given(overrides)
        settings = settings.overridden(chosen)
        check_steps(settings.guide, settings.num_inference_steps)
        highest = self.unet.config["max_noise_level"]
        if not 0 <= settings.noise_level <= highest:
            raise ConfigError(
                f"noise_level = {settings.noise_level}; this model takes 0 to {highest}"
            )
        if settings.clean and self.clean_weights is None:
            raise ConfigError("clean: this model has no weights for clean frames; leave it out")
        wanted = {key for key in _TEXT_KEYS if chosen.get(key, 1) != 1}
        if wanted and self.unet.config["cross_attention_dim"] is None:
            raise _no_text()
        return settings

    @property
    def clip_memory(self) -> ClipMemory:
        """The memory that clips take: less where latents are packed pixels."""
        return PACKED_LATENTS if self.vae.packed else MOST_MODELS

    @property
    def memory_traits(self) -> MemoryTraits:
        """The ways in which this pipeline can use less memory."""
        # Of the embedded model tiles save a tenth at most and take three times as long (measured).
        return MemoryTraits(tiles_last=self.vae.packed, offloads=True)

    def set_attention_backend(self, backend: str) -> None:
        """Let the U-Net attend by "sdpa" or "xformers"."""
        self.unet.set_attention_backend(backend)

    def offload_idle_networks(self, device: torch.device) -> None:
        """Let networks wait on the CPU while they are idle, and compute on `device`."""
        self.enable_model_cpu_offload(device=device)

    def _weights(self, settings: SamplingConfig) -> AbstractContextManager[None]:
        """The context in which the networks have the weights for these frames."""
        others = self.clean_weights if settings.clean else None
        return nullcontext() if others is None else others.in_place()

    def _condition(
        self, low_res: Tensor, noise: NoiseSource, replacement: Tensor | None, *, level: int
    ) -> tuple[Tensor, Tensor]:
        """The LR frames with the noise of `level`, as the U-Net sees them, and the level."""
        levels = torch.tensor([level], device=low_res.device)
        if level == 0:
            return low_res.to(self.unet.dtype), levels
        drawn = noise(channels=3, stream="low_res") if replacement is None else replacement
        drawn = require_shape("low_res_noise", drawn, low_res.shape).to(low_res)
        noisy = noise_low_res(low_res, drawn, levels.cpu(), scheduler=self.low_res_scheduler)
        return noisy.to(self.unet.dtype), levels

    def _guidance(
        self, settings: SamplingConfig, negative: Tensor | None, positive: Tensor | None
    ) -> Guidance:
        """The embeddings that steer: given, or those of the prompts."""
        interval = settings.guidance_interval
        if self.unet.config["cross_attention_dim"] is None:
            if negative is not None or positive is not None:
                raise _no_text()
            return Guidance(None, 1.0, interval)
        if positive is None:
            positive = self._embed_text(settings.prompt + settings.prompt_suffix)
        text = positive
        if settings.guidance_scale > 1:
            if negative is None:
                negative = self._embed_text(settings.negative_prompt)
            text = torch.cat([negative, positive])
        text = text.to(self._execution_device, self.unet.dtype)
        return Guidance(text, settings.guidance_scale, interval)

    def _embed_text(self, prompt: str) -> Tensor:
        if self.text_encoder is None or self.tokenizer is None:
            raise ModelError(
                "this model attends to text and its folder has no text encoder: give "
                "prompt_embeds, and negative_prompt_embeds for guidance"
            )
        return embed_prompt(self.text_encoder, self.tokenizer, prompt)

    def _predictor(
        self,
        condition: tuple[Tensor, Tensor],
        guidance: Guidance,
        settings: SamplingConfig,
        timer: Timer,
    ) -> ClipPredictor:
        noisy, level = condition
        frames, h, w = noisy.shape[2:]
        return ClipPredictor(
            unet=self.unet,
            noisy=noisy,
            level=level,
            guidance=guidance,
            segments=settings.segments(frames),
            tiles=settings.tiles(h, w),
            train_timesteps=self.scheduler.config["num_train_timesteps"],
            timer=timer,
            frame_window=settings.frame_window,
        )

    def _propagator(
        self,
        low_res: Tensor,
        flows: Flows | tuple[Tensor, Tensor] | None,
        state: PropagationState | None,
        settings: SamplingConfig,
        timer: Timer,
    ) -> Propagator | None:
        return clip_propagator(
            low_res,
            settings,
            estimator=self._estimator,
            flows=flows,
            state=state,
            scale=self.scale if self.vae.packed else 1,
            timer=timer,
        )

    def _estimator(self) -> FlowEstimator:
        if self.flow_estimator is None:
            folder, device = self.config.get("_name_or_path"), self._execution_device
            self.flow_estimator = flow_estimator("auto", folder=folder, device=device)
        return self.flow_estimator

    def _start(
        self,
        low_res: Tensor,
        noise: NoiseSource,
        latents: Tensor | None,
        settings: SamplingConfig,
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """The latents where sampling starts, and those of the enlarged LR frames if needed.

        Each is in a list, to be taken out: what has no other name is freed once it is used.
        """
        device, channels = self._execution_device, self.unet.config["out_channels"]
        from_low_res = settings.start == "low_res"
        shape = (1, channels, *low_res.shape[2:])
        base = None
        if from_low_res or settings.prediction == "residual":
            # packed latents of repeated pixels are these pixels, each for many channels
            base = low_res if self.vae.packed else self.vae.encode_enlarged(low_res).float()
        if latents is not None:
            return [require_shape("latents", latents, shape).to(device, torch.float32)], [base]
        start = torch.empty(
            shape,
            dtype=self._start_dtype(low_res, settings),
            device=device,
            memory_format=torch.channels_last_3d,  # as the U-Net has it
        )
        for i in range(shape[2]):  # one frame at a time, to save memory
            drawn = noise(channels=channels, stream="latents", only=i).to(device)
            begin = base[:, :, i : i + 1] if from_low_res and base is not None else None
            mixed = starting_latents(drawn, base=begin, strength=settings.start_strength)
            start[:, :, i : i + 1] = mixed
        end_stage(low_res)
        return [start], [base]

    def _start_dtype(self, low_res: Tensor, settings: SamplingConfig) -> torch.dtype:
        """The number format of the starting latents: the U-Net's if nobody else sees them."""
        h, w = low_res.shape[-2:]
        is_one = settings.num_inference_steps == 1 and settings.prediction in _DIRECT
        parts = len(settings.segments(low_res.shape[2])) * len(settings.tiles(h, w))
        return self.unet.dtype if is_one and parts == 1 else torch.float32

    def _kept_dtype(self, low_res: Tensor, settings: SamplingConfig) -> torch.dtype | None:
        """The number format of clean latents that are pixels, after one step in half precision."""
        is_half = self._start_dtype(low_res, settings) != torch.float32
        return _PIXELS_KEPT if is_half and self.vae.packed and not settings.guide else None

    def _schedule(self, settings: SamplingConfig) -> Schedule:
        steps, device = settings.num_inference_steps, self._execution_device
        return make_schedule(self.scheduler, steps, device=device, kind=settings.scheduler)

    def _fuse(self, propagator: Propagator, timer: Timer, x0: Tensor) -> Tensor:
        """The fused latents. Packed ones are warped as the pixels that they are, and replaced."""
        end_stage(x0)
        fused = x0 if self.vae.packed else torch.empty_like(x0)
        with timer("propagate"):
            own = WarpableFrames(x0, self.vae)
            for i, frame in enumerate(propagator.fuse(own)):  # one at a time, to save memory
                fused[:, :, i : i + 1] = self.vae.from_warpable(frame[:, :, None])
        return fused

    def _large(
        self, latents: Tensor, low_res: Tensor, settings: SamplingConfig, timer: Timer
    ) -> Iterator[Float[Tensor, "1 3 _ h4 w4"]]:
        """The large frames with the colours of the small ones, unless a guide gives others."""
        large = timed(self._decode(latents, low_res, settings), timer, "VAE")
        if moves_colours(settings.guide):
            return large
        return match_groups(large, low_res, color=settings.color, timer=timer)

    def _decode(
        self, latents: Tensor, low_res: Tensor, settings: SamplingConfig
    ) -> Iterator[Float[Tensor, "1 3 _ h4 w4"]]:
        """The large frames in [-1, 1], one by one."""
        end_stage(low_res)
        decode = partial(
            self.vae.decode_singly, frames=settings.decode_frames, context=settings.decode_context
        )
        h, w = low_res.shape[-2:]
        tiles, large_tiles = settings.tiles(h, w), settings.tiles(h, w, enlarge=self.scale)
        if len(tiles) == 1:
            return decode(latents, low_res)
        streams = [decode(tile.crop(latents), tile.crop(low_res)) for tile in tiles]
        return (blend_tiles(parts, large_tiles) for parts in zip(*streams, strict=True))


def _no_text() -> ConfigError:
    return ConfigError("this model has no text: leave out prompts and the guidance scale")
