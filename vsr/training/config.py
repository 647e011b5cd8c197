"""What a training run is: frozen dataclasses with every default; config_file.py reads them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from vsr.degradation import DegradationConfig
from vsr.errors import ConfigError
from vsr.training.data.motion import MotionConfig
from vsr.training.losses.gan import AdversarialConfig
from vsr.training.recipe_config import DistillConfig, VaeDecoderConfig


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weight of each term of the loss; a term of weight 0 is not computed."""

    denoise: float = 1.0
    """Mean square of what the denoising network misses; only diffusion recipes have this term."""
    pixel: float = 1.0
    gradient: float = 0.0
    frequency: float = 0.0
    perceptual: float = 0.0
    prior: float = 0.0
    prior_features: float = 0.0
    temporal: float = 0.0
    grid: float = 0.0
    latent: float = 0.0
    """Mean square of what a student's latents miss of its teacher's."""
    adversarial: float = 0.0
    """What the critic makes the model pay; 0.05 to 0.1 beside pixels of weight 1."""
    matching: float = 0.0
    """Distance of the critic's maps of made and of true frames."""

    @property
    def needs_critic(self) -> bool:
        """Whether a critic must learn beside the model."""
        return bool(self.adversarial or self.matching)


@dataclass(frozen=True, slots=True)
class CriticConfig:
    """AdamW of the critic, in stages of adversarial recipes; clipping is the model's."""

    lr: float = 1e-4
    """At its height; it rises and falls as the model's does."""
    betas: tuple[float, float] = (0.0, 0.99)
    weight_decay: float = 0.0
    head_start: int = 100
    """Steps of a stage in which the critic learns and what it says does not count yet."""

    def __post_init__(self) -> None:
        _require(self.lr > 0, "critic.lr", "above 0", self)
        _require(self.head_start >= 0, "critic.head_start", "at least 0", self)


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One stage of a run: what trains, on which samples, for how many steps, towards what."""

    name: str
    steps: int
    crop: int = 48
    """Width and height of the low-resolution crops, in pixels."""
    frames: int = 5
    batch: int = 4
    """Samples of one process in one micro-batch."""
    accumulate: int = 1
    """Micro-batches to an optimiser step."""
    lr: float = 2e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: int = 200
    """Steps of linear rise of the learning rate."""
    final_lr: float = 0.05
    """What is left of the learning rate at the end of a cosine, as a fraction."""
    train: tuple[str, ...] = ("*",)
    """Shell patterns of parameter names; a parameter trains where one of these matches ..."""
    freeze: tuple[str, ...] = ()
    """... and none of these does."""
    lr_scales: dict[str, float] = field(default_factory=dict[str, float])
    """Factors on the learning rate by pattern; the first pattern that matches a name counts."""
    ramp: int = 0
    """Steps over which the feature losses rise from nothing, since they multiply gradients."""
    weights: LossWeights = field(default_factory=LossWeights)
    critic: CriticConfig | None = None
    """How the recipe's critic learns in this stage; null: it does not, or by the defaults where a
    weight asks for it."""

    def __post_init__(self) -> None:
        if self.critic is None and self.weights.needs_critic:
            object.__setattr__(self, "critic", CriticConfig())
        for name in ("steps", "crop", "frames", "batch", "accumulate"):
            _require(getattr(self, name) >= 1, f"stages: {self.name}.{name}", "at least 1", self)
        _require(self.lr > 0, f"stages: {self.name}.lr", "above 0", self)
        for name in ("warmup", "ramp", "final_lr"):
            _require(getattr(self, name) >= 0, f"stages: {self.name}.{name}", "at least 0", self)


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Where the training material lies and how many processes prepare it."""

    manifest: str | None = None
    """A file of clips that `vsr data` makes, in the place of the two folders below: its kept
    clips of the split `train` train, those of `validation` validate."""
    photos: str | None = "data/photos"
    clips: str | None = "data/clips"
    clip_fraction: float = 0.25
    """Share of the samples that come from real clips; the others are photographs set in motion."""
    clip_scale: float = 0.5
    """Reduction of the real clips, which are too soft at their own size."""
    held_out_every: int = 16
    """One photograph in so many is kept for validation; a manifest says it by its column split."""
    exclude: tuple[str, ...] = ()
    """Shell patterns of file names without their suffix: files that match one never train."""
    photo_memory: int = 1 << 30
    """Bytes of decoded photographs that are kept."""
    latents: str | None = None
    """A folder of `vsr data precompute`: the recipe `temporal` trains on what it holds, in the
    place of clips made and encoded as they are needed."""
    reader: Literal["decord", "av"] = "decord"
    """Who decodes the real clips: decord (extra `train`), or PyAV."""
    cache: str = "~/.cache/vsr/training"
    """Where parts of the clips are kept decoded."""
    workers: int = 1
    prefetch: int = 4
    """Batches that each worker keeps ready."""
    motion: MotionConfig = field(default_factory=MotionConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    """A preset's name (default, published, old_film), or fields, laid over those of `preset`."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The networks' own configs, as diffusers folders hold them; empty: the embedded model's."""

    unet: dict[str, Any] = field(default_factory=dict[str, Any])
    vae: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class NoiseConfig:
    """Noise on the latents, and noise on the small frames that the network is told of."""

    kappa: float = 0.1
    """Standard deviation of the noise added to the latents of the enlarged small frames."""
    level_probability: float = 0.3
    """How often noise of a known level is added to the small frames; otherwise the level is 0."""
    max_level: int = 100
    later_probability: float = 0.15
    """How often a sample starts on the way to the clean latents, as later steps of several do."""
    levels: int = 1000
    """Steps of the noise schedule that levels are steps of: scaled linear, betas as below."""
    beta_start: float = 0.0001
    beta_end: float = 0.02

    def __post_init__(self) -> None:
        _require(0 <= self.level_probability <= 1, "noise.level_probability", "0 to 1", self)
        _require(
            0 < self.max_level < self.levels, "noise.max_level", f"1 to {self.levels - 1}", self
        )


@dataclass(frozen=True, slots=True)
class DiffusionConfig:
    """What diffusion recipes are told in words, and how their validation samples."""

    prompts: str | None = None
    """A safetensors file of prompt embeddings `tokens channels`, the empty prompt's under the name
    `empty`; null: the model folder's text encoder makes that one."""
    prompt_dropout: float = 0.1
    """How often a sample is trained on the empty prompt in place of its own."""
    prediction: Literal["v_prediction", "epsilon", "sample"] = "v_prediction"
    """What the U-Net predicts where no model folder says it. Narrow ones learn `sample` (the clean
    latents) best: velocity holds noise, which few channels cannot pass on."""
    sampling_steps: int = 8
    """DDIM steps from pure noise to the validation clips."""
    sampling_level: int = 20
    """Noise level of the small frames of validation clips."""

    def __post_init__(self) -> None:
        _require(0 <= self.prompt_dropout <= 1, "diffusion.prompt_dropout", "0 to 1", self)
        _require(self.sampling_steps >= 1, "diffusion.sampling_steps", "at least 1", self)
        _require(self.sampling_level >= 0, "diffusion.sampling_level", "at least 0", self)


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """AdamW, its clipping, and what is done with steps that explode."""

    kind: Literal["adamw", "adamw8bit"] = "adamw"
    """adamw8bit keeps its states in 8 bits (bitsandbytes, extra `8bit`): 6 bytes a weight less."""
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    explosion: float = 50.0
    """A step whose gradient norm is this many times its running mean is skipped."""
    patience: int = 5
    """After so many skipped steps in a row the run goes back to its last checkpoint."""
    rollbacks: int = 5
    """After so many returns the run gives up."""
    ema_decay: float = 0.999


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """Fixed held-out samples, scored and drawn."""

    every: int = 500
    samples: int = 8
    pictures: int = 4
    crop: int = 64
    frames: int = 5
    best: Literal["features", "psnr", "loss", "tdiff"] = "features"
    """The figure that picks the best checkpoint."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A whole run: a recipe, its networks, its material and its stages."""

    stages: tuple[StageConfig, ...]
    recipe: Literal["compact", "temporal", "vae_decoder", "distill"] = "compact"
    run: str = "runs/compact"
    seed: int = 0
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["no", "bf16", "fp16"] = "bf16"
    gradient_checkpointing: bool = False
    """Make the networks' inner maps again in the backward pass: a third more time, far less
    memory."""
    compile: bool = False
    """Compile the model by torch.compile; the first step of a stage then takes minutes."""
    trackers: tuple[str, ...] | None = None
    """Who else gets the figures of metrics.jsonl, by accelerate's names (tensorboard, wandb, ...);
    null: TensorBoard where it is installed."""
    init: str | None = None
    """Where the networks start: a model folder, a run or one of its checkpoints; or a file that
    spandrel loads, an image network whose layers the U-Net takes over."""
    teacher: str | None = None
    """An image network that the prior losses learn from: any file spandrel loads. The recipe
    `distill`: the model folder that the student learns from; null: `init`."""
    teacher_fraction: float = 0.34
    """Share of the frames that feature and prior losses look at."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    vae_decoder: VaeDecoderConfig = field(default_factory=VaeDecoderConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    log_every: int = 20
    save_every: int = 500
    keep: int = 2
    """Newest checkpoints that are kept, besides the best one."""

    def __post_init__(self) -> None:
        _require(len(self.stages) > 0, "stages", "a list of at least one stage", self)
        allowed = self.data.latents is None or self.recipe == "temporal"
        _require(allowed, "data.latents", f"null: the recipe {self.recipe} needs pixels", self)
        for name in ("log_every", "save_every", "keep"):
            _require(getattr(self, name) >= 1, name, "at least 1", self)
        names = [stage.name for stage in self.stages]
        _require(len(set(names)) == len(names), "stages: name", "different in every stage", self)
        wants_teacher = any(s.weights.prior or s.weights.prior_features for s in self.stages)
        _require(bool(self.teacher) or not wants_teacher, "teacher", "a file: prior losses", self)


def _require(right: bool, where: str, allowed: str, holder: Any) -> None:
    if not right:
        value = getattr(holder, where.rpartition(".")[2], None)
        found = f" is {value!r};" if isinstance(value, int | float | str) else ""
        raise ConfigError(f"{where}{found} must be {allowed}")
