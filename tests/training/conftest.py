"""What the tests of training share: photographs, and an accelerate that knows of no other run."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(3):
        coarse = rng.integers(0, 256, (40, 60, 3), np.uint8)
        large = cv2.resize(coarse, (480, 320), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number}.png"), large)
    return folder
