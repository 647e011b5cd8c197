"""FID: the Fréchet distance between the features of two sets of frames (Heusel et al. 2017)."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vsr.evaluation.image_quality import loaded_by_pyiqa
from vsr.evaluation.meters import Picture

_SIDE = 299  # pixels, of the network's input

Vectors = NDArray[np.float64]
"""A row of features for each frame."""

Features = Callable[[Picture], NDArray[np.float32]]


class InceptionFeatures:
    """The 2048 features of FID's Inception network, from pyiqa (extra `eval`).

    Frames are resized as by Clean-FID: bicubic with antialiasing, in float. Raises DependencyError
    if the package or its weights are missing.
    """

    def __init__(self) -> None:
        with loaded_by_pyiqa():
            from pyiqa.archs.inception import InceptionV3

            self._network: Any = InceptionV3().eval()

    @torch.inference_mode()
    def __call__(self, picture: Picture) -> NDArray[np.float32]:
        """Return the features of a frame."""
        x = torch.from_numpy((_small(picture) - 128) / 128).permute(2, 0, 1)[None]
        return self._network(x, False, False)[0].flatten().numpy()


def frame_features(frames: Iterable[Picture], features: Features) -> Vectors:
    """Return the features of all frames, `n d`."""
    return np.stack([features(frame) for frame in frames]).astype(np.float64)


def frechet_distance(first: Vectors, second: Vectors) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of the means and covariances of rows.

    With S = A^T A, the trace of (S1 S2)^(1/2) is the sum of the singular values of A1 A2^T: exact
    also for fewer frames than features, whose covariances have no full rank.
    """
    offset = np.square(first.mean(0) - second.mean(0)).sum()
    a, b = _root(first), _root(second)
    common = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(max(0.0, offset + np.square(a).sum() + np.square(b).sum() - 2 * common))


def _root(vectors: Vectors) -> Vectors:
    """A matrix A with A^T A the covariance of the rows, and no more rows than columns."""
    centred = (vectors - vectors.mean(0)) / np.sqrt(max(1, len(vectors) - 1))
    if len(centred) <= centred.shape[1]:
        return centred
    return np.asarray(np.linalg.qr(centred, mode="r"), np.float64)


def _small(picture: Picture) -> NDArray[np.float32]:
    channels = [
        Image.fromarray(np.ascontiguousarray(picture[..., c], np.float32)).resize(
            (_SIDE, _SIDE), Image.Resampling.BICUBIC
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(one, np.float32) for one in channels], axis=-1).clip(0, 255)
