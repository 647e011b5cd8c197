import dataclasses
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsr.degradation import (
    CodecConfig,
    CompressionConfig,
    DegradationConfig,
    DegradationStageConfig,
    degrade,
    generated_config,
    published_config,
)
from vsr.degradation.config import CODECS
from vsr.degradation.kernels import gaussian_kernel, plateau_kernel, sinc_kernel
from vsr.degradation.steps import add_noise, jpeg, resize, to_uint8, video_codec
from vsr.errors import ConfigError, InputError

NOTHING = DegradationStageConfig(
    blur_probability=0,
    resize_probability=0,
    noise_probability=0,
    compression=CompressionConfig(jpeg_probability=0),
)


def clip(t: int = 3, h: int = 64, w: int = 80, seed: int = 0) -> np.ndarray:
    """Smooth moving blobs with texture, the same from any process."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.random((h, w + t, 3), dtype=np.float32), (0, 0), 1.5)
    noise = np.clip((noise - 0.5) * 3 + 0.5, 0, 1)
    return np.stack([noise[:, i : i + w] for i in range(t)])


def ramp(h: int, w: int) -> np.ndarray:
    """One frame whose brightness is the horizontal position."""
    row = (np.arange(w, dtype=np.float32) + 0.5) / w
    return np.broadcast_to(row[None, None, :, None], (1, h, w, 3)).copy()


@settings(deadline=None, max_examples=25)
@given(
    t=st.integers(1, 4), h=st.integers(1, 14), w=st.integers(1, 14), seed=st.integers(0, 1 << 30)
)
def test_every_size_becomes_exactly_a_quarter(t: int, h: int, w: int, seed: int) -> None:
    lr = degrade(clip(t, 4 * h, 4 * w), config=DegradationConfig(), rng=np.random.default_rng(seed))
    assert lr.shape == (t, h, w, 3)
    assert lr.dtype == np.uint8


def test_generated_clips_are_softer_than_their_size() -> None:
    """Frames that were enlarged by 1.5 or more have little left above two thirds of Nyquist.

    The mean of six draws, since noise and the mesh of the codec bring a part of it back.
    """
    sharp = resize(clip(t=1, h=256, w=256), (64, 64), resampling="area")[0]
    bands: list[float] = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        lr = degrade(clip(t=1, h=256, w=256), config=generated_config(), rng=rng)[0]
        bands.append(top_band(lr / 255) / top_band(sharp))
    assert np.mean(bands) < 0.5


def top_band(frame: np.ndarray) -> float:
    """Mean magnitude of the frequencies above two thirds of Nyquist, along the rows."""
    spectrum = np.abs(np.fft.rfft(frame.mean(-1), axis=1))
    return float(spectrum[:, 2 * spectrum.shape[1] // 3 :].mean())


def test_published_ranges_degrade_too() -> None:
    for seed in range(12):
        lr = degrade(clip(), config=published_config(), rng=np.random.default_rng(seed))
        assert lr.shape == (3, 16, 20, 3)


def test_input_is_not_changed() -> None:
    original = clip()
    given_clip = original.copy()
    for seed in range(8):
        degrade(given_clip, config=DegradationConfig(), rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(given_clip, original)


def checksums(seeds: range) -> list[int]:
    return [
        zlib.crc32(degrade(clip(), config=DegradationConfig(), rng=np.random.default_rng(s)))
        for s in seeds
    ]


def test_a_seed_gives_the_same_pair_in_another_process() -> None:
    code = "from tests.degradation.test_degradation import checksums; print(checksums(range(16)))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(checksums(range(16)))


def test_seeds_give_different_pairs() -> None:
    assert len(set(checksums(range(16)))) == 16


def test_a_clean_clip_is_only_reduced() -> None:
    config = DegradationConfig(clean_probability=1)
    frames = clip()
    area = np.stack([cv2.resize(f, (20, 16), interpolation=cv2.INTER_AREA) for f in frames])
    for seed in range(4):
        lr = degrade(frames, config=config, rng=np.random.default_rng(seed))
        assert np.abs(lr / 255 - area).mean() < 0.02


def test_clean_clips_are_reduced_by_area_at_a_share() -> None:
    frames = clip()
    for share, interpolation in ((1.0, "area"), (0.0, "antialiased")):
        config = DegradationConfig(clean_probability=1, clean_area_share=share)
        lr = degrade(frames, config=config, rng=np.random.default_rng(0))
        expected = to_uint8(resize(frames, (16, 20), resampling=interpolation))  # pyright: ignore
        np.testing.assert_array_equal(lr, expected)


@pytest.mark.parametrize("resampling", ["area", "antialiased", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(8, 40), (12, 62), (32, 160), (40, 200)])
def test_resizing_keeps_frame_borders_aligned(resampling: str, size: tuple[int, int]) -> None:
    resized = resize(ramp(32, 160), size, resampling=resampling)  # pyright: ignore
    inner = slice(size[1] // 8, -size[1] // 8)
    np.testing.assert_allclose(resized[:, :, inner], ramp(*size)[:, :, inner], atol=2e-3)


def test_no_random_degradation_shifts_the_picture() -> None:
    # A ramp shifted by d low-quality pixels is d / 40 brighter; noise averages out over 16x40.
    config = DegradationConfig(clean_probability=0)
    ideal = ramp(16, 40)[:, :, 8:-8]
    for seed in range(40):
        lr = degrade(ramp(64, 160), config=config, rng=np.random.default_rng(seed)) / 255
        shift = 40 * (lr[:, :, 8:-8] - ideal).mean()
        assert abs(shift) < 0.25, seed


def test_antialiased_reduction_equals_a_bicubic_kernel_of_the_same_width() -> None:
    image_module = pytest.importorskip("PIL.Image")
    frame = (clip(1)[0] * 255).round().astype(np.uint8)
    expected = np.asarray(image_module.fromarray(frame).resize((20, 16), image_module.BICUBIC))
    found = resize(frame[None].astype(np.float32) / 255, (16, 20), resampling="antialiased")
    # Pillow rounds between its two passes.
    assert np.abs(np.clip(found[0] * 255, 0, 255) - expected).max() < 1.5


def test_antialiased_reduction_removes_what_cannot_be_shown() -> None:
    stripes = np.zeros((1, 32, 32, 3), np.float32)
    stripes[:, :, ::2] = 1
    np.testing.assert_allclose(
        resize(stripes, (8, 8), resampling="antialiased")[:, :, 1:-1], 0.5, atol=0.01
    )


@pytest.mark.parametrize(
    "kernel",
    [
        gaussian_kernel(1.2, 1.2),
        gaussian_kernel(2.5, 0.8, angle=0.7),
        gaussian_kernel(2.0, 1.0, angle=2.0, beta=3.0),
        plateau_kernel(1.5, 1.0, angle=0.3, beta=1.4),
        sinc_kernel(2.0),
    ],
)
def test_kernels_sum_to_one_and_are_centred(kernel: np.ndarray) -> None:
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)


def test_sinc_passes_below_its_cutoff_and_stops_above() -> None:
    response = np.abs(np.fft.fft2(sinc_kernel(1.5, 61), (256, 256)))
    frequency = 2 * np.pi * np.arange(128) / 256
    assert response[0, :128][frequency < 1.1] == pytest.approx(1, abs=0.15)
    assert response[0, :128][frequency > 1.9].max() < 0.15


@pytest.mark.parametrize("grey", [False, True])
def test_noise_has_the_asked_strength_in_each_frame(grey: bool) -> None:
    still = np.full((2, 64, 64, 3), 0.5, np.float32)
    sigmas = np.array([0.02, 0.05])
    noisy = add_noise(still, sigmas, grey=grey, shot=False, rng=np.random.default_rng(0)) - still
    np.testing.assert_allclose(noisy.std((1, 2, 3)), sigmas, rtol=0.05)
    assert (np.ptp(noisy, axis=-1).max() < 1e-6) == grey


def test_shot_noise_grows_with_the_root_of_the_light() -> None:
    levels = np.array([0.125, 0.5], np.float32)
    still = np.broadcast_to(levels[:, None, None, None], (2, 96, 96, 3))
    noisy = add_noise(still, np.full(2, 0.05), grey=False, shot=True, rng=np.random.default_rng(0))
    np.testing.assert_allclose((noisy - still).std((1, 2, 3)), [0.025, 0.05], rtol=0.05)


def test_lower_jpeg_quality_is_further_from_the_picture() -> None:
    frames = clip(2)
    error = np.abs(jpeg(frames, np.array([90.0, 20.0])) - frames).mean((1, 2, 3))
    assert error[0] < error[1]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_codecs_give_back_the_clip_worse_where_asked(codec: CodecConfig) -> None:
    frames = clip(4, 48, 48)
    errors = [
        np.abs(
            video_codec(
                frames,
                codec=codec.name,
                options=dict(codec.options) | {codec.quality_option: str(quality)},
            )
            - frames
        ).mean()
        for quality in codec.quality
    ]
    assert errors[0] < errors[1]


def test_default_severity_lies_around_the_target_recipe() -> None:
    # Error of enlarged frames, against that of the recipe: blur 1.2, area / 4, noise 5/255, CRF 27.
    frames = clip(2, 128, 128)
    blurred = np.stack([cv2.GaussianBlur(f, (0, 0), 1.2) for f in frames])
    noise = np.random.default_rng(0).normal(0, 5 / 255, (2, 32, 32, 3))
    small = resize(blurred, (32, 32), resampling="area") + noise
    options = {"crf": "27", "preset": "medium"}
    target = error(video_codec(small, codec="h264", options=options), frames)
    errors = [
        error(
            degrade(frames, config=DegradationConfig(), rng=np.random.default_rng(s)) / 255, frames
        )
        for s in range(60)
    ]
    low, middle, high = np.percentile(errors, [5, 50, 95])
    assert low < target < high
    assert 0.6 * target < middle < 1.6 * target


def error(lr: np.ndarray, hr: np.ndarray) -> float:
    size = (hr.shape[2], hr.shape[1])
    enlarged = [cv2.resize(f.astype(np.float32), size, interpolation=cv2.INTER_CUBIC) for f in lr]
    return float(np.mean((np.stack(enlarged) - hr) ** 2))


def test_parameters_drift_along_a_still_clip() -> None:
    still = np.repeat(clip(1), 12, axis=0)
    blur_only = dataclasses.replace(NOTHING, blur_probability=1)
    config = DegradationConfig(clean_probability=0, first=blur_only, second=NOTHING, drift=0.1)
    steady = dataclasses.replace(config, drift=0.0)
    drifted = degrade(still, config=config, rng=np.random.default_rng(3)).astype(int)
    fixed = degrade(still, config=steady, rng=np.random.default_rng(3)).astype(int)
    assert np.abs(np.diff(drifted, axis=0)).max() > 0
    assert np.abs(np.diff(fixed, axis=0)).max() == 0


@pytest.mark.parametrize("shape", [(2, 62, 64, 3), (0, 64, 64, 3), (2, 0, 64, 3)])
def test_a_clip_that_does_not_divide_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="multiples of 4"):
        degrade(
            np.zeros(shape, np.float32), config=DegradationConfig(), rng=np.random.default_rng(0)
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda: DegradationConfig(clean_probability=1.5),
        lambda: DegradationConfig(severity=(0.0, 1.0)),
        lambda: DegradationStageConfig(anisotropic_share=0.9, plateau_share=0.9),
        lambda: DegradationStageConfig(blur_sigma=(0.0, 1.0)),
        lambda: CompressionConfig(codec_probability=0.7, jpeg_probability=0.7),
        lambda: CompressionConfig(jpeg_quality=(200.0, 10.0)),
        lambda: CompressionConfig(codec_probability=0.5, codecs=()),
        lambda: CodecConfig(weight=-1.0),
    ],
)
def test_impossible_ranges_are_errors(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]
