"""Scores and pictures of a model on a few fixed samples, every few hundred steps."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vsr.training.engine.recipe import Batch
from vsr.training.engine.record import save_comparison
from vsr.training.losses.terms import (
    FeatureExtractor,
    feature_distance,
    phase_profiles,
    temporal_loss,
)

Restore = Callable[[Batch], Float[Tensor, "3 t h w"]]


class Validator:
    """Scores a model and bicubic enlargement on fixed samples, kept on the CPU.

    Figures: `psnr` (RGB, dB), `features` (distance of EfficientNet-Lite0 maps, lower is better),
    `grid` (imbalance of the four pixel phases; 0.02 for photographs, hatching reaches 0.1) and
    `tdiff` (mean absolute error of warped differences where the motion is known, in grey levels).
    """

    def __init__(
        self,
        samples: Sequence[Batch],
        *,
        features: FeatureExtractor | None,
        folder: Path,
        pictures: int,
    ) -> None:
        self.samples, self.features = samples, features
        self.folder, self.pictures = folder, pictures
        self.bicubic = self._mean([self._score(s, _bicubic(s)) for s in samples])

    def __call__(self, restore: Restore, step: int) -> dict[str, float]:
        """The model's figures, beside those of bicubic enlargement; draws the first samples."""
        scores: list[dict[str, float]] = []
        for number, sample in enumerate(self.samples):
            output = restore(sample).cpu().clamp(-1, 1)
            scores.append(self._score(sample, output))
            if number < self.pictures:
                path = self.folder / f"{number:02d}_step_{step:08d}.png"
                save_comparison(path, sample["lr"], output, sample["hr"])
        bicubic = {f"{name}_bicubic": value for name, value in self.bicubic.items()}
        return {**self._mean(scores), **bicubic}

    @torch.no_grad()
    def _score(self, sample: Batch, output: Tensor) -> dict[str, float]:
        output, hr = output[None], sample["hr"][None]
        figures = {
            "psnr": float(-10 * torch.log10(F.mse_loss(output, hr) / 4 + 1e-10)),
            "grid": float(
                torch.stack([p.std(correction=0) for p in phase_profiles(output)]).mean()
            ),
        }
        if float(sample["has_flow"]) and output.shape[2] > 1:
            known = {"flow_backward": sample["flow_backward"], "mask": sample["valid"].float()}
            known = {name: value[None] for name, value in known.items()}
            figures["tdiff"] = float(temporal_loss(output, hr, **known)) * 127.5
        if self.features is not None:
            figures["features"] = float(feature_distance(self._see(output), self._see(hr)))
        return figures

    def _see(self, frames: Tensor) -> list[Tensor]:
        assert self.features is not None
        device = next(self.features.parameters()).device
        images = rearrange(frames, "b c t h w -> (b t) c h w")
        return self.features(images.to(device))

    @staticmethod
    def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
        names = sorted({name for score in scores for name in score})
        values = {n: [score[n] for score in scores if n in score] for n in names}
        return {name: sum(found) / len(found) for name, found in values.items()}


def _bicubic(sample: Batch) -> Tensor:
    frames = rearrange(sample["lr"], "c t h w -> t c h w")
    large = F.interpolate(frames, scale_factor=4, mode="bicubic", align_corners=False)
    return rearrange(large, "t c h w -> c t h w").clamp(-1, 1)
