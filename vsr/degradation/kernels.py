"""Blur kernels: small square arrays of odd size that sum to 1 and shift nothing."""

import numpy as np
from jaxtyping import Float

Kernel = Float[np.ndarray, "k k"]


def gaussian_kernel(
    sigma_x: float, sigma_y: float, *, angle: float = 0.0, beta: float = 1.0
) -> Kernel:
    """exp(-(d' S^-1 d)^beta / 2): a Gaussian at beta 1, boxy above, peaked below."""
    return _normalised(np.exp(-0.5 * _mahalanobis(sigma_x, sigma_y, angle) ** beta))


def plateau_kernel(
    sigma_x: float, sigma_y: float, *, angle: float = 0.0, beta: float = 1.0
) -> Kernel:
    """1 / (1 + (d' S^-1 d)^beta): flat in the middle, with long tails."""
    return _normalised(1.0 / (1.0 + _mahalanobis(sigma_x, sigma_y, angle) ** beta))


def sinc_kernel(cutoff: float, size: int = 21) -> Kernel:
    """The circular low-pass filter J1(cutoff r) / r: it rings like strong sharpening.

    `cutoff` is in radians a pixel, up to pi.
    """
    assert size % 2 == 1
    radius = np.hypot(*_grid(size // 2))
    radius[size // 2, size // 2] = 1e-6
    return _normalised(_bessel_j1(cutoff * radius) / radius)


def _mahalanobis(sigma_x: float, sigma_y: float, angle: float) -> Kernel:
    # Three sigmas hold 99.7 % of a Gaussian; 10 pixels is the radius of the papers' kernels.
    x, y = _grid(min(10, max(1, int(np.ceil(3 * max(sigma_x, sigma_y))))))
    along = (np.cos(angle) * x + np.sin(angle) * y) / sigma_x
    across = (np.cos(angle) * y - np.sin(angle) * x) / sigma_y
    return along**2 + across**2


def _grid(radius: int) -> tuple[Kernel, Kernel]:
    axis = np.arange(-radius, radius + 1, dtype=np.float64)
    x, y = np.meshgrid(axis, axis)
    return x, y


def _bessel_j1(x: Kernel) -> Kernel:
    # J1(x) = mean over tau in [0, pi] of cos(tau - x sin tau); 64 midpoints are exact to 1e-12
    # for the arguments below 50 that occur here.
    tau = (np.arange(64) + 0.5) * np.pi / 64
    return np.cos(tau - x[..., None] * np.sin(tau)).mean(-1)


def _normalised(kernel: Kernel) -> Kernel:
    return (kernel / kernel.sum()).astype(np.float32)
