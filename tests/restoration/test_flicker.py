"""Flicker: exposure that pumps is evened out, and light that changes in the scene is not."""

import numpy as np
import pytest

from tests.restoration.scenes import pan, repaired, still
from vsr.degradation.film import flicker

LEVEL = 1 / 255


def test_flicker_goes_and_a_pan_keeps_its_light() -> None:
    clip = pan(40)
    worn = flicker(clip, strength=0.06, local=0.0, memory=0.0, rng=np.random.default_rng(1))
    found = repaired(worn, flicker=1)
    before, after = (np.abs(np.diff((x - clip).mean((1, 2, 3)))).mean() for x in (worn, found))
    assert after < 0.2 * before


@pytest.mark.parametrize("scene", [still, pan])
def test_light_that_does_not_flicker_stays(scene) -> None:
    clip = scene(40)
    fade = np.linspace(1, 0.05, 40, dtype=np.float32)[:, None, None, None]
    lightning = np.ones_like(fade)
    lightning[[10, 11, 20], ...] = np.float32([1.5, 1.2, 1.8])[:, None, None, None]
    for light in (np.ones_like(fade), fade, lightning):
        lit = np.clip(clip * light, 0, 1)
        assert np.abs(repaired(lit, flicker=1) - lit).mean((1, 2, 3)).max() < 0.5 * LEVEL
