"""Low-quality clips from good ones by a seed: blur, resize, noise, JPEG, codecs, worn film."""

from vsr.degradation.config import (
    CodecConfig,
    CompressionConfig,
    DegradationConfig,
    DegradationStageConfig,
)
from vsr.degradation.film_config import FilmConfig
from vsr.degradation.pipeline import degrade
from vsr.degradation.presets import (
    degradation_preset,
    generated_config,
    old_film_config,
    preset_fields,
    published_config,
)

__all__ = [
    "CodecConfig",
    "CompressionConfig",
    "DegradationConfig",
    "DegradationStageConfig",
    "FilmConfig",
    "degradation_preset",
    "degrade",
    "generated_config",
    "old_film_config",
    "preset_fields",
    "published_config",
]
