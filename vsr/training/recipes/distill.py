"""The recipe that distils a teacher of many steps into a student of one to four."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vsr.checkpoints.index import INDEX
from vsr.checkpoints.load import load_pipeline
from vsr.errors import ConfigError, ModelError
from vsr.models.text import embed_prompt
from vsr.models.unet import UNetVideoModel
from vsr.models.vae import AutoencoderKLVideo
from vsr.pipelines.sampling import clean_latents, denoise, noise_low_res, starting_latents
from vsr.pipelines.schedule import is_flow_matching, make_schedule
from vsr.pipelines.video import VideoUpscalePipeline
from vsr.training.config import StageConfig, TrainConfig
from vsr.training.data.sampler import sample_generator
from vsr.training.engine.recipe import Batch
from vsr.training.recipes.clip_recipe import ClipRecipe, frame_terms
from vsr.training.recipes.networks import initial_networks, named_path
from vsr.training.recipes.noise import draw_levels, normal_like

FRAME_LOSSES = ("pixel", "gradient", "frequency", "grid", "temporal", "perceptual")
"""Losses that need decoded frames."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start of sampling for a batch, the same for teacher and student."""

    latents: Float[Tensor, "b c t h w"]
    low_res: Float[Tensor, "b 3 t h w"]
    """The small frames with added noise, which condition the U-Net."""
    level: Int[Tensor, " b"]
    base: Float[Tensor, "b c t h w"] | None
    """Latents of the enlarged small frames, for models that start there or predict a residual."""


