"""The config of a training run: frozen dataclasses with every default, read by config_file.py."""

from dataclasses import dataclass, field
from typing import Any, Literal

from vsr.degradation import DegradationConfig
from vsr.errors import ConfigError
from vsr.training.data.motion import MotionConfig
from vsr.training.losses.gan import AdversarialConfig
from vsr.training.recipe_config import DistillConfig, JoinConfig, VaeDecoderConfig


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weight of each term of the loss; a term of weight 0 is not computed."""

    denoise: float = 1.0
    """Mean square error of the denoising network; only diffusion recipes have this term."""
    pixel: float = 1.0
    gradient: float = 0.0
    frequency: float = 0.0
    perceptual: float = 0.0
    prior: float = 0.0
    prior_features: float = 0.0
    temporal: float = 0.0
    grid: float = 0.0
    latent: float = 0.0
    """Mean square difference between a student's latents and its teacher's."""
    adversarial: float = 0.0
    """Adversarial loss of the model; 0.05 to 0.1 beside a pixel weight of 1."""
    matching: float = 0.0
    """Feature matching: distance of the critic's maps of generated and true frames."""

    @property
    def needs_critic(self) -> bool:
        """True if a critic must train beside the model."""
        return bool(self.adversarial or self.matching)


@dataclass(frozen=True, slots=True)
class CriticConfig:
    """AdamW of the critic in adversarial stages; gradients are clipped as the model's."""

    lr: float = 1e-4
    """Peak learning rate; it follows the model's schedule."""
    betas: tuple[float, float] = (0.0, 0.99)
    weight_decay: float = 0.0
    head_start: int = 100
    """Warm-up steps of a stage: the critic trains, but its loss is not yet used."""

    def __post_init__(self) -> None:
        _require(self.lr > 0, "critic.lr", "above 0", self)
        _require(self.head_start >= 0, "critic.head_start", "at least 0", self)


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One stage of a run: its parameters, samples, number of steps and losses."""

    name: str
    steps: int
    crop: int = 48
    """Width and height of the low-resolution crops, in pixels."""
    frames: int = 5
    batch: int = 4
    """Samples of one process in one micro-batch."""
    accumulate: int = 1
    """Micro-batches per optimiser step."""
    lr: float = 2e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: int = 200
    """Steps of linear warm-up of the learning rate."""
    final_lr: float = 0.05
    """Learning rate at the end of the cosine, as a fraction of `lr`."""
    train: tuple[str, ...] = ("*",)
    """Shell patterns of parameter names; a parameter trains if one of these matches ..."""
    freeze: tuple[str, ...] = ()
    """... and none of these matches."""
    lr_scales: dict[str, float] = field(default_factory=dict[str, float])
    """Factors on the learning rate by pattern; the first matching pattern is used."""
    ramp: int = 0
    """Steps over which the feature losses rise from 0, since they multiply gradients."""
    weights: LossWeights = field(default_factory=LossWeights)
    critic: CriticConfig | None = None
    """Training of the critic in this stage; null: by the defaults if a weight needs a critic, else
    none."""

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
    """The training material, and the processes that prepare it."""

    manifest: str | None = None
    """A parquet file from `vsr data`, used instead of the two folders below: kept clips of the
    split `train` are for training, those of `validation` for validation."""
    photos: str | None = "data/photos"
    clips: str | None = "data/clips"
    clip_fraction: float = 0.25
    """Share of samples from real clips; the others are photographs under a moving camera."""
    clip_scale: float = 0.5
    """Scale of the real clips, which are too soft at full size."""
    held_out_every: int = 16
    """Every n-th photograph is for validation; a manifest has a column `split` instead."""
    exclude: tuple[str, ...] = ()
    """Shell patterns of file names without their suffix: files that match one never train."""
    photo_memory: int = 1 << 30
    """Memory for decoded photographs, in bytes."""
    latents: str | None = None
    """A folder of `vsr data precompute`: the recipe `temporal` trains on its latents instead of
    encoding clips during training."""
    reader: Literal["decord", "av"] = "decord"
    """Decoder of the real clips: decord (extra `train`), or av (PyAV)."""
    cache: str = "~/.cache/vsr/training"
    """Folder for decoded parts of the clips."""
    workers: int = 1
    prefetch: int = 4
    """Batches that each worker prefetches."""
    motion: MotionConfig = field(default_factory=MotionConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    """A preset's name (default, published, old_film, generated), or fields that override its
    `preset`."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The configs of the networks, as in diffusers folders; empty: the embedded model's."""

    unet: dict[str, Any] = field(default_factory=dict[str, Any])
    vae: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class NoiseConfig:
    """Noise on the latents, and noise on the small frames, whose level the network receives."""

    kappa: float = 0.1
    """Standard deviation of the noise added to the latents of the enlarged small frames."""
    level_probability: float = 0.3
    """Probability of noise of a known level on the small frames; otherwise the level is 0."""
    max_level: int = 100
    later_probability: float = 0.15
    """Probability that a sample starts between noise and clean latents, like later steps do."""
    levels: int = 1000
    """Steps of the noise schedule of the levels: scaled linear, with the betas below."""
    beta_start: float = 0.0001
    beta_end: float = 0.02

    def __post_init__(self) -> None:
        _require(0 <= self.level_probability <= 1, "noise.level_probability", "0 to 1", self)
        _require(
            0 < self.max_level < self.levels, "noise.max_level", f"1 to {self.levels - 1}", self
        )


