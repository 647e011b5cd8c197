"""VideoUpscalePipeline: the whole method, from small frames to large ones."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from vsr.errors import ConfigError, ModelError
from vsr.models.flow_estimators import FlowEstimator, flow_estimator, raft_weights
from vsr.models.text import embed_prompt
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.ops.flow import Flows
from vsr.ops.frames import OutputType, as_low_res, collect, match_colors
from vsr.ops.tiles import blend_tiles
from vsr.pipelines.clip import Clip, fitting, propagated_steps
from vsr.pipelines.predictor import ClipPredictor, Guidance
from vsr.pipelines.presets import read_preset
from vsr.pipelines.sampling import (
    ColorMatch,
    SamplingConfig,
    denoise,
    make_scheduler,
    set_timesteps,
    start_latents,
)
from vsr.propagation.propagator import (
    PropagationState,
    carry_over,
    check_pairs,
    propagate_frames,
    restore_high_band,
)
from vsr.runtime.timing import NullTimer, Timer

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class VideoUpscaleOutput:
    """A finished clip."""

    frames: (
        UInt8[np.ndarray, "t h4 w4 3"]
        | UInt16[np.ndarray, "t h4 w4 3"]
        | Float[Tensor, "1 3 t h4 w4"]
    )
    latents: Float[Tensor, "1 c t h w"]
    """The clean latents, scaled as the U-Net sees them."""
    state: PropagationState | None
    """What the next clip of the same shot begins with; None where nothing was propagated."""


class VideoUpscalePipeline(DiffusionPipeline):
    """Enlarges clips four times; see `__call__`. A model folder is loaded by `load_pipeline`."""

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

    @torch.no_grad()
    def __call__(
        self,
        frames: UInt8[np.ndarray, "t h w 3"]
        | UInt16[np.ndarray, "t h w 3"]
        | UInt8[Tensor, "t h w 3"]
        | Float[Tensor, "1 3 t h w"],
        *,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        prompt_embeds: Float[Tensor, "1 n d"] | None = None,
        negative_prompt_embeds: Float[Tensor, "1 n d"] | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        noise_level: int | None = None,
        propagation_steps: Sequence[int] | None = None,
        flows: Flows | tuple[Tensor, Tensor] | None = None,
        low_res_noise: Float[Tensor, "1 3 t h w"] | None = None,
        latents: Float[Tensor, "1 c t h w"] | None = None,
        seed: int = 0,
        first_frame: int = 0,
        state: PropagationState | None = None,
        segment_length: int | None = None,
        tile: int | None = None,
        color: ColorMatch | None = None,
        preset: str | None = None,
        output_type: OutputType = "np",
        timer: Timer | None = None,
    ) -> VideoUpscaleOutput:
        """The frames of one clip, four times larger, with its latents and state.

        `frames`: uint8 or uint16 RGB, or float in [-1, 1]. None means the model's own default.
        `flows` (forward, backward) in pixels of `frames`: estimated where they are needed and not
        given; with a `state` they begin with the pair from the frame before the clip.
        `low_res_noise` and `latents` (where sampling starts) replace the noise drawn from `seed`
        and the absolute number of each frame, counted from `first_frame`. `propagation_steps`
        counts from 0; () means none. `tile`: size of spatial tiles in LR pixels; None: no tiles.
        `state`: of the clip before, if it belongs to the same shot. Noise level 0 adds no noise at
        all. `preset`: name or file of values (see `vsr.pipelines.presets`) in place of the model's
        own; what is given here wins.
        `output_type`: "np" gives uint8 (uint16 for uint16), "pt" floats in [-1, 1].

        Raises ConfigError for a value out of range, InputError for frames of another form,
        ModelError where the model needs text that it cannot get.
        """
        timer = timer or NullTimer()
        settings = self.settings
        if preset is not None:
            settings = settings.overridden(read_preset(preset))
        low_res = as_low_res(frames).to(self._execution_device)
        if tile is not None and tile < 1:
            raise ConfigError(f"tile = {tile}; it must be at least 1")
        numbers = range(first_frame, first_frame + low_res.shape[2])
        clip = Clip(low_res, numbers, seed, settings, tile, timer)
        steps = settings.num_inference_steps if num_inference_steps is None else num_inference_steps
        propagated = propagated_steps(steps, propagation_steps, settings)
        level = self._check_level(settings.noise_level if noise_level is None else noise_level)
        guidance = self._guidance(
            guidance_scale,
            settings,
            prompts=(negative_prompt, prompt),
            embeds=(negative_prompt_embeds, prompt_embeds),
        )
        scheduler = make_scheduler(settings.scheduler, self.scheduler)
        predict = ClipPredictor(
            unet=self.unet,
            noisy=self._add_noise(clip, level, low_res_noise),
            level=torch.tensor([level], device=low_res.device),
            guidance=guidance,
            segments=clip.segments(segment_length),
            tiles=clip.tiles(),
            train_timesteps=scheduler.config["num_train_timesteps"],
            timer=clip.timer,
            frame_window=settings.frame_window,
        )
        with clip.timer("flow"):
            flows = self._flows(low_res, flows, state) if propagated else None
        carried: list[Tensor] = []

        def fuse(x0: Tensor) -> Tensor:
            with clip.timer("propagate"):
                assert flows is not None
                before = None if state is None else state.at(len(carried))
                fused, last = self._propagate(x0, flows, before, settings)
            carried.append(last)
            return fused

        base = self._base(clip)
        start = self._start(clip, latents, base, sigma=getattr(scheduler, "init_noise_sigma", 1.0))
        set_timesteps(scheduler, steps, device=low_res.device)
        clean = denoise(
            start,
            predict=predict,
            scheduler=scheduler,
            prediction=settings.prediction,
            base=base,
            propagate=fuse,
            propagation_steps=propagated,
        )
        del start, base  # as large as all that the decoder makes at once
        next_state = _next_state(carried, low_res, state)
        groups = self._decoded(clean, clip, color or settings.color)
        images = collect(groups, output_type, like=frames)
        self.maybe_free_model_hooks()
        return VideoUpscaleOutput(images, clean, next_state)

    def set_attention_backend(self, backend: str) -> None:
        """Let the U-Net attend by "sdpa" or "xformers"."""
        self.unet.set_attention_backend(backend)

    def _check_level(self, level: int) -> int:
        highest = self.unet.config["max_noise_level"]
        if not 0 <= level <= highest:
            raise ConfigError(f"noise_level = {level}; this model takes 0 to {highest}")
        return level

    def _guidance(
        self,
        scale: float | None,
        settings: SamplingConfig,
        *,
        prompts: tuple[str | None, str | None],
        embeds: tuple[Tensor | None, Tensor | None],
    ) -> Guidance:
        """What steers: prompts and embeddings are given as (negative, positive)."""
        interval = settings.guidance_interval
        if self.unet.config["cross_attention_dim"] is None:
            if any(value is not None for value in (*prompts, *embeds)) or scale not in (None, 1):
                raise ConfigError(
                    "this model has no text: leave out prompts and the guidance scale"
                )
            return Guidance(None, 1.0, interval)
        scale = settings.guidance_scale if scale is None else scale
        negative, text = embeds
        if text is None:
            text = self._embed_text((prompts[1] or "") + settings.prompt_suffix)
        if scale > 1:
            if negative is None:
                words = settings.negative_prompt if prompts[0] is None else prompts[0]
                negative = self._embed_text(words)
            text = torch.cat([negative, text])
        return Guidance(text.to(self._execution_device, self.unet.dtype), scale, interval)

    def _embed_text(self, prompt: str) -> Tensor:
        if self.text_encoder is None or self.tokenizer is None:
            raise ModelError(
                "this model attends to text and its folder has no text encoder: give "
                "prompt_embeds, and negative_prompt_embeds for guidance"
            )
        return embed_prompt(self.text_encoder, self.tokenizer, prompt)

    def _base(self, clip: Clip) -> Tensor | None:
        """Latents of the enlarged LR frames, where sampling starts there or predicts from there."""
        settings, low_res = clip.settings, clip.low_res
        if settings.start == "noise" and settings.prediction != "residual":
            return None
        return self.vae.encode_enlarged(low_res).float()

    def _add_noise(self, clip: Clip, level: int, noise: Tensor | None) -> Tensor:
        low_res = clip.low_res
        if level == 0:
            return low_res.to(self.unet.dtype)
        if noise is None:
            noise = clip.noise(channels=3, stream="low_res")
        noise = fitting("low_res_noise", noise, low_res.shape).to(low_res)
        noisy = self.low_res_scheduler.add_noise(low_res, noise, torch.tensor([level]))
        return noisy.to(self.unet.dtype)

    def _start(
        self, clip: Clip, latents: Tensor | None, base: Tensor | None, *, sigma: float
    ) -> Tensor:
        channels = self.unet.config["out_channels"]
        if latents is not None:
            shape = (1, channels, *clip.low_res.shape[2:])
            return fitting("latents", latents, shape).to(self._execution_device, torch.float32)
        noise = clip.noise(channels=channels, stream="latents")
        noise = noise.to(self._execution_device)
        if clip.settings.start == "low_res":
            assert base is not None
            return start_latents(base, noise, strength=clip.settings.start_strength)
        return noise * sigma

    def _flows(
        self, low_res: Tensor, flows: Flows | tuple[Tensor, Tensor] | None, state: Any
    ) -> Flows:
        if flows is not None:
            pair = flows if isinstance(flows, Flows) else Flows(*flows)
            return Flows(pair.forward.to(low_res.device), pair.backward.to(low_res.device))
        if self.flow_estimator is None:
            self.flow_estimator = flow_estimator(
                "auto",
                weights=raft_weights(self.config.get("_name_or_path")),
                device=low_res.device,
            )
        if state is None:
            return self.flow_estimator(low_res)
        before = fitting("state.frame", state.frame, low_res[:, :, 0].shape)[:, :, None]
        return self.flow_estimator(torch.cat([before.to(low_res), low_res], dim=2))

    def _propagate(
        self, x0: Tensor, flows: Flows, state: PropagationState | None, settings: SamplingConfig
    ) -> tuple[Tensor, Tensor]:
        """The fused latents, and what of them the state keeps: those of the last frame.

        Packed latents are warped as the pixels that they are.
        """
        check_pairs(x0, flows, state)
        own = [self.vae.warpable(one) for one in x0.split(1, dim=2)]
        size = (own[0].shape[-2], own[0].shape[-1])
        moving = propagate_frames(
            [one[:, :, 0] for one in own],
            lambda k: flows.pair(k, size),
            config=settings.propagation,
            state=state,
        )
        fused, last = torch.empty_like(x0), own[-1]
        for i, frame in enumerate(moving):  # one large frame at a time, for the memory's sake
            last = frame[:, :, None]
            shown = restore_high_band(last, own[i]) if settings.restore_detail else last
            fused[:, :, i : i + 1] = self.vae.from_warpable(shown)
        return fused, last

    def _decoded(self, latents: Tensor, clip: Clip, color: ColorMatch) -> Iterator[Tensor]:
        """Groups of finished frames in [-1, 1], in their order."""
        low_res, settings = clip.low_res, clip.settings
        decode = partial(
            self.vae.decode_stream, frames=settings.decode_frames, context=settings.decode_context
        )
        tiles, large_tiles = clip.tiles(), clip.tiles(enlarge=4)
        if len(tiles) == 1:
            groups = decode(latents, low_res)
        else:
            streams = [decode(tile.crop(latents), tile.crop(low_res)) for tile in tiles]
            groups = (blend_tiles(parts, large_tiles) for parts in zip(*streams, strict=True))
        done = 0
        while True:
            with clip.timer("VAE"):
                group = next(groups, None)
            if group is None:
                return
            with clip.timer("color"):
                small = clip.low_res[:, :, done : done + group.shape[2]]
                yield match_colors(group.float(), small, color=color)
            done += group.shape[2]


def _next_state(
    carried: list[Tensor], low_res: Tensor, state: PropagationState | None
) -> PropagationState | None:
    if not carried:
        return None
    earlier = [last[:, :, -1] for last in carried[:-1]]
    return carry_over(carried[-1], low_res, state=state, earlier=earlier)
