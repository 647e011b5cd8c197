"""Photographs become clips: camera paths, two parallax layers, and their exact motion.

Coordinates are (x, y) with pixel centres at whole numbers. A path holds, for each frame, the
3x3 matrix that takes a pixel of that frame to the pixel of the reference frame with the same
content; a placement takes the reference frame to the photograph.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from vsr.errors import ConfigError, InputError

Matrices = Float[np.ndarray, "t 3 3"]
Matrix = Float[np.ndarray, "3 3"]

# Beyond this many photograph pixels a pixel, one sample a pixel aliases.
_SUPERSAMPLING_FROM = 1.2


@dataclass(frozen=True, slots=True)
class MotionConfig:
    """Motion of the virtual camera; lengths in pixels of the rendered frame, rates per frame.

    `pan` is log-uniform between its limits; `zoom`, `rotation` (degrees) and `perspective` (the
    relative change of scale from the middle of the frame to its border) are standard deviations;
    `shake` is the largest standard deviation of a hand's trembling. `photo_scale` bounds the
    photograph's pixels a rendered pixel: above 1 the frames are sharper than the photograph.
    """

    still_probability: float = 0.08
    pan: tuple[float, float] = (0.1, 14.0)
    zoom: float = 0.008
    rotation: float = 0.35
    perspective: float = 0.004
    shake: float = 0.8
    photo_scale: tuple[float, float] = (1.1, 2.0)
    layer_probability: float = 0.4
    crop_tries: int = 6

    def __post_init__(self) -> None:
        if not 0 < self.pan[0] <= self.pan[1]:
            raise ConfigError(f"{self.pan = } must be two rising lengths above 0")
        if not 0 < self.photo_scale[0] <= self.photo_scale[1]:
            raise ConfigError(f"{self.photo_scale = } must be two rising factors above 0")
        if self.crop_tries < 1:
            raise ConfigError(f"{self.crop_tries = } must be at least 1")


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photograph, and how much detail there is in each of its 32x32 blocks."""

    pixels: UInt8[np.ndarray, "h w 3"]
    detail: Float[np.ndarray, "blocks_high blocks_wide"]


@dataclass(frozen=True, slots=True)
class MovingClip:
    """Rendered frames, their motion from frame k + 1 to frame k, and where it can be trusted.

    Frame k + 1 at p shows what frame k shows at p + flow_backward[:, k] (p), wherever
    `valid[k]`: the place is inside frame k and not hidden there.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    flow_backward: Float[np.ndarray, "2 t-1 h w"]
    valid: Bool[np.ndarray, "t-1 h w"]


def detail_map(pixels: UInt8[np.ndarray, "h w 3"], *, block: int = 32) -> np.ndarray:
    """Mean gradient magnitude of each block, in grey levels: low where the picture is flat."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    gradient = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    size = (max(1, pixels.shape[1] // block), max(1, pixels.shape[0] // block))
    return cv2.resize(gradient, size, interpolation=cv2.INTER_AREA)


def moving_clip(
    photo: Photo,
    other: Photo,
    *,
    frames: int,
    size: int,
    config: MotionConfig,
    rng: np.random.Generator,
) -> MovingClip:
    """A `size` x `size` clip of `photo` under a random camera, sometimes with a shape of `other`
    that moves before it in its own way. Raises InputError where a photograph is too small."""
    path = camera_path(frames, size=size, config=config, rng=rng)
    background = _render(photo.pixels, place(photo, size=size, config=config, rng=rng) @ path, size)
    flow = backward_flow(path, size)
    if rng.random() >= config.layer_probability:
        return MovingClip(background, flow, _inside(flow))
    own = camera_path(frames, size=size, config=config, rng=rng)
    layer_path = own if rng.random() < 0.5 else path @ own
    layer = _render(
        other.pixels, place(other, size=size, config=config, rng=rng) @ layer_path, size
    )
    alpha = _moving_shape(layer_path, size, rng)
    weight = alpha[..., None]
    shown = np.rint(layer * weight + background * (1 - weight)).astype(np.uint8)
    return MovingClip(shown, *_layered_flow(flow, backward_flow(layer_path, size), alpha))


