"""CIEDE2000 against the published test data."""

import numpy as np
import pytest

from tests.evaluation.documented import wrong_by
from vsr.evaluation.color_drift import ciede2000

# Sharma, Wu and Dalal 2005, table 1 (part).
PUBLISHED = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (61, -5, 29), 22.8977),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.mark.parametrize(("first", "second", "difference"), PUBLISHED)
def test_ciede2000_is_that_of_the_published_table(
    first: tuple[float, ...], second: tuple[float, ...], difference: float
) -> None:
    found = ciede2000(np.array([first], float), np.array([second], float))
    assert found[0] == pytest.approx(difference, abs=wrong_by("color", "the published data"))
