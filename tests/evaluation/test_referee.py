"""Agreement with an independent implementation, by golden numbers of one synthetic clip."""

from importlib.util import find_spec

import numpy as np
import pytest

from tests.evaluation.clips import coarse_clip, figures_of, truth_clip
from tests.evaluation.documented import wrong_by
from vsr.evaluation.fidelity import fidelity
from vsr.evaluation.meters import FrameMeter, Meter
from vsr.evaluation.patterns import GridMeter
from vsr.evaluation.perceptual import EfficientNetDistance, ShiftTolerantLpips
from vsr.evaluation.temporal import TemporalMeter

# Of the development set's referee, for coarse_clip(truth_clip()); networks see every 2nd frame.
GOLDEN = {
    "psnr_y": 21.984056,
    "ssim_y": 0.386703,
    "stlpips": 0.090419,
    "robust": 0.118817,
    "effnet": 4.045269,
    "grid": 1.0,
    "ewarp": 7.102397,
    "ewarp_gt": 0.00256,
    "tdiff": 7.106077,
}


def check(meter: Meter, *names: str) -> None:
    truth = truth_clip()
    figures = figures_of(meter, coarse_clip(truth), truth)
    for name in names:
        tolerance = wrong_by(name, "the referee")
        assert figures[name] == pytest.approx(GOLDEN[name], abs=tolerance), name


def test_psnr_and_ssim_are_those_of_the_referee() -> None:
    check(FrameMeter(fidelity), "psnr_y", "ssim_y")


def test_temporal_errors_are_those_of_the_referee() -> None:
    check(TemporalMeter(), "ewarp", "ewarp_gt", "tdiff")


def test_grid_is_that_of_the_referee() -> None:
    check(GridMeter(), "grid")


def test_shift_tolerant_lpips_is_that_of_the_referee() -> None:
    if find_spec("stlpips_pytorch") is None:
        pytest.skip("needs the extra eval")
    check(FrameMeter(ShiftTolerantLpips(), every=2), "stlpips", "robust")


def test_efficientnet_distance_is_that_of_the_referee() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="extra eval")
    check(FrameMeter(EfficientNetDistance(), every=2), "effnet")


def test_the_fidelity_of_scikit_image_is_the_same() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="comes with the extra eval")
    from vsr.evaluation.fidelity import psnr, ssim

    a, b = np.random.default_rng(0).uniform(16, 235, (2, 64, 64))
    expected = metrics.peak_signal_noise_ratio(a, b, data_range=255)
    assert psnr(a, b) == pytest.approx(expected, abs=wrong_by("psnr_y", "scikit-image"))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = metrics.structural_similarity(a, b, data_range=255, **options)
    assert ssim(a, b) == pytest.approx(expected, abs=wrong_by("ssim_y", "scikit-image"))


def test_the_ssim_of_torchmetrics_is_the_same_over_whole_windows() -> None:
    """Its own mean also takes windows that reflect the border."""
    metrics = pytest.importorskip("torchmetrics.functional.image", reason="not needed otherwise")
    import torch

    from vsr.evaluation.fidelity import psnr, ssim

    a, b = np.random.default_rng(0).uniform(16, 235, (2, 64, 64))
    first, second = (torch.from_numpy(one)[None, None] for one in (a, b))
    expected = metrics.peak_signal_noise_ratio(second, first, data_range=255)
    assert psnr(a, b) == pytest.approx(float(expected), abs=wrong_by("psnr_y", "torchmetrics"))
    _, places = metrics.structural_similarity_index_measure(
        second, first, data_range=255.0, sigma=1.5, return_full_image=True
    )
    whole = float(places[..., 5:-5, 5:-5].mean())
    assert ssim(a, b) == pytest.approx(whole, abs=wrong_by("ssim_y", "torchmetrics"))


def test_the_colour_difference_of_scikit_image_is_the_same() -> None:
    color = pytest.importorskip("skimage.color", reason="comes with the extra eval")
    from vsr.evaluation.color_drift import ciede2000

    random = np.random.default_rng(1)
    ranges = ((0, 100), (-100, 100), (-100, 100))
    first, second = (
        np.stack([random.uniform(*ends, 2000) for ends in ranges], axis=-1) for _ in range(2)
    )
    expected = color.deltaE_ciede2000(first, second)
    tolerance = wrong_by("color", "scikit-image")
    assert ciede2000(first, second) == pytest.approx(expected, abs=tolerance)
