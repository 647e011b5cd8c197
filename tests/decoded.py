"""What is in a film: its pictures and their times."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def pixels(path: Path) -> np.ndarray:
    """All frames in RGB, `t h w 3`."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def times(path: Path) -> list[Fraction]:
    """The times of all frames, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]
