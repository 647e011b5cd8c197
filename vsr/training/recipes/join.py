"""The recipe of the joining network: warped keys of a strong network, joined under L1."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from vsr.models.blocks import channels_innermost, fold_time, unfold_time
from vsr.models.image import ImageNetwork
from vsr.models.join import JoinNetwork
from vsr.ops.filters import gaussian_half, smooth
from vsr.training.config import StageConfig, TrainConfig
from vsr.training.data.keyed_clips import KeyedClips, KeyedClipsConfig
from vsr.training.data.sampler import Numbered
from vsr.training.engine.checkpoint import find_checkpoint, load_checkpoint
from vsr.training.engine.fast_prelu import use_fast_prelu
from vsr.training.engine.recipe import Batch
from vsr.training.engine.record import save_comparison
from vsr.training.losses.join import coarse_error, joined_target, sharpness
from vsr.training.losses.terms import (
    FeatureExtractor,
    charbonnier,
    feature_distance,
    gradient_loss,
    temporal_loss,
)
from vsr.training.recipes.networks import existing_file

_GREY_LEVELS = 127.5


class JoinRecipe:
    """Trains `JoinNetwork` on keyed shards, by L1 to `joined_target` and along exact motion."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        network = build_network(config)
        self._detail_blur = gaussian_half(network.config["sigma"])
        self.model: nn.Module = channels_innermost(network)
        if device.type == "cpu":
            use_fast_prelu(self.model)
        seen = config.validation.best == "features" or any(
            stage.weights.perceptual for stage in config.stages
        )
        self.features = FeatureExtractor().to(device) if seen else None
        self._held_out: list[Batch] | None = None
        self._image_network = ImageNetwork.load(existing_file(config.join.base, "join.base"))
        self._image_network.descriptor.model.to(device)

    def dataset(self, stage: StageConfig) -> Dataset[dict[str, Tensor]]:
        """Return the endless samples of a stage, in another order in every stage."""
        join = self.config.join
        samples = KeyedClipsConfig(
            crop=stage.crop,
            frames=stage.frames,
            seed=self.config.seed + 1000 * self.config.stages.index(stage),
            no_keys=join.no_keys,
            one_key=join.one_key,
        )
        return Numbered(KeyedClips(Path(join.shards), samples))

    def terms(self, model: nn.Module, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
        """Return the terms of the loss that have a weight in this stage.

        `pixel` is the L1 of the target frame, and of the next one's tones.
        """
        weights = stage.weights
        pair = shown_pair(self._run(model, batch, self.base(batch)), batch)
        output, target = pair[:, :, :1], self._target(batch)[:, :, None]
        sigma = self.config.join.cutoff_sigma
        tones = coarse_error(pair[:, :, 1], batch["hr"][:, :, 1], cutoff_sigma=sigma)
        terms = {"pixel": charbonnier(output, target) + tones}
        if weights.gradient:
            terms["gradient"] = gradient_loss(output, target)
        if self.features is not None and weights.perceptual:
            maps = [self.features(frames[:, :, 0]) for frames in (output, target)]
            terms["perceptual"] = feature_distance(*maps)
        if weights.temporal:
            terms["temporal"] = _unsteadiness(pair, batch)
        return terms

    def validate(self, model: nn.Module, run_step: int) -> dict[str, float]:
        """Return figures on the middle crops of held-out shards, with both keys and without any.

        `psnr` is against the truth; `target` the L1 to the target and `tdiff` the error of warped
        differences, both in grey levels; `sharpness` the fine detail relative to the strong
        network's; `features`, where a stage has a perceptual loss, the distance to the truth.
        Those with `_alone` are without keys.
        """
        figures: dict[str, list[float]] = {}
        for number, batch in enumerate(self._validation_batches()):
            for suffix, shown in (("", batch), ("_alone", _without_keys(batch))):
                output = self._run(model, shown, shown["base"])
                pair = shown_pair(output, shown).float().clamp(-1, 1)
                for name, value in self._figures(pair, shown):
                    figures.setdefault(name + suffix, []).append(value)
                if number < self.config.validation.pictures:
                    self._draw(f"{number:02d}{suffix}_step_{run_step:08d}.png", pair, shown)
        return {name: sum(values) / len(values) for name, values in sorted(figures.items())}

    @torch.no_grad()
    def base(self, batch: Batch) -> Float[Tensor, "b 3 t h4 w4"]:
        """Return the frames of the image network and interpolated ones, blended by `blend`."""
        lr = fold_time(batch["lr"])
        made = torch.cat([self._image_network(frame[None]) for frame in lr]).clamp(-1, 1)
        plain = F.interpolate(lr, scale_factor=4, mode="bicubic", align_corners=False)
        share = batch["blend"].view(-1, 1, 1, 1, 1)
        t = batch["lr"].shape[2]
        return torch.lerp(unfold_time(plain.clamp(-1, 1), t), unfold_time(made, t), share)

    def _run(self, model: nn.Module, batch: Batch, base: Tensor) -> Float[Tensor, "b 3 t h4 w4"]:
        """Return the large frames of a batch whose base frames are given."""
        keys = batch["keys"]
        details = keys - smooth(keys, self._detail_blur)
        tones, detail = model(batch["lr"], base, details, batch["confidence"], batch["nearness"])
        return base + tones + detail

    def _figures(self, pair: Tensor, batch: Batch) -> Iterator[tuple[str, float]]:
        output, truth = pair[:, :, 0], batch["hr"][:, :, 0]
        yield "psnr", float(-10 * torch.log10(F.mse_loss(output, truth) / 4 + 1e-10))
        yield "target", _GREY_LEVELS * float((output - self._target(batch)).abs().mean())
        yield "tdiff", _GREY_LEVELS * float(_unsteadiness(pair, batch))
        if self.features is not None:
            yield "features", float(feature_distance(self.features(output), self.features(truth)))
        yield "sharpness", float(sharpness(output, batch["texture"]))

    def _target(self, batch: Batch) -> Float[Tensor, "b 3 h4 w4"]:
        place = int(batch["target"][0])
        join = self.config.join
        lr, truth = batch["lr"][:, :, place], batch["hr"][:, :, 0]
        return joined_target(
            batch["texture"],
            truth,
            lr,
            cutoff_sigma=join.cutoff_sigma,
            strong_share=join.strong_share,
        )

    def _validation_batches(self) -> list[Batch]:
        if self._held_out is None:
            settings = self.config.validation
            samples = KeyedClipsConfig(crop=settings.crop, frames=settings.frames, fixed=True)
            clips = KeyedClips(Path(self.config.join.held_out), samples)
            # every few samples: those of one shot follow each other
            numbers = torch.linspace(0, len(clips) - 1, settings.samples).long().tolist()
            self._held_out = [self._with_base(default_collate([clips[n]])) for n in numbers]
        return [self._on_device(batch) for batch in self._held_out]

    def _with_base(self, batch: Batch) -> Batch:
        return {**batch, "base": self.base(self._on_device(batch)).cpu()}

    def _on_device(self, batch: Batch) -> Batch:
        return {name: value.to(self.device) for name, value in batch.items()}

    def _draw(self, name: str, pair: Tensor, batch: Batch) -> None:
        place = int(batch["target"][0])
        lr = batch["lr"][0, :, place : place + 2].cpu()
        path = Path(self.config.run) / "pictures" / name
        save_comparison(path, lr, pair[0].cpu(), batch["hr"][0].cpu())


def shown_pair(output: Float[Tensor, "b 3 t h4 w4"], batch: Batch) -> Float[Tensor, "b 3 2 h4 w4"]:
    """Return the target frame and the next, for which there is a truth."""
    place = int(batch["target"][0])
    return output[:, :, place : place + 2]


def build_network(config: TrainConfig) -> JoinNetwork:
    """Return the network of a config; `init` is a run, a checkpoint, or none."""
    network = JoinNetwork(**config.join.network)
    if config.init is not None:
        checkpoint = load_checkpoint(find_checkpoint(Path(config.init)))
        network.load_state_dict(checkpoint.result)
    return network


def _unsteadiness(pair: Tensor, batch: Batch) -> Tensor:
    """Return the L1 of the change of the error along the exact motion."""
    known = {"flow_backward": batch["flow_backward"], "mask": batch["valid"]}
    return temporal_loss(pair, batch["hr"], **known)


def _without_keys(batch: Batch) -> Batch:
    return {**batch, "confidence": torch.zeros_like(batch["confidence"])}
