"""Low-quality clips from good ones: blur, resize, noise, JPEG and video codecs, from a seed."""

from vsr.degradation.config import (
    CodecConfig,
    CompressionConfig,
    DegradationConfig,
    StageConfig,
    published_config,
)
from vsr.degradation.pipeline import degrade

__all__ = [
    "CodecConfig",
    "CompressionConfig",
    "DegradationConfig",
    "StageConfig",
    "degrade",
    "published_config",
]
