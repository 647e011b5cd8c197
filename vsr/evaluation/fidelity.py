"""PSNR and SSIM on luma, with the border left out."""

import cv2
import numpy as np
from numpy.typing import NDArray

from vsr.evaluation.meters import Figures, Moment, Picture

BORDER = 8
"""Pixels left out at each side: upscalers differ there in how they pad."""

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_LEAST_DETAIL = 0.01  # levels, of a flat picture
_SMALLEST_ERROR = 1e-10  # caps PSNR at 148 dB, for equal frames

Plane = NDArray[np.float64]


def luma(picture: Picture) -> Plane:
    """Return BT.601 studio luma, 16 to 235, not rounded."""
    return 16 + picture.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def fidelity(moment: Moment) -> Figures:
    """Return `psnr_y` (dB), `ssim_y` and `detail` of a frame.

    `detail` is the ratio of the mean absolute Laplacian: below 1 is blur, above is sharpening.
    """
    truth, output = inner(luma(moment.reference)), inner(luma(moment.output))
    detail = _detail(output) / _detail(truth)
    return {"psnr_y": psnr(truth, output), "ssim_y": ssim(truth, output), "detail": detail}


def inner(plane: Plane) -> Plane:
    """Return the plane without its border."""
    return plane[BORDER:-BORDER, BORDER:-BORDER]


def psnr(truth: Plane, output: Plane) -> float:
    """Return the peak signal-to-noise ratio in dB; the peak is 255."""
    error = float(np.square(truth - output).mean())
    return float(10 * np.log10(255**2 / max(error, _SMALLEST_ERROR)))


def ssim(truth: Plane, output: Plane) -> float:
    """Return the structural similarity (Wang et al. 2004), over windows that lie inside."""
    mean_t, mean_o = _local_mean(truth), _local_mean(output)
    var_t = _local_mean(truth**2) - mean_t**2
    var_o = _local_mean(output**2) - mean_o**2
    covariance = _local_mean(truth * output) - mean_t * mean_o
    brightness = (2 * mean_t * mean_o + _C1) / (mean_t**2 + mean_o**2 + _C1)
    structure = (2 * covariance + _C2) / (var_t + var_o + _C2)
    return float((brightness * structure).mean())


def _detail(plane: Plane) -> float:
    return max(float(np.abs(cv2.Laplacian(plane, cv2.CV_64F)).mean()), _LEAST_DETAIL)


def _local_mean(plane: Plane) -> Plane:
    """Gaussian-weighted means over whole windows."""
    half = _WINDOW // 2
    blurred = cv2.GaussianBlur(plane, (_WINDOW, _WINDOW), _SIGMA)
    return np.asarray(blurred, np.float64)[half:-half, half:-half]