class Student(nn.Module):
    """The student U-Net; its forward is one call of the network."""

    unet: UNetVideoModel

    def __init__(self, unet: UNetVideoModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(
        self,
        latents: Float[Tensor, "b c t h w"],
        timestep: Tensor,
        start: Start,
        text: Float[Tensor, "b n d"] | None,
    ) -> Float[Tensor, "b c t h w"]:
        """The prediction of the U-Net."""
        return self.unet(
            latents,
            timestep,
            low_res=start.low_res,
            class_labels=start.level,
            encoder_hidden_states=text,
        ).sample


class DistillRecipe(ClipRecipe):
    """Trains a student with its teacher's results, ground truth, features and a critic.

    With the weight `latent`, the teacher samples every clip in full from the student's noise, which
    takes most of the time of such a stage. Stages without it train on ground truth alone.
    """

    model: Student

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        student, vae = initial_networks(config)
        critic_channels = 3 if config.distill.space == "pixel" else vae.config["latent_channels"]
        super().__init__(config, Student(student), device, critic_channels=critic_channels)
        folder = teacher_folder(config)
        self.teacher = load_pipeline(folder, device=device)
        for network in (self.teacher.unet, self.teacher.vae):
            network.requires_grad_(False)
        if config.gradient_checkpointing:
            self.teacher.vae.enable_gradient_checkpointing()
        self.settings = self.teacher.settings
        highest = student.config["max_noise_level"]
        if config.noise.max_level > highest:
            raise ConfigError(
                f"noise.max_level is {config.noise.max_level}; this U-Net takes 0 to {highest}"
            )
        self.positive, self.negative = self._embed_prompts(folder)
        scale = config.distill.guidance_scale
        self.guidance_scale = self.settings.guidance_scale if scale is None else scale
        self.schedule = make_schedule(
            student_scheduler(self.teacher.scheduler), config.distill.steps, device=device
        )

    def terms(self, model: nn.Module, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """The terms of the loss that have a weight in this stage."""
        weights, hr, lr = stage.weights, batch["hr"], batch["lr"]
        generator = sample_generator(self.config.seed, int(batch["index"][0]))
        start = self.start(lr, batch["index"])
        target = self.teach(start) if weights.latent else self._encode(hr)
        step = int(torch.randint(self.config.distill.steps, (), generator=generator))
        x0 = self.predict(model, start, target, step=step)
        terms: dict[str, Tensor] = {}
        if weights.latent:
            terms["latent"] = F.mse_loss(x0, target)
        in_pixels = self.config.distill.space == "pixel"
        if any(getattr(weights, name) for name in FRAME_LOSSES) or (in_pixels and stage.critic):
            frames = self._decode(x0, lr)
            terms |= frame_terms(frames, batch, weights)
            if weights.perceptual:
                terms["perceptual"] = self.perceptual(frames, hr, generator)
            if in_pixels:
                terms |= self.adversarial_terms(hr, frames, stage, generator)
        if not in_pixels:
            terms |= self.adversarial_terms(self._encode(hr), x0, stage, generator)
        return terms

    def predict(
        self, model: nn.Module, start: Start, target: Float[Tensor, "b c t h w"], *, step: int
    ) -> Float[Tensor, "b c t h w"]:
        """The clean latents that the student predicts at one of its steps.

        The first step begins at `start`. A later one begins at a mixture of `start` and `target`,
        where the earlier steps would have led a perfect student.
        """
        mixture = self.schedule.mixtures[step]
        latents = start.latents
        if step:
            latents = mixture.signal * target + mixture.noise * start.latents
        text = _repeated(self.positive, len(latents))
        output = model(latents, self.schedule.timesteps[step], start, text).float()
        return clean_latents(
            output,
            latents,
            mixture=mixture,
            prediction=self.settings.prediction,
            base=start.base,
        )

    def start(self, lr: Float[Tensor, "b 3 t h w"], index: Int[Tensor, " b"]) -> Start:
        """The start of sampling for a batch; its noise is drawn by sample number."""
        seed, numbers = self.config.seed, index.tolist()
        generators = [sample_generator(seed, number, lr.device) for number in numbers]
        levels = draw_levels(
            self.config.noise, [sample_generator(seed + 1, number) for number in numbers]
        )
        channels = self.model.unet.config["out_channels"]
        noise = normal_like(lr.new_empty(len(lr), channels, *lr.shape[2:]), generators)
        low_res = noise_low_res(
            lr, normal_like(lr, generators), levels, scheduler=self.teacher.low_res_scheduler
        )
        settings, base = self.settings, None
        from_low_res = settings.start == "low_res"
        if from_low_res or settings.prediction == "residual":
            base = self._base(lr)
        latents = starting_latents(
            noise, base=base if from_low_res else None, strength=settings.start_strength
        )
        return Start(latents, low_res, levels.to(lr.device), base)

    @torch.no_grad()
    def teach(self, start: Start) -> Float[Tensor, "b c t h w"]:
        """The clean latents that the teacher samples with guidance, without propagation."""
        steps = self.config.distill.teacher_steps or self.settings.num_inference_steps
        schedule = make_schedule(
            self.teacher.scheduler, steps, device=self.device, kind=self.settings.scheduler
        )
        with self.autocast():
            return denoise(
                start.latents,
                predict=lambda latents, timestep: self._guided(latents, timestep, start),
                schedule=schedule,
                prediction=self.settings.prediction,
                base=start.base,
            )

    def restore(
        self, model: nn.Module, sample: Batch, generator: torch.Generator
    ) -> Float[Tensor, "3 t h w"]:
        """The frames of a held-out sample, from the pipeline that is exported."""
        unet, vae, steps = self.model.unet, self.teacher.vae, self.config.distill.steps
        output = student_pipeline(self.teacher, unet, vae, steps=steps)(
            sample["lr"][None].to(self.device),
            prompt_embeds=self.positive,
            seed=generator.initial_seed() % (1 << 31),
            propagation_steps=(),
            color="none",
            output_type="pt",
        )
        frames: Any = output.frames
        return frames[0]

    def _guided(self, latents: Tensor, timestep: Tensor, start: Start) -> Tensor:
        """Guided prediction: n + scale (p - n) if the model reads text, else p."""

        def predict(text: Tensor | None) -> Tensor:
            text = _repeated(text, len(latents))
            return self.teacher.unet(
                latents,
                timestep,
                low_res=start.low_res,
                class_labels=start.level,
                encoder_hidden_states=text,
            ).sample.float()

        positive = predict(self.positive)
        if self.positive is None or self.guidance_scale == 1:
            return positive
        return positive + (self.guidance_scale - 1) * (positive - predict(self.negative))

    def _embed_prompts(self, folder: Path) -> tuple[Tensor | None, Tensor | None]:
        """Return embeddings of prompt and negative prompt, and free the text encoder."""
        pipe = self.teacher
        if pipe.unet.config["cross_attention_dim"] is None:
            return None, None
        if pipe.text_encoder is None or pipe.tokenizer is None:
            raise ModelError(f"{folder} attends to text and has no text encoder to learn from")
        words = (self.config.distill.prompt + self.settings.prompt_suffix,)
        both = (*words, self.settings.negative_prompt)
        found = [embed_prompt(pipe.text_encoder, pipe.tokenizer, text) for text in both]
        pipe.text_encoder = None
        return found[0], found[1]

    @torch.no_grad()
    def _encode(self, frames: Tensor) -> Tensor:
        with self.autocast():
            return self.teacher.vae.encode_scaled(frames).float()

    @torch.no_grad()
    def _base(self, lr: Tensor) -> Tensor:
        with self.autocast():
            return self.teacher.vae.encode_enlarged(lr).float()

    def _decode(self, latents: Tensor, lr: Tensor) -> Tensor:
        """Frames in [-1, 1], not clamped, with gradients."""
        with self.autocast():
            return self.teacher.vae.decode_scaled(latents, lr).float()


def teacher_folder(config: TrainConfig) -> Path:
    """The model folder of the teacher: `teacher`, or else `init`.

    Raises `ConfigError` if it is not a model folder.
    """
    source = config.teacher or config.init
    if source is None or not (named_path(source) / INDEX).is_file():
        raise ConfigError(
            f"teacher is {source!r}; it must be a model folder (or init, where teacher is null)"
        )
    return named_path(source)


def student_scheduler(teacher: Any) -> Any:
    """The teacher's noise schedule for few steps.

    Its steps begin at the noisiest timestep and end without noise (trailing timesteps, Lin et al.
    2024), as flow matching does anyway. Returns a new object, since schedulers store timesteps.
    """
    if is_flow_matching(teacher):
        return type(teacher).from_config(teacher.config)
    return DDIMScheduler.from_config(
        teacher.config, timestep_spacing="trailing", set_alpha_to_one=True
    )


def student_pipeline(
    teacher: VideoUpscalePipeline, unet: UNetVideoModel, vae: AutoencoderKLVideo, *, steps: int
) -> VideoUpscalePipeline:
    """The teacher's pipeline with other networks, sampling as the student was trained."""
    settings = teacher.settings
    sampling = asdict(settings) | {
        "scheduler": "own",
        "num_inference_steps": steps,
        "guidance_scale": 1.0,
        "propagation_steps": (steps - 1,) if settings.propagation_steps else (),
    }
    parts: dict[str, Any] = teacher.components | {"unet": unet, "vae": vae}
    parts["scheduler"] = student_scheduler(teacher.scheduler)
    return VideoUpscalePipeline(**parts, sampling=sampling)


def _repeated(text: Tensor | None, batch: int) -> Tensor | None:
    return None if text is None else text.expand(batch, -1, -1)