@dataclass(frozen=True, slots=True)
class DiffusionConfig:
    """The prompts of diffusion recipes, and the sampling of their validation."""

    prompts: str | None = None
    """A safetensors file of prompt embeddings `tokens channels`, the empty prompt's under the name
    `empty`; null: the model folder's text encoder makes that one."""
    prompt_dropout: float = 0.1
    """Probability that a sample trains on the empty prompt instead of its own."""
    prediction: Literal["v_prediction", "epsilon", "sample"] = "v_prediction"
    """Prediction of the U-Net if no model folder defines it. Narrow networks learn `sample` (the
    clean latents) best: velocity holds noise, which few channels cannot pass on."""
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
    """AdamW, gradient clipping, and the treatment of exploding steps."""

    kind: Literal["adamw", "adamw8bit"] = "adamw"
    """adamw8bit keeps its states in 8 bits (bitsandbytes, extra `8bit`): 6 bytes a weight less."""
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    explosion: float = 50.0
    """A step whose gradient norm is this many times its running mean is skipped."""
    patience: int = 5
    """After this many skipped steps in a row the run returns to its last checkpoint."""
    rollbacks: int = 5
    """After this many returns the run ends with an error."""
    ema_decay: float = 0.999


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """LoRA (extra `lora`): only changes of low rank to linear layers of `init` train."""

    rank: int = 16
    alpha: float = 16.0
    """The changes are multiplied by `alpha` / `rank`."""
    targets: tuple[str, ...] = ()
    """The ends of the names of the layers that change, as to_q; empty: the attention layers."""

    def __post_init__(self) -> None:
        _require(self.rank >= 1, "lora.rank", "at least 1", self)
        _require(self.alpha > 0, "lora.alpha", "above 0", self)


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
    recipe: Literal["compact", "temporal", "vae_decoder", "distill", "join", "seedvr"] = "compact"
    run: str = "runs/compact"
    seed: int = 0
    device: Literal["auto", "cpu"] = "auto"
    precision: Literal["no", "bf16", "fp16"] = "bf16"
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: a third more time, far less memory."""
    fsdp: bool = False
    """Shard weights, gradients, optimiser states and average over the processes (FSDP2), as
    configs/accelerate/fsdp.yaml does; for torchrun."""
    compile: bool = False
    """Compile the model by torch.compile; the first step of a stage then takes minutes."""
    trackers: tuple[str, ...] | None = None
    """Trackers that also receive the metrics, by accelerate's names (tensorboard, wandb, ...);
    null: TensorBoard if it is installed."""
    init: str | None = None
    """Initial weights: an embedded model, a model folder, a run or one of its checkpoints; or an
    image network (a file that spandrel loads) whose layers the U-Net takes over."""
    teacher: str | None = None
    """An image network that the prior losses learn from: any file spandrel loads. The recipe
    `distill`: the model folder that the student learns from; null: `init`."""
    teacher_fraction: float = 0.34
    """Share of the frames on which feature and prior losses are computed."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    lora: LoraConfig | None = None
    """Train adapters instead of whole weights; null: no."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    vae_decoder: VaeDecoderConfig = field(default_factory=VaeDecoderConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    join: JoinConfig = field(default_factory=JoinConfig)
    log_every: int = 20
    save_every: int = 500
    keep: int = 2
    """Number of newest checkpoints to keep, besides the best one."""

    def __post_init__(self) -> None:
        _require(len(self.stages) > 0, "stages", "a list of at least one stage", self)
        _require(self.lora is None or bool(self.init), "init", "a model: LoRA changes one", self)
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