def camera_path(
    frames: int, *, size: int, config: MotionConfig, rng: np.random.Generator
) -> Matrices:
    """A smooth random path: pan with acceleration, zoom, rotation, perspective, hand shake."""
    if rng.random() < config.still_probability:
        return np.broadcast_to(np.eye(3), (frames, 3, 3)).copy()
    time = np.arange(frames) - (frames - 1) / 2
    speed = np.exp(rng.uniform(*np.log(config.pan)))
    direction = rng.uniform(0, 2 * np.pi)
    travel = speed * (time + rng.normal(0, 0.15) * time**2 / max(1, frames / 2))
    shift = travel[:, None] * np.array([np.cos(direction), np.sin(direction)])
    shift += _shake(frames, config, rng)
    zoom = np.exp(time * rng.normal(0, config.zoom))
    angle = np.radians(time * rng.normal(0, config.rotation))
    tilt = time[:, None] * rng.normal(0, config.perspective, 2) / (size / 2)
    matrices = np.zeros((frames, 3, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = zoom * np.cos(angle)
    matrices[:, 1, 0] = zoom * np.sin(angle)
    matrices[:, 0, 1] = -matrices[:, 1, 0]
    matrices[:, :2, 2] = shift
    matrices[:, 2, :2] = tilt
    matrices[:, 2, 2] = 1
    middle = (size - 1) / 2
    return _translation(middle, middle) @ matrices @ _translation(-middle, -middle)


def place(photo: Photo, *, size: int, config: MotionConfig, rng: np.random.Generator) -> Matrix:
    """Placement of the reference frame in the photograph: scale, mirroring, and the position with
    the most detail among a few (in a fifth of cases the first)."""
    height, width = photo.pixels.shape[:2]
    largest = (min(height, width) - 1) / size
    low, high = config.photo_scale
    if largest < low:
        raise InputError(
            f"a photograph of {width}x{height} pixels is too small for frames of {size} pixels; "
            f"it must have at least {int(np.ceil(size * low)) + 1}"
        )
    scale = np.exp(rng.uniform(np.log(low), np.log(min(high, largest))))
    margin = size * scale / 2
    tries = config.crop_tries if rng.random() < 0.8 else 1
    centres = rng.uniform((margin, margin), (width - margin, height - margin), (tries, 2))
    details = [_detail_around(photo, centre, margin) for centre in centres]
    x, y = centres[int(np.argmax(details))]
    turn = np.diag([*rng.choice([-scale, scale], 2), 1.0])
    if rng.random() < 0.5:
        turn = turn[[1, 0, 2]]
    middle = (size - 1) / 2
    return _translation(x - 0.5, y - 0.5) @ turn @ _translation(-middle, -middle)


def backward_flow(path: Matrices, size: int) -> Float[np.ndarray, "2 t-1 h w"]:
    """The exact motion of a plane from each frame to the one before it, in pixels."""
    there = np.linalg.inv(path[:-1]) @ path[1:]
    y, x = np.mgrid[:size, :size].astype(np.float64)
    points = np.stack([x, y, np.ones_like(x)]).reshape(3, -1)
    mapped = there @ points
    moved = (mapped[:, :2] / mapped[:, 2:]).reshape(-1, 2, size, size)
    return np.ascontiguousarray((moved - np.stack([x, y])).swapaxes(0, 1), dtype=np.float32)


def _render(texture: np.ndarray, matrices: Matrices, size: int) -> UInt8[np.ndarray, "t h w 3"]:
    scale = np.sqrt(abs(np.linalg.det(matrices[len(matrices) // 2][:2, :2])))
    factor = 1 if scale < _SUPERSAMPLING_FROM else 2
    fine = np.array([[1, 0, (1 - factor) / 2], [0, 1, (1 - factor) / 2], [0, 0, factor]]) / factor
    fine[2, 2] = 1
    return np.stack([_reduced(_warp(texture, m @ fine, size * factor), size) for m in matrices])


def _warp(texture: np.ndarray, matrix: Matrix, size: int) -> np.ndarray:
    return cv2.warpPerspective(
        texture,
        matrix,
        (size, size),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _reduced(frame: np.ndarray, size: int) -> np.ndarray:
    if len(frame) == size:
        return frame
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)


def _moving_shape(path: Matrices, size: int, rng: np.random.Generator) -> np.ndarray:
    """Coverage of each pixel by the front layer, `t size size` in [0, 1]."""
    canvas = np.zeros((2 * size, 2 * size), np.uint8)
    outline = _outline(size, rng) + size / 2
    cv2.fillPoly(canvas, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), rng.uniform(0.4, 1.2))
    to_canvas = _translation(size / 2, size / 2) @ path
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpPerspective(soft, m, (size, size), flags=flags) for m in to_canvas])


def _outline(size: int, rng: np.random.Generator) -> Float[np.ndarray, "n 2"]:
    """A blob, or a bar right across the frame, in pixels of the reference frame."""
    centre = rng.uniform(0.1 * size, 0.9 * size, 2)
    turn = rng.uniform(0, np.pi)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    if rng.random() < 0.25:
        half = np.array([2.0 * size, rng.uniform(0.01, 0.08) * size])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        return centre + corners @ axes
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(angle)
    for order in range(1, 8):
        radius += rng.normal(0, 0.35 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.15, 2) * rng.uniform(0.12, 0.45) * size
    stretch = np.array([1.0, rng.uniform(0.4, 1.0)])
    ring = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return centre + (ring * stretch) @ axes


def _layered_flow(
    back: np.ndarray, front: np.ndarray, alpha: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The motion of the layer that is seen, and whether the same layer alone is seen before."""
    covered = alpha[1:] > 0.5
    flow = np.where(covered, front, back)
    before = _sample(alpha[:-1], flow)
    front_stays = (alpha[1:] > 0.99) & (before > 0.99)
    back_stays = (alpha[1:] < 0.01) & (before < 0.01)
    return flow, (front_stays | back_stays) & _inside(flow)


def _sample(maps: np.ndarray, flow: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: maps.shape[1], : maps.shape[2]].astype(np.float32)
    moved = np.empty_like(maps)
    for out, m, dx, dy in zip(moved, maps, *flow, strict=True):
        out[:] = cv2.remap(m, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved


def _inside(flow: np.ndarray) -> np.ndarray:
    height, width = flow.shape[2:]
    x = np.arange(width) + flow[0]
    y = np.arange(height)[:, None] + flow[1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)


def _shake(frames: int, config: MotionConfig, rng: np.random.Generator) -> np.ndarray:
    steps = rng.normal(0, 1, (frames + 8, 2)) * rng.uniform(0, config.shake)
    kernel = np.array([0.25, 0.5, 0.25]) / np.sqrt(0.375)
    return np.stack([np.convolve(axis, kernel, "same")[4:-4] for axis in steps.T], 1)


def _detail_around(photo: Photo, centre: np.ndarray, margin: float) -> float:
    blocks = np.array(photo.detail.shape[::-1]) / np.array(photo.pixels.shape[1::-1])
    low = ((centre - margin) * blocks).astype(int)
    high = np.maximum(low + 1, np.ceil((centre + margin) * blocks).astype(int))
    return float(photo.detail[low[1] : high[1], low[0] : high[0]].mean())


def _translation(x: float, y: float) -> Matrix:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
