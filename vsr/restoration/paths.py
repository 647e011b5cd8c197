"""Smooth paths through noisy ones: the part of a motion or a brightness that the scene has."""

import numpy as np
from jaxtyping import Float

_ITERATIONS = 6
_TUKEY = 4.0
"""Values farther from the smooth path than this many deviations have no weight."""

Path = Float[np.ndarray, "t n"]


def smooth_at(path: Path, centre: int, *, degree: int) -> Float[np.ndarray, "n"]:
    """Return a robust local polynomial of `path` at frame `centre`.

    Cleveland 1979: least squares, tricube weights in time, Tukey's biweight of the residuals.
    """
    times = np.arange(len(path)) - centre
    reach = max(1.0, np.abs(times).max() + 1.0)
    base = np.stack([(times / reach) ** power for power in range(degree + 1)], 1)
    window = (1 - np.abs(times / (reach + 1)) ** 3) ** 3
    return np.array([_robust(base, column, window) for column in path.T])


def noise_of(path: Path) -> Float[np.ndarray, "n"]:
    """Return the deviation of independent noise in a path, by its second differences."""
    if len(path) < 4:
        return np.zeros(path.shape[1])
    second = np.diff(path, 2, axis=0)
    return np.median(np.abs(second), axis=0) / (0.6745 * np.sqrt(6))


def _robust(base: np.ndarray, values: np.ndarray, window: np.ndarray) -> float:
    weights = window
    fit = np.zeros(base.shape[1])
    for _ in range(_ITERATIONS):
        roots = np.sqrt(weights)[:, None]
        fit = np.linalg.lstsq(base * roots, values * roots[:, 0], rcond=None)[0]
        residuals = np.abs(values - base @ fit)
        spread = 1.4826 * np.median(residuals) + 1e-9
        weights = window * np.clip(1 - (residuals / (_TUKEY * spread)) ** 2, 0, None) ** 2
    return float(fit[0])
