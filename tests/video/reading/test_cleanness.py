"""Clean frames are told from blurred, noisy and compressed ones."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from tests.video.reading.test_detail import Image, grainy, scene
from vsr.degradation import DegradationConfig, degrade
from vsr.video.reading.cleanness import are_clean


def clean(seed: int = 0) -> Image:
    large = scene(seed)[None].astype(np.float32) / 255
    config = DegradationConfig(scale=2, clean_probability=1.0)
    return degrade(large, config=config, rng=np.random.default_rng(seed))[0]


def jpeg(image: Image) -> Image:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [1, 50])[1], cv2.IMREAD_COLOR))


DAMAGES: dict[str, Callable[[Image], Image]] = {
    "blur": lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8),
    "noise": lambda image: grainy(image, 15),
    "codec": jpeg,
    "black": np.zeros_like,
    "too small": lambda image: image[:63, :63],
}


@pytest.mark.parametrize("seed", range(3))
def test_frames_that_were_only_reduced_are_clean(seed: int) -> None:
    frame = clean(seed)
    assert are_clean([frame, frame])
    assert are_clean([frame.astype(np.uint16) * 257])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("seed", range(3))
def test_damaged_frames_and_those_that_show_nothing_are_not(damage: str, seed: int) -> None:
    assert not are_clean([DAMAGES[damage](clean(seed))])
