"""Grain: a description of the grain of a shot, which travels with its frames."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BLOCK = 32
"""Side of the blocks whose spectra are averaged."""
BINS = 16
"""Number of steps of brightness."""
MIDDLES: Float[np.ndarray, "bins"] = (np.arange(BINS) + 0.5) / BINS
"""The luma of each step."""
_LEAST_SHARE = 0.05
"""Variance of grain in black and white, of that in mid-grey."""


def usual_variance(luma: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Return how the variance of grain varies with luma, of that in mid-grey.

    That of the Boolean model of grains (Newson et al. 2017), u (1 - u), and a little more.
    """
    return _LEAST_SHARE + (1 - _LEAST_SHARE) * 4 * luma * (1 - luma)


@dataclass(frozen=True, slots=True, eq=False)
class Grain:
    """Grain as independent Gaussian components, each along one direction of RGB.

    `basis` has the directions as columns, of length 1; `spectra` the power of each component by
    frequency (cycles in `BLOCK` pixels, as `fft2` has them), with mean 1; `deviations` the standard
    deviation of each, of white, by the luma of the picture under it, one of `MIDDLES`.
    `size` is the height and width of the frames in which it was measured.
    """

    size: tuple[int, int]
    basis: Float[np.ndarray, "3 k"]
    spectra: Float[np.ndarray, "k n n"]
    deviations: Float[np.ndarray, "k bins"]
    weights: Float[np.ndarray, "bins"]
    """Share of the picture at each brightness."""
    strength: float = 1.0
    """Factor with which it is given back."""

    def deviations_at(self, luma: Float[np.ndarray, "n"]) -> Float[np.ndarray, "k n"]:
        """Return the deviation of each component at a luma, between and beyond `MIDDLES`.

        Between them and towards black and white it follows the usual course.
        """
        shares = self.deviations / np.sqrt(usual_variance(MIDDLES))
        found = [np.interp(luma, MIDDLES, share) for share in shares]
        return np.stack(found) * np.sqrt(usual_variance(luma))

    @property
    def level(self) -> float:
        """The standard deviation of luma, of white, over the whole picture."""
        return float(np.sqrt((self.luma_deviations**2) @ self.weights))

    @property
    def luma_deviations(self) -> Float[np.ndarray, "bins"]:
        """The standard deviation of luma by brightness."""
        luma = np.array([0.299, 0.587, 0.114]) @ self.basis
        return np.sqrt((luma[:, None] ** 2 * self.deviations**2).sum(0))

    @property
    def mean_deviations(self) -> Float[np.ndarray, "bins"]:
        """The root of the mean variance of red, green and blue by brightness."""
        return np.sqrt((self.deviations**2).sum(0) / 3)
