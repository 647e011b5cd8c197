"""The grain of a shot, measured on what neighbouring frames do not share in flat places."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray

from vsr.ops.dis import DenseSearch
from vsr.restoration.images import Image, Luma, as_bytes, as_image, luma_of, sampled
from vsr.video.grain import BINS, BLOCK, MIDDLES, Grain
from vsr.video.pixels import Pixels

_PAIRS = 8
"""Pairs of neighbouring frames that are looked at."""
_FLAT_SHARE = 0.4
"""Share of the blocks of a brightness that are taken: the flattest."""
_LEAST_BLOCKS = 8
_LOW, _OUTLIER = 0.25, 2.0
"""Blocks with so many times the variance of this quantile show dust, or motion."""
_SOFT = 3.0
"""Deviation of the blur with which motion is searched."""
_NEAR, _FAR = 3.3, 5.5
"""Frequencies, in cycles a block, from which those below the first are told."""
_SMOOTH = 24.0
"""Deviation of the blur of the motion."""
_LEAST = 0.8 / 255
"""Deviation below which there is no grain to speak of: a codec's or a camera's own noise."""
_FAINT = 0.02
"""Components with less of the variance are left out."""
_SAME = 0.05 / 255
"""Frames that differ less are the same picture, shown twice."""

Blocks = Float[np.ndarray, "n b b 3"]


def measure_grain(pictures: Sequence[Pixels]) -> Grain | None:
    """Return the grain of the consecutive `pictures` of one shot; None if there is none.

    Where two neighbouring frames show the same flat place, what they do not share is grain: its
    variance by brightness, its colours by principal components, and the mean spectrum of each.
    """
    found = [_differences(*pair) for pair in _pairs(pictures)]
    if not found:
        return None
    blocks, transfer, luma, flatness = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(blocks) < _LEAST_BLOCKS:
        return None
    weights = np.bincount(_bin(luma), minlength=BINS) / len(luma)
    taken = _flat(blocks, luma, flatness)
    gains = _transfer(transfer[taken])
    return _described(blocks[taken], luma[taken], weights, pictures[0].shape[:2], gains)


def _pairs(pictures: Sequence[Pixels]) -> Iterator[tuple[Image, Image, Image]]:
    """Yield some pairs of neighbours, evenly spaced, without frames that are shown twice.

    With each comes a third frame near them, which tells where the picture is flat: places that are
    flat by the grain of the pair itself have less of it.
    """
    count = len(pictures) - 1
    places = np.unique(np.linspace(0, count - 1, min(_PAIRS, count)).round().astype(int))
    for i in places:
        before, after = as_image(pictures[i]), as_image(pictures[i + 1])
        if np.abs(before - after).mean() > _SAME:
            yield before, after, as_image(pictures[i - 1 if i else min(2, count)])


def _differences(
    before: Image, after: Image, other: Image
) -> tuple[Blocks, np.ndarray, np.ndarray, np.ndarray]:
    """Return blocks of what the second frame does not share with the first along the motion.

    With them come the same of white noise, which tells what interpolation takes away, their luma
    and how flat they are.
    """
    soft = [_softened(image) for image in (before, after, other)]
    found = DenseSearch("medium")(as_bytes(soft[0]), as_bytes(soft[1]))
    flow = _smooth(found, _slope(soft[0]))
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, *flow.shape[:2]), np.float32)
    apart = (before - _moved(after, flow)) * np.float32(np.sqrt(0.5))
    transfer = (noise[0] - _moved(noise[1], flow)) * np.float32(np.sqrt(0.5))
    luma, flatness = (_blocks(x[..., None]).mean((1, 2, 3)) for x in (soft[0], _slope(soft[2])))
    return _without_planes(_blocks(apart)), _blocks(transfer[..., None])[..., 0], luma, flatness


def _softened(image: Image) -> Luma:
    return np.asarray(cv2.GaussianBlur(luma_of(image), (0, 0), _SOFT), np.float32)


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


def _transfer(noise: Float[np.ndarray, "n b b"]) -> Float[np.ndarray, "b b"]:
    """Return the power that white noise of variance 1 has left, by frequency, smoothed."""
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(0) / BLOCK**2
    padded = np.pad(power, 2, mode="wrap")
    return np.asarray(cv2.GaussianBlur(padded, (5, 5), 1.0))[2:-2, 2:-2]


def _without_planes(blocks: Blocks) -> Blocks:
    """Return the blocks without their mean and slope: flicker, and light that moves."""
    line = np.linspace(-1, 1, BLOCK)
    plane = np.stack([np.ones((BLOCK, BLOCK)), *np.meshgrid(line, line)]).reshape(3, -1)
    base = np.linalg.qr(plane.T)[0].astype(np.float32)
    flat = blocks.reshape(len(blocks), BLOCK**2, 3)
    return (flat - base @ (base.T @ flat)).reshape(blocks.shape)


def _bin(luma: Float[np.ndarray, "n"]) -> NDArray[np.int64]:
    return np.clip((luma * BINS).astype(np.int64), 0, BINS - 1)


def _flat(blocks: Blocks, luma: np.ndarray, flatness: np.ndarray) -> NDArray[np.bool_]:
    """Return the blocks of each brightness in which nothing but grain is seen.

    Of the flattest, those of more than the usual variance show motion or dust.
    """
    bins = _bin(luma)
    variances = blocks.var((1, 2, 3))
    taken = np.zeros(len(blocks), bool)
    flat = flatness <= np.median(flatness)
    for number in np.unique(bins):
        members = np.flatnonzero(flat & (bins == number))
        if not len(members):
            continue
        count = max(_LEAST_BLOCKS, round(_FLAT_SHARE * len(members)))
        flattest = members[np.argsort(flatness[members], kind="stable")[:count]]
        low = np.quantile(variances[flattest], _LOW)
        taken[flattest[variances[flattest] <= _OUTLIER * low]] = True
    return taken


def _described(
    blocks: Blocks, luma: np.ndarray, weights: np.ndarray, size: tuple[int, ...], gains: np.ndarray
) -> Grain | None:
    """Return the grain of these blocks, in which white noise has the power `gains`."""
    pixels = blocks.reshape(-1, 3).astype(np.float64)
    energy, basis = np.linalg.eigh(pixels.T @ pixels / len(pixels))
    kept = [k for k in (2, 1, 0) if energy[k] > _FAINT * energy.sum()]
    if energy.sum() / 3 < _LEAST**2 or not kept:
        return None
    basis = basis[:, kept]
    components = np.moveaxis(blocks @ basis.astype(np.float32), -1, 0)
    spectra, deviations = [], []
    for component in components:
        variances = _by_brightness(component.var((1, 2)), luma)
        seen = _spectrum(component, np.sqrt(variances[_bin(luma)]))
        spectrum = seen / gains
        variances = variances * float(spectrum.mean() / seen.mean())
        spectra.append(spectrum / spectrum.mean())
        deviations.append(np.sqrt(variances * _loss(spectra[-1])))
    grain = Grain((size[0], size[1]), basis, np.stack(spectra), np.stack(deviations), weights)
    return grain if grain.level >= _LEAST else None


def _spectrum(
    component: Float[np.ndarray, "n b b"], levels: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "b b"]:
    """Return the mean power by frequency (Welch 1967); `levels` are the deviations of blocks."""
    window = np.hanning(BLOCK + 2)[1:-1]
    window = np.outer(window, window)
    even = component / (levels[:, None, None] + 1e-9)
    mean = (np.abs(np.fft.fft2(even * window)) ** 2).mean(0) / (window**2).sum()
    return _with_low_frequencies(mean)


def _with_low_frequencies(power: Float[np.ndarray, "b b"]) -> Float[np.ndarray, "b b"]:
    """Return the power with what planes take away, from a Gaussian through the rest."""
    steps = np.fft.fftfreq(BLOCK) * BLOCK
    distance = np.hypot(*np.meshgrid(steps, steps))
    near, far = (power[np.abs(distance - ring) < 0.6].mean() for ring in (_NEAR, _FAR))
    slope = np.clip(np.log(near / far), 0, 1.5) / (_FAR**2 - _NEAR**2)
    low = near * np.exp(slope * (_NEAR**2 - distance**2))
    return np.where(distance < _NEAR, np.maximum(power, low), power)


def _loss(spectrum: Float[np.ndarray, "b b"]) -> float:
    """Return by what the variance of a block grows when its plane, three numbers, is put back."""
    return 1 / (1 - min(0.5, 3 * spectrum[0, 0] / spectrum.size))


def _by_brightness(variances: np.ndarray, luma: np.ndarray) -> Float[np.ndarray, "bins"]:
    """Return the mean variance of each brightness; where there is none, that of the nearest."""
    apart = luma[None] - MIDDLES[:, None]
    near = np.exp(-0.5 * (apart * BINS / 0.6) ** 2) + 1e-12 / (1e-6 + np.abs(apart) ** 8)
    return (near @ variances) / near.sum(1)
