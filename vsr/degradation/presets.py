"""Degradations by name: complete configs, which a config file may override by field."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

from vsr.degradation.config import (
    CodecConfig,
    CompressionConfig,
    DegradationConfig,
    DegradationStageConfig,
)
from vsr.degradation.film_config import FilmConfig
from vsr.errors import ConfigError


def published_config() -> DegradationConfig:
    """The ranges of Real-ESRGAN (Wang et al. 2021) with RealBasicVSR's codecs (Chan et al. 2022).

    Much harsher than the default: every severity is as likely as any other.
    """
    first = DegradationStageConfig(
        blur_probability=1.0,
        sinc_probability=0.1,
        resize_probability=1.0,
        resize_scale=(1.5, 0.15),
        aliased_share=0.67,
        noise_probability=1.0,
        noise_sigma=(1.0, 30.0),
        shot_noise_share=0.5,
        grey_noise_share=0.4,
        compression=CompressionConfig(jpeg_probability=1.0, jpeg_quality=(95.0, 30.0)),
    )
    second = DegradationStageConfig(
        blur_probability=0.8,
        blur_sigma=(0.2, 1.5),
        sinc_probability=0.8,
        aliased_share=0.67,
        noise_probability=1.0,
        noise_sigma=(1.0, 25.0),
        shot_noise_share=0.5,
        grey_noise_share=0.4,
        compression=CompressionConfig(
            codec_probability=0.5, jpeg_probability=0.5, jpeg_quality=(95.0, 30.0)
        ),
    )
    return DegradationConfig(severity=(1.0, 1.0), clean_probability=0.0, first=first, second=second)


def old_film_config() -> DegradationConfig:
    """A worn print, then the losses of a telecine, a tape or disc, and a codec.

    Grain stands for the noise of the first stage; of the second, half as often as by default.
    """
    first = DegradationStageConfig(blur_sigma=(0.3, 3.0), noise_probability=0.0)
    second = DegradationStageConfig(
        blur_probability=0.25,
        blur_sigma=(0.2, 2.0),
        sinc_probability=0.15,
        noise_probability=0.4,
        noise_sigma=(0.0, 8.0),
        compression=CompressionConfig(codec_probability=0.7, jpeg_probability=0.05),
    )
    return DegradationConfig(
        severity=(2.0, 2.6), clean_probability=0.03, first=first, second=second, film=FilmConfig()
    )


def generated_config() -> DegradationConfig:
    """A generated clip: soft frames enlarged 1.5 to 2 times, then a codec that leaves a mesh."""
    codecs = (
        CodecConfig("h264", 0.6, quality=(24.0, 40.0)),
        CodecConfig("hevc", 0.2, quality=(26.0, 42.0)),
        CodecConfig("av1", 0.2, quality=(35.0, 60.0)),
    )
    first = DegradationStageConfig(
        blur_probability=0.5,
        blur_sigma=(0.3, 2.5),
        resize_probability=1.0,
        resize_scale=(1 / 6, 1 / 8),
        noise_probability=0.1,
        noise_sigma=(0.0, 5.0),
        compression=CompressionConfig(jpeg_probability=0.0),
    )
    second = DegradationStageConfig(
        blur_probability=0.0,
        aliased_share=0.6,
        noise_probability=0.2,
        noise_sigma=(0.0, 4.0),
        compression=CompressionConfig(codec_probability=1.0, codecs=codecs, jpeg_probability=0.0),
    )
    return DegradationConfig(clean_probability=0.0, first=first, second=second)


PRESETS: MappingProxyType[str, Callable[[], DegradationConfig]] = MappingProxyType(
    {
        "default": DegradationConfig,
        "published": published_config,
        "old_film": old_film_config,
        "generated": generated_config,
    }
)


def degradation_preset(name: str) -> DegradationConfig:
    """Return the config of that name, one of `PRESETS`; else raise ConfigError."""
    if name not in PRESETS:
        raise ConfigError(f"unknown degradation {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]()


def preset_fields(values: Any) -> Any:
    """Return the degradation of a config file, completed by the preset that it may name.

    `values` is the name of a preset, or a mapping whose key `preset` names one, over which the
    other keys are laid; a mapping without that key comes back as it is.
    """
    if isinstance(values, str):
        values = {"preset": values}
    if not isinstance(values, Mapping) or "preset" not in values:
        return values
    given = dict(cast(Mapping[str, Any], values))
    return _laid_over(dataclasses.asdict(degradation_preset(str(given.pop("preset")))), given)


def _laid_over(base: Any, given: Any) -> Any:
    if not isinstance(base, Mapping) or not isinstance(given, Mapping):
        return given
    return {**base, **{key: _laid_over(base.get(key), value) for key, value in given.items()}}
