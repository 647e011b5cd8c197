"""Smooth paths through noisy ones: the part of a motion or a brightness that the scene has."""

import numpy as np
from jaxtyping import Float

_ITERATIONS = 6
_TUKEY = 4.0
"""Values farther from the smooth path than this many deviations have no weight."""
_CLEAR = (12.0, 24.0)
"""Fisher's F of a parameter: below the first it is left out, above the second it counts whole."""

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


def steady_at(path: Path, centre: int) -> Float[np.ndarray, "n"]:
    """Return the robust course of `path` at frame `centre`, as simple as its values allow.

    It is the mean of the window, a line where that fits clearly better (by Fisher's F of one more
    parameter), and the local polynomial where a cubic fits clearly better than the line: the fewer
    parameters, the less of the noise is in them.
    """
    times = (np.arange(len(path)) - centre) / len(path)
    base = np.stack([times**power for power in range(4)], 1)
    fits = {degree: _fitted(base[:, : degree + 1], path) for degree in (0, 1, 3)}
    (mean, apart), (line, line_apart), (_, cubic_apart) = (fits[degree] for degree in (0, 1, 3))
    slanted = _clearer(apart, line_apart, len(path))
    curved = _clearer(line_apart, cubic_apart, len(path) / 2)
    simple = mean + slanted * (line - mean)
    if not curved.any():
        return simple
    return simple + curved * (smooth_at(path, centre, degree=1) - simple)


def _clearer(
    apart: Float[np.ndarray, "n"], better: Float[np.ndarray, "n"], count: float
) -> Float[np.ndarray, "n"]:
    """Return 0 where a fit is not clearly better than a simpler one, to 1 where it is."""
    score = count * (apart / (better + 1e-12) - 1)
    return np.clip((score - _CLEAR[0]) / (_CLEAR[1] - _CLEAR[0]), 0, 1)


def _fitted(
    base: Float[np.ndarray, "t d"], path: Path
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Return robust fits of the columns at time 0, and their mean squared residuals."""
    fit = _weighted(base, path, np.ones_like(path))
    residuals, spread = _residuals(base, path, fit)
    for _ in range(_ITERATIONS - 1):
        weights = np.clip(1 - (residuals / (_TUKEY * spread)) ** 2, 0, None) ** 2
        fit = _weighted(base, path, weights)
        residuals, spread = _residuals(base, path, fit)
    return fit[:, 0], (np.minimum(np.abs(residuals), 3 * spread) ** 2).mean(0)


def _weighted(
    base: Float[np.ndarray, "t d"], path: Path, weights: Path
) -> Float[np.ndarray, "n d"]:
    """Return weighted least squares of each column."""
    matrix = np.einsum("td,tn,te->nde", base, weights, base) + 1e-9 * np.eye(base.shape[1])
    right = np.einsum("td,tn->nd", base, weights * path)
    return np.linalg.solve(matrix, right[..., None])[..., 0]


def _residuals(
    base: Float[np.ndarray, "t d"], path: Path, fit: Float[np.ndarray, "n d"]
) -> tuple[Path, Float[np.ndarray, "n"]]:
    residuals = path - base @ fit.T
    return residuals, 1.4826 * np.median(np.abs(residuals), 0) + 1e-9


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
