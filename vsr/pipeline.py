"""VideoUpscalePipeline: the whole method, from small frames to large ones."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from vsr.errors import ConfigError, ModelError
from vsr.models.flow import FlowEstimator, flow_estimator
from vsr.models.text import embed_prompt
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo, enlarged_latents, pack, unpack
from vsr.ops.flow import Flows
from vsr.ops.frames import OutputType, as_low_res, collect, match_colors
from vsr.ops.noise import frame_noise
from vsr.ops.tiles import Tile, blend_tiles, plan_tiles
from vsr.propagation import (
    PropagationState,
    carry_over,
    propagate,
    restore_high_band,
)
from vsr.sampling import ColorMatch, SamplingConfig, denoise, start_latents
from vsr.segments import blend_plan
from vsr.timing import NullTimer, Timer

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class VideoUpscaleOutput:
    """A finished clip."""

    frames: UInt8[np.ndarray, "t h4 w4 3"] | Float[Tensor, "1 3 t h4 w4"]
    latents: Float[Tensor, "1 c t h w"]
    """The clean latents, scaled as the U-Net sees them."""
    state: PropagationState | None
    """What the next clip of the same shot begins with; None where nothing was propagated."""


@dataclass(frozen=True, slots=True)
class _Clip:
    """One call with all its choices made."""

    low_res: Tensor
    noisy: Tensor
    base: Tensor | None
    level: Tensor
    text: Tensor | None
    guidance: float
    settings: SamplingConfig
    segment_length: int
    tiles: tuple[Tile, ...]
    large_tiles: tuple[Tile, ...]
    timer: Timer


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
        output_type: OutputType = "np",
        timer: Timer | None = None,
    ) -> VideoUpscaleOutput:
        """The frames of one clip, four times larger, with its latents and state.

        `frames`: uint8 RGB, or float in [-1, 1]. None means the model's own default. `flows`
        (forward, backward) in pixels of `frames`: estimated where they are needed and not given;
        with a `state` they begin with the pair from the frame before the clip. `low_res_noise`
        and `latents` (where sampling starts) replace the noise drawn from `seed` and the absolute
        number of each frame, counted from `first_frame`. `propagation_steps` counts from 0; ()
        means none. `tile`: size of spatial tiles in LR pixels; None: no tiles. `state`: of the clip
        before, if it belongs to the same shot. Noise level 0 adds no noise at all. `output_type`:
        "np" gives uint8, "pt" floats in [-1, 1].

        Raises ConfigError for a value out of range, InputError for frames of another form,
        ModelError where the model needs text that it cannot get.
        """
        timer = timer or NullTimer()
        settings = self.settings
        steps = settings.num_inference_steps if num_inference_steps is None else num_inference_steps
        propagated = self._check_steps(steps, propagation_steps)
        low_res = as_low_res(frames).to(self._execution_device)
        guidance, text = self._embed(
            guidance_scale, prompt, negative_prompt, prompt_embeds, negative_prompt_embeds
        )
        numbers = range(first_frame, first_frame + low_res.shape[2])
        level = self._check_level(settings.noise_level if noise_level is None else noise_level)
        clip = _Clip(
            low_res=low_res,
            noisy=self._add_noise(low_res, level, low_res_noise, numbers, seed),
            base=self._base(low_res),
            level=torch.tensor([level], device=low_res.device),
            text=text,
            guidance=guidance,
            settings=settings,
            segment_length=segment_length or settings.segment_length,
            tiles=_tiles(low_res, tile, settings.tile_overlap, enlarge=1),
            large_tiles=_tiles(low_res, tile, settings.tile_overlap, enlarge=4),
            timer=timer,
        )
        with timer("flow"):
            flows = self._flows(low_res, flows, state) if propagated else None

        self.scheduler.set_timesteps(**self._timesteps(steps), device=low_res.device)
        carried: list[Tensor] = []

        def fuse(x0: Tensor) -> Tensor:
            with timer("propagate"):
                assert flows is not None
                fused, last = self._propagate(x0, flows, state, settings)
            carried.append(last)
            return fused

        clean = denoise(
            self._start(clip, latents, numbers, seed),
            predict=lambda x, t: self._predict(x, t, clip),
            scheduler=self.scheduler,
            prediction=settings.prediction,
            base=clip.base,
            propagate=fuse,
            propagation_steps=propagated,
        )
        next_state = _next_state(carried, low_res, state)
        groups = self._decoded(clean, clip, color or settings.color)
        return VideoUpscaleOutput(collect(groups, output_type), clean, next_state)

    def set_attention_backend(self, backend: str) -> None:
        """Let the U-Net attend by "sdpa" or "xformers"."""
        self.unet.set_attention_backend(backend)

    def _check_steps(self, steps: int, propagation_steps: Sequence[int] | None) -> tuple[int, ...]:
        if steps < 1:
            raise ConfigError(f"num_inference_steps = {steps}; it must be at least 1")
        if propagation_steps is None:
            return tuple(step for step in self.settings.propagation_steps if step < steps)
        wrong = [step for step in propagation_steps if not 0 <= step < steps]
        if wrong:
            raise ConfigError(
                f"propagation_steps has {wrong[0]}; with {steps} steps they can be 0 to {steps - 1}"
            )
        return tuple(propagation_steps)

    def _check_level(self, level: int) -> int:
        highest = self.unet.config["max_noise_level"]
        if not 0 <= level <= highest:
            raise ConfigError(f"noise_level = {level}; this model takes 0 to {highest}")
        return level

    def _embed(
        self,
        guidance_scale: float | None,
        prompt: str | None,
        negative_prompt: str | None,
        prompt_embeds: Tensor | None,
        negative_embeds: Tensor | None,
    ) -> tuple[float, Tensor | None]:
        """Guidance scale, and embeddings `1 n d`, or negative and positive ones `2 n d`."""
        settings = self.settings
        if self.unet.config["cross_attention_dim"] is None:
            given = [prompt, negative_prompt, prompt_embeds, negative_embeds]
            if any(value is not None for value in given) or guidance_scale not in (None, 1):
                raise ConfigError(
                    "this model has no text: leave out prompts and the guidance scale"
                )
            return 1.0, None
        guidance = settings.guidance_scale if guidance_scale is None else guidance_scale
        if prompt_embeds is None:
            prompt_embeds = self._embed_text((prompt or "") + settings.prompt_suffix)
        if guidance <= 1:
            return guidance, prompt_embeds.to(self._execution_device, self.unet.dtype)
        if negative_embeds is None:
            words = settings.negative_prompt if negative_prompt is None else negative_prompt
            negative_embeds = self._embed_text(words)
        both = torch.cat([negative_embeds, prompt_embeds])
        return guidance, both.to(self._execution_device, self.unet.dtype)

    def _embed_text(self, prompt: str) -> Tensor:
        if self.text_encoder is None or self.tokenizer is None:
            raise ModelError(
                "this model attends to text and its folder has no text encoder: give "
                "prompt_embeds, and negative_prompt_embeds for guidance"
            )
        return embed_prompt(self.text_encoder, self.tokenizer, prompt)

    def _base(self, low_res: Tensor) -> Tensor | None:
        """Latents of the enlarged LR frames, where sampling starts there or predicts from there."""
        settings = self.settings
        if settings.start == "noise" and settings.prediction != "residual":
            return None
        if self.vae.packed:
            return enlarged_latents(low_res)
        large = F.interpolate(
            rearrange(low_res, "b c t h w -> (b t) c h w"), scale_factor=4, mode="bicubic"
        )
        large = rearrange(large, "(b t) c h w -> b c t h w", b=low_res.shape[0])
        return self.vae.encode_frames(large.to(self.vae.dtype)).float()

    def _add_noise(
        self, low_res: Tensor, level: int, noise: Tensor | None, numbers: range, seed: int
    ) -> Tensor:
        if level == 0:
            return low_res.to(self.unet.dtype)
        if noise is None:
            shape = (3, low_res.shape[-2], low_res.shape[-1])
            noise = frame_noise(shape, frames=numbers, seed=seed, stream="low_res")[None]
        noise = noise.to(low_res)
        noisy = self.low_res_scheduler.add_noise(low_res, noise, torch.tensor([level]))
        return noisy.to(self.unet.dtype)

    def _start(self, clip: _Clip, latents: Tensor | None, numbers: range, seed: int) -> Tensor:
        if latents is not None:
            return latents.to(self._execution_device, torch.float32)
        h, w = clip.low_res.shape[-2:]
        shape = (self.unet.config["out_channels"], h, w)
        noise = frame_noise(shape, frames=numbers, seed=seed, stream="latents")[None]
        noise = noise.to(self._execution_device)
        if clip.settings.start == "low_res":
            assert clip.base is not None
            return start_latents(clip.base, noise, strength=clip.settings.start_strength)
        return noise * getattr(self.scheduler, "init_noise_sigma", 1.0)

    def _timesteps(self, steps: int) -> dict[str, Any]:
        """Flow matching starts at sigma 1 and takes equal strides; others know by themselves."""
        if "FlowMatch" in type(self.scheduler).__name__:
            return {"sigmas": [1 - i / steps for i in range(steps)]}
        return {"num_inference_steps": steps}

    def _predict(self, latents: Tensor, timestep: Tensor, clip: _Clip) -> Tensor:
        """The network's output for a whole clip: segments and tiles blended, guidance applied."""
        frames = latents.shape[2]
        stride = min(clip.settings.segment_stride, clip.segment_length)
        if clip.segment_length != clip.settings.segment_length:
            overlap = clip.settings.segment_length - clip.settings.segment_stride
            stride = max(1, clip.segment_length - overlap)
        plan = blend_plan(
            frames, length=clip.segment_length, stride=stride, kind=clip.settings.blend
        )
        output = torch.zeros_like(latents)
        for segment in plan:
            span = slice(segment.start, segment.stop)
            part = self._predict_segment(latents[:, :, span], timestep, clip, span)
            weights = part.new_tensor(segment.weights).view(-1, 1, 1)
            output[:, :, span] += weights * part
        return output

    def _predict_segment(
        self, latents: Tensor, timestep: Tensor, clip: _Clip, span: slice
    ) -> Tensor:
        noisy = clip.noisy[:, :, span]
        with clip.timer("U-Net"):
            parts = (
                self._predict_tile(tile.crop(latents), tile.crop(noisy), timestep, clip)
                for tile in clip.tiles
            )
            return blend_tiles(parts, clip.tiles) if len(clip.tiles) > 1 else next(parts)

    def _predict_tile(
        self, latents: Tensor, noisy: Tensor, timestep: Tensor, clip: _Clip
    ) -> Tensor:
        batch = 1 if clip.text is None else clip.text.shape[0]
        output = self.unet(
            latents.to(self.unet.dtype).expand(batch, *latents.shape[1:]),
            timestep,
            low_res=noisy.expand(batch, *noisy.shape[1:]),
            class_labels=clip.level.expand(batch),
            encoder_hidden_states=clip.text,
        ).sample.float()
        if batch == 1:
            return output
        negative, positive = output.chunk(2)
        return negative + clip.guidance * (positive - negative)

    def _flows(
        self, low_res: Tensor, flows: Flows | tuple[Tensor, Tensor] | None, state: Any
    ) -> Flows:
        if flows is not None:
            pair = flows if isinstance(flows, Flows) else Flows(*flows)
            return Flows(pair.forward.to(low_res.device), pair.backward.to(low_res.device))
        if self.flow_estimator is None:
            self.flow_estimator = flow_estimator("auto", device=low_res.device)
        if state is None:
            return self.flow_estimator(low_res)
        before = state.frame[:, :, None].to(low_res)
        return self.flow_estimator(torch.cat([before, low_res], dim=2))

    def _propagate(
        self, x0: Tensor, flows: Flows, state: PropagationState | None, settings: SamplingConfig
    ) -> tuple[Tensor, Tensor]:
        """The fused latents, and what of them the state keeps: those of the last frame.

        Packed latents are warped as the pixels that they are.
        """
        pixels = unpack(x0).float() if self.vae.packed else x0
        flows = flows.resized((pixels.shape[-2], pixels.shape[-1]))
        fused = propagate(pixels, flows, config=settings.propagation, state=state)
        last = fused[:, :, -1:].clone()  # a view would keep the whole clip in memory
        if settings.restore_detail:
            fused = restore_high_band(fused, pixels)
        return (pack(fused) if self.vae.packed else fused).to(x0.dtype), last

    def _decoded(self, latents: Tensor, clip: _Clip, color: ColorMatch) -> Iterator[Tensor]:
        """Groups of finished frames in [-1, 1], in their order."""
        low_res = clip.low_res
        if len(clip.tiles) == 1:
            groups = self.vae.decode_stream(latents, low_res)
        else:
            streams = [
                self.vae.decode_stream(tile.crop(latents), tile.crop(low_res))
                for tile in clip.tiles
            ]
            groups = (blend_tiles(parts, clip.large_tiles) for parts in zip(*streams, strict=True))
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


def _tiles(low_res: Tensor, tile: int | None, overlap: int, *, enlarge: int) -> tuple[Tile, ...]:
    """Tiles in LR pixels, or the same ones on the large frames."""
    h, w = low_res.shape[-2:]
    size = min(tile or max(h, w), max(h, w))
    overlap = min(overlap, size // 2)
    return plan_tiles(enlarge * h, enlarge * w, tile=enlarge * size, overlap=enlarge * overlap)


def _next_state(
    carried: list[Tensor], low_res: Tensor, state: PropagationState | None
) -> PropagationState | None:
    return carry_over(carried[-1], low_res, state=state) if carried else None
