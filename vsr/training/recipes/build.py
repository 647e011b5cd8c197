"""The recipe that a config names."""

import torch

from vsr.training.config import TrainConfig
from vsr.training.engine.recipe import Recipe
from vsr.training.recipes.networks import with_shapes_of_init


def completed(config: TrainConfig) -> TrainConfig:
    """The config with the shapes that its `init` and its recipe give the networks.

    Fields that are already complete are kept.
    """
    if config.recipe in ("join", "seedvr"):
        return config
    if config.recipe == "vae_decoder":
        from vsr.training.recipes.vae_decoder import with_wider_decoder

        return with_wider_decoder(config)
    return with_shapes_of_init(config)


def make_recipe(config: TrainConfig, device: torch.device) -> Recipe:
    """The recipe with its networks; only its own module is imported."""
    match config.recipe:
        case "temporal":
            from vsr.training.recipes.temporal import TemporalRecipe

            return TemporalRecipe(config, device)
        case "vae_decoder":
            from vsr.training.recipes.vae_decoder import VaeDecoderRecipe

            return VaeDecoderRecipe(config, device)
        case "distill":
            from vsr.training.recipes.distill import DistillRecipe

            return DistillRecipe(config, device)
        case "seedvr":
            from vsr.training.recipes.seedvr import SeedVRRecipe

            return SeedVRRecipe(config, device)
        case "join":
            from vsr.training.recipes.join import JoinRecipe

            return JoinRecipe(config, device)
        case _:
            from vsr.training.recipes.compact import CompactRecipe

            return CompactRecipe(config, device)
