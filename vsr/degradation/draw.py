"""Random parameters: drawn from ranges (mild, strong) by one severity per clip."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vsr.errors import ConfigError

Range = tuple[float, float]
"""The value of a parameter in a mild and in a strong case."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The source of the parameters of one clip; `full_size` is (h, w) of the good clip."""

    rng: np.random.Generator
    severity: float
    drift: float
    full_size: tuple[int, int]

    def chance(self, probability: float) -> bool:
        """Draw True with this probability."""
        return bool(self.rng.random() < probability)

    def value(self, limits: Range) -> float:
        """Draw a value between the limits: at the severity, plus or minus 40 % of it."""
        strength = min(1.0, self.severity * self.rng.uniform(0.6, 1.4))
        return limits[0] + (limits[1] - limits[0]) * strength

    def drifting(self, value: float, t: int) -> Float[np.ndarray, "t"]:
        """Draw the value in each of `t` frames: a random walk of its logarithm."""
        return value * np.exp(np.cumsum(self.rng.normal(0.0, self.drift, t)))


def check_probabilities(config: object, *names: str) -> None:
    """Raise ConfigError if one of the fields is not in [0, 1]."""
    for name in names:
        if not 0 <= (value := getattr(config, name)) <= 1:
            raise ConfigError(f"{name} = {value} must lie between 0 and 1")


def check_ranges(config: object, *names: str, above_zero: bool = False) -> None:
    """Raise ConfigError if a range has a negative end, or an end of 0 that must be positive."""
    for name in names:
        low = min(getattr(config, name))
        if low < 0 or (above_zero and low == 0):
            wanted = "be above 0" if above_zero else "not be negative"
            raise ConfigError(f"{name} = {getattr(config, name)} must {wanted}")
