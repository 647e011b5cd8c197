"""Blocks of what two neighbouring frames do not share, in which the grain of a shot is measured."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray

from vsr.ops.dis import DenseSearch
from vsr.restoration.images import Image, Luma, as_bytes, luma_of, sampled
from vsr.video.grain import BINS, BLOCK

_SOFT = 3.0
"""Deviation of the blur with which motion is searched."""
_SMOOTH = 24.0
"""Deviation of the blur of the motion."""
_EDGES = 1.6
"""Deviation of the blur of the picture in which texture is seen."""
_FINE = 0.7
"""The same for what an error of the motion leaves."""
_FLAT_SHARE = 0.5
"""Share of the blocks of a brightness that are taken: the flattest."""
LEAST_BLOCKS = 8
_LOW, _OUTLIER = 0.25, 2.0
"""Blocks with so many times the variance of this quantile show dust, or motion."""
_TRUSTED = 0.2
"""Quantile of texture of which a block counts half."""
_FLATTEST = 0.1
"""Quantile of texture of the blocks that are flat."""


@dataclass(frozen=True, slots=True)
class GrainBlocks:
    """Differences along the motion in blocks, scaled so that their variance is that of the grain.

    Their planes, flicker and light that moves, are taken out. `white` are those of white noise of
    variance 1, which tell what alignment takes away; `texture` is how steep the picture is, as the
    root of a mean square, and `luma` its mean.
    """

    differences: Float[np.ndarray, "n b b 3"]
    white: Float[np.ndarray, "n b b"]
    luma: Float[np.ndarray, "n"]
    texture: Float[np.ndarray, "n"]

    def __len__(self) -> int:
        return len(self.luma)

    @property
    def bins(self) -> NDArray[np.int64]:
        """The step of brightness of each block."""
        return np.clip((self.luma * BINS).astype(np.int64), 0, BINS - 1)

    @property
    def trust(self) -> Float[np.ndarray, "n"]:
        """The weight of each block: less where texture can be taken for grain."""
        usual = np.quantile(self.texture, _TRUSTED) + 1e-9
        return 1 / (1 + (self.texture / usual) ** 4)

    def of(self, taken: NDArray[np.intp]) -> "GrainBlocks":
        """Return the blocks of these numbers."""
        return GrainBlocks(*(getattr(self, field.name)[taken] for field in fields(self)))


def gathered(parts: Sequence[GrainBlocks]) -> GrainBlocks:
    """Return all blocks as one."""
    names = [field.name for field in fields(GrainBlocks)]
    return GrainBlocks(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


def blocks_between(before: Image, after: Image) -> GrainBlocks:
    """Return what the second frame does not share with the first along the motion.

    What a small error of the motion in a block leaves is taken out.
    """
    flow = _motion(before, after)
    moved = _moved(after, flow)
    noise = np.random.default_rng(0).standard_normal((2, *flow.shape[:2]), np.float32)
    left = noise[0] - _moved(noise[1], flow)
    half = np.float32(np.sqrt(0.5))
    picture = luma_of(before + moved) / 2  # its grain tells nothing about that of the difference
    slope = _slope(np.asarray(cv2.GaussianBlur(picture, (0, 0), _EDGES), np.float32))
    return GrainBlocks(
        without_shifts(_blocks((before - moved) * half), _blocks(_slopes(picture))),
        _blocks((left * half)[..., None])[..., 0],
        _blocks(picture[..., None]).mean((1, 2, 3)),
        np.sqrt((_blocks(slope[..., None]) ** 2).mean((1, 2, 3))),
    )


def flat_blocks(blocks: GrainBlocks) -> GrainBlocks:
    """Return the blocks of each brightness in which nothing but grain is seen.

    Of the flattest, those of more than the usual variance show motion or dust.
    """
    bins = blocks.bins
    variances = blocks.differences.var((1, 2, 3))
    flat = blocks.texture <= np.median(blocks.texture)
    taken: list[NDArray[np.intp]] = []
    for number in np.unique(bins[flat]):
        members = np.flatnonzero(flat & (bins == number))
        count = max(LEAST_BLOCKS, round(_FLAT_SHARE * len(members)))
        flattest = members[np.argsort(blocks.texture[members], kind="stable")[:count]]
        low = np.quantile(variances[flattest], _LOW)
        taken.append(flattest[variances[flattest] <= _OUTLIER * low])
    return blocks.of(np.sort(np.concatenate(taken)))


def without_texture(
    variances: Float[np.ndarray, "n"], blocks: GrainBlocks
) -> Float[np.ndarray, "n"]:
    """Return the variances without what they grow by with texture, compared to flat blocks.

    One line through the blocks of all brightnesses, each without its mean; flat are the flattest
    of each brightness.
    """
    bins, weights = blocks.bins, blocks.trust
    total = np.bincount(bins, weights, BINS)[bins]
    across, up = (
        values - np.bincount(bins, weights * values, BINS)[bins] / total
        for values in (blocks.texture, variances)
    )
    slope = max(0.0, float(weights * across @ up) / (float(weights * across @ across) + 1e-12))
    flat = {n: np.quantile(blocks.texture[bins == n], _FLATTEST) for n in np.unique(bins)}
    more = np.maximum(0, blocks.texture - np.array([flat[n] for n in bins]))
    return np.maximum(variances - slope * more, 0.25 * variances)


def without_planes(blocks: Float[np.ndarray, "n b b c"]) -> Float[np.ndarray, "n b b c"]:
    """Return the blocks without their mean and slope."""
    line = np.linspace(-1, 1, BLOCK)
    plane = np.stack([np.ones((BLOCK, BLOCK)), *np.meshgrid(line, line)]).reshape(3, -1)
    base = np.linalg.qr(plane.T)[0].astype(np.float32)
    flat = blocks.reshape(len(blocks), BLOCK**2, blocks.shape[-1])
    return (flat - base @ (base.T @ flat)).reshape(blocks.shape)


def without_shifts(
    blocks: Float[np.ndarray, "n b b c"], slopes: Float[np.ndarray, "n b b 2"]
) -> Float[np.ndarray, "n b b c"]:
    """Return the blocks without their planes, and without what shifts of the picture make."""
    flat, steep = (
        without_planes(x).reshape(len(x), BLOCK**2, x.shape[-1]) for x in (blocks, slopes)
    )
    base = np.linalg.qr(steep)[0]
    return (flat - base @ (base.transpose(0, 2, 1) @ flat)).reshape(blocks.shape)


def _slopes(picture: Luma) -> Float[np.ndarray, "h w 2"]:
    """Return how the picture changes from a pixel to the next, along rows and columns."""
    soft = cv2.GaussianBlur(picture, (0, 0), _FINE)
    return np.stack([cv2.Sobel(soft, cv2.CV_32F, *axis) for axis in ((1, 0), (0, 1))], -1)


def _motion(before: Image, after: Image) -> Float[np.ndarray, "h w 2"]:
    first, second = (
        np.asarray(cv2.GaussianBlur(luma_of(image), (0, 0), _SOFT), np.float32)
        for image in (before, after)
    )
    found = DenseSearch("medium")(as_bytes(first), as_bytes(second))
    return _smooth(found, _slope(first))


def _slope(soft: Luma) -> Float[np.ndarray, "h w"]:
    """Return how steep the softened picture is."""
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))


def _smooth(flow: Float[np.ndarray, "h w 2"], slope: Float[np.ndarray, "h w"]) -> np.ndarray:
    """Return the flow as structures around tell it, since in flat places it follows the grain."""
    weights = slope**4 + 1e-12
    total = cv2.GaussianBlur(weights, (0, 0), _SMOOTH)
    return (
        np.asarray(cv2.GaussianBlur(flow * weights[..., None], (0, 0), _SMOOTH)) / total[..., None]
    )


def _moved(image: NDArray[np.float32], flow: Float[np.ndarray, "h w 2"]) -> NDArray[np.float32]:
    """Return `image(p + flow(p))` with little loss of fine grain."""
    return sampled(image, flow, interpolation=cv2.INTER_LANCZOS4, border=cv2.BORDER_REFLECT_101)


def _blocks(image: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "n b b c"]:
    h, w = (side // BLOCK * BLOCK for side in image.shape[:2])
    return rearrange(image[:h, :w], "(r a) (k b) c -> (r k) a b c", a=BLOCK, b=BLOCK)
