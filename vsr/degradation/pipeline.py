"""From a good clip to a bad one: two stages of random steps, drawn by a severity per clip.

Real-ESRGAN (Wang et al. 2021) degrades twice; RealBasicVSR (Chan et al. 2022) lets the
parameters drift over time and compresses with video codecs. An old film is worn before that.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from vsr.degradation import kernels, steps
from vsr.degradation.config import (
    CompressionConfig,
    DegradationConfig,
    DegradationStageConfig,
)
from vsr.degradation.draw import Draw
from vsr.degradation.film import wear
from vsr.errors import InputError

Frames = Float[np.ndarray, "_ _ _ 3"]
Step = Callable[[Frames], Frames]


def degrade(
    clip: Float[np.ndarray, "t h w 3"],
    *,
    config: DegradationConfig,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "t lr_h lr_w 3"]:
    """Return a degraded version of `clip` (RGB, [0, 1]), `config.scale` times smaller.

    Frame borders stay aligned, so there is no sub-pixel shift: low-quality pixel i lies over
    the centre of pixels `scale * i` to `scale * (i + 1) - 1`. Only a film weaves around its place.
    The same clip, config and state of `rng` give the same result in any process. Raises InputError
    where the size is no multiple of the scale.
    """
    t, h, w, channels = clip.shape
    if channels != 3 or not t or not h or not w or h % config.scale or w % config.scale:
        raise InputError(
            f"a clip of shape {clip.shape} cannot be degraded; it must be `t h w 3` with h and w "
            f"multiples of {config.scale}"
        )
    target = (h // config.scale, w // config.scale)
    frames = np.ascontiguousarray(clip, dtype=np.float32)
    if rng.random() < config.clean_probability:
        resampling = "antialiased" if rng.random() < 1 - config.clean_area_share else "area"
        return steps.to_uint8(steps.resize(frames, target, resampling=resampling))
    draw = Draw(rng, float(rng.beta(*config.severity)), config.drift, (h, w))
    if config.film is not None:
        frames = wear(frames, config.film, draw)
    frames = _first_stage(frames, config.first, draw)
    return steps.to_uint8(_second_stage(frames, config.second, draw, target=target))


def _first_stage(frames: Frames, config: DegradationStageConfig, draw: Draw) -> Frames:
    changes: list[Step] = [
        lambda x: _blurred(x, config, draw),
        lambda x: _resized_at_random(x, config, draw),
        lambda x: _noisy(x, config, draw),
    ]
    for i in draw.rng.permutation(len(changes)):
        frames = changes[i](frames)
    return _compressed(_ringing(frames, config, draw), config.compression, draw)


def _second_stage(
    frames: Frames, config: DegradationStageConfig, draw: Draw, *, target: tuple[int, int]
) -> Frames:
    # Noise comes after the last resize: before it, the reduction would take most of it away.
    changes: list[Step] = [
        lambda x: _blurred(x, config, draw),
        lambda x: steps.resize(x, target, resampling=_resampling(config, draw)),
    ]
    for i in draw.rng.permutation(len(changes)):
        frames = changes[i](frames)
    frames = _noisy(frames, config, draw)
    if draw.chance(0.5):
        return _compressed(_ringing(frames, config, draw), config.compression, draw)
    return _ringing(_compressed(frames, config.compression, draw), config, draw)


def _blurred(frames: Frames, config: DegradationStageConfig, draw: Draw) -> Frames:
    if not draw.chance(config.blur_probability):
        return frames
    reduction = frames.shape[1] / draw.full_size[0]
    sigmas = draw.drifting(draw.value(config.blur_sigma) * reduction, len(frames))
    kind = draw.rng.random()
    elongation = 1.0
    if kind < config.anisotropic_share + config.generalised_share + config.plateau_share:
        elongation = draw.rng.uniform(0.35, 1.0)
    else:
        return steps.gaussian_blur(frames, sigmas)
    angles = draw.rng.uniform(0, np.pi) + np.cumsum(draw.rng.normal(0, draw.drift, len(frames)))
    make, beta = kernels.gaussian_kernel, 1.0
    if kind < config.generalised_share:
        beta = draw.rng.uniform(*config.generalised_beta)
    elif kind < config.generalised_share + config.plateau_share:
        make, beta = kernels.plateau_kernel, draw.rng.uniform(*config.plateau_beta)
    return steps.blur(
        frames,
        [
            make(sigma, sigma * elongation, angle=angle, beta=beta)
            for sigma, angle in zip(sigmas, angles, strict=True)
        ],
    )


def _resized_at_random(frames: Frames, config: DegradationStageConfig, draw: Draw) -> Frames:
    if not draw.chance(config.resize_probability):
        return frames
    scale = draw.value(config.resize_scale)
    h, w = (2 * max(1, round(side * scale / 2)) for side in frames.shape[1:3])
    return steps.resize(frames, (h, w), resampling=_resampling(config, draw))


def _resampling(config: DegradationStageConfig, draw: Draw) -> steps.Resampling:
    if draw.chance(config.aliased_share):
        return "bilinear" if draw.chance(0.5) else "bicubic"
    return "area" if draw.chance(0.6) else "antialiased"


def _noisy(frames: Frames, config: DegradationStageConfig, draw: Draw) -> Frames:
    if not draw.chance(config.noise_probability):
        return frames
    sigmas = draw.drifting(draw.value(config.noise_sigma) / 255, len(frames))
    grey, shot = draw.chance(config.grey_noise_share), draw.chance(config.shot_noise_share)
    return steps.add_noise(frames, sigmas, grey=grey, shot=shot, rng=draw.rng)


def _ringing(frames: Frames, config: DegradationStageConfig, draw: Draw) -> Frames:
    if not draw.chance(config.sinc_probability):
        return frames
    kernel = kernels.sinc_kernel(draw.rng.uniform(*config.sinc_cutoff))
    return steps.blur(frames, [kernel] * len(frames))


def _compressed(frames: Frames, config: CompressionConfig, draw: Draw) -> Frames:
    choice = draw.rng.random()
    if choice < config.codec_probability:
        weights = np.array([codec.weight for codec in config.codecs])
        codec = config.codecs[draw.rng.choice(len(weights), p=weights / weights.sum())]
        quality = f"{draw.value(codec.quality):.1f}"
        options = dict(codec.options) | {codec.quality_option: quality}
        return steps.video_codec(frames, codec=codec.name, options=options)
    if choice < config.codec_probability + config.jpeg_probability:
        return steps.jpeg(frames, draw.drifting(draw.value(config.jpeg_quality), len(frames)))
    return frames
