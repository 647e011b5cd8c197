"""KeyframeTexture: carries the detail of few pictures, drawn or made by hand, onto all frames."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from vsr.config import PICTURE_REACH
from vsr.errors import InputError
from vsr.models.flow_estimators import key_flow
from vsr.ops.frame_formats import as_low_res, collect
from vsr.propagation.key_files import state_from_bytes, state_to_bytes
from vsr.propagation.key_places import Box
from vsr.propagation.keyframes import Coming, KeyframeConfig, Keyframes, KeyframeState
from vsr.runtime.timing import NullTimer, Timer
from vsr.video.images import read_image
from vsr.video.key_pictures import FilmFrame, KeyPictures

_log = logging.getLogger(__name__)

Pixels = UInt8[np.ndarray, "t _ _ 3"] | UInt16[np.ndarray, "t _ _ 3"]


class Draws(Protocol):
    """Draws pictures of frames on demand."""

    def __call__(self, frames: UInt8[np.ndarray, "1 h w 3"]) -> UInt8[np.ndarray, "1 h2 w2 3"]:
        """Returns one frame, larger."""
        ...


@dataclass(slots=True)
class KeyframeTexture:
    """Gives the frames of a base model the fine detail of pictures of few of them.

    `draws` makes pictures where they are needed; `pictures` are there from before, and then no
    others are made. `scale` is that of the base model.
    """

    config: KeyframeConfig
    scale: int
    draws: Draws | None = None
    pictures: KeyPictures | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    frames: int = 0
    """Frames made so far."""
    drawn: float = 0.0
    """Frames drawn so far, parts counted by their share."""
    _keyframes: Keyframes = field(init=False)

    def __post_init__(self) -> None:
        self._keyframes = Keyframes(self.config, key_flow(), self.scale, steps=key_flow(fine=False))

    @property
    def ahead(self) -> int:
        """The number of small frames after a clip that are needed with it."""
        return PICTURE_REACH if self.pictures is not None else 0

    def begin_film(self) -> None:
        """Count anew for another film."""
        self.frames, self.drawn = 0, 0.0

    def report(self) -> str:
        """Returns a line on what was drawn, or which pictures found no frame."""
        if self.pictures is not None:
            return self.pictures.report()
        return (
            f"texture was drawn on {self.drawn:.1f} of {self.frames} frames, parts counted "
            f"({100 * self.drawn / self.frames:.1f} %)"
        )

    @torch.no_grad()
    def __call__(
        self,
        frames: Sequence[FilmFrame],
        large: Pixels,
        *,
        state: KeyframeState | None,
        ahead: Sequence[FilmFrame] = (),
        timer: Timer | None = None,
    ) -> tuple[Pixels, KeyframeState | None]:
        """Returns the large frames of a clip with carried detail, and the state of the next clip.

        `frames` are the small ones of the clip, `ahead` those after it in its shot.
        """
        timer = timer or NullTimer()
        if self.config.strength == 0:
            return large, state
        everything = [*frames, *ahead]
        smalls = [_small(frame.pixels).to(self.device) for frame in everything]
        done: list[Tensor] = []
        for i, frame in enumerate(frames):
            reach = everything[i : i + self.ahead + 1]
            coming = self._coming(reach, first=state is None)
            with timer("key frames"):
                base = as_low_res(large[i : i + 1])[:, :, 0].to(self.device)
                out, state = self._keyframes.next(
                    state,
                    smalls[i],
                    base,
                    lambda box, frame=frame: self._draw(frame, box),
                    ahead=smalls[i + 1 : i + len(reach)],
                    coming=coming,
                    is_intra=frame.is_intra,
                )
            done.append(out[:, :, None])
            self.frames += 1
            state = self.held(state, frame.shown - 1)
        return collect(done, "np", like=large), state

    def held(self, state: KeyframeState | None, frames: int) -> KeyframeState | None:
        """Returns the state after so many more frames that show the last picture."""
        self.frames += frames
        return None if state is None else self._keyframes.held(state, frames)

    def to_bytes(self, state: KeyframeState | None) -> bytes:
        """Returns the state as bytes, for a file; empty for None."""
        return b"" if state is None else state_to_bytes(state)

    def from_bytes(self, data: bytes) -> KeyframeState | None:
        """Returns the state of `to_bytes`."""
        if not data:
            return None
        sigma = self.config.sigma
        return state_from_bytes(data, self.device, scale=self.scale, sigma=sigma)

    def _coming(self, reach: Sequence[FilmFrame], *, first: bool) -> list[Coming]:
        """Returns the pictures that come into sight at the first of these frames."""
        if self.pictures is None:
            return []
        # at a shot's first frame all of them, later the one that the farthest frame brings
        offsets = range(len(reach)) if first else range(min(PICTURE_REACH, len(reach)), len(reach))
        found: list[Coming] = []
        for offset in offsets:
            frame = reach[offset]
            end = reach[offset + 1].seconds if offset + 1 < len(reach) else None
            path = self.pictures.of(frame.number, frame.seconds, end)
            if path is not None:
                found.append(Coming(offset, self._read(path, frame)))
        return found

    def _read(self, path: Path, frame: FilmFrame) -> Float[Tensor, "1 3 h4 w4"]:
        image = read_image(path)
        h, w = frame.pixels.shape[:2]
        found, wanted = image.shape[:2], (self.scale * h, self.scale * w)
        if abs(found[0] * w - found[1] * h) > max(found):
            raise InputError(
                f"{path} has {found[1]}x{found[0]} pixels, another shape than the film's {w}x{h}"
            )
        if found != wanted:
            _log.info("%s is resized from %sx%s to %sx%s", path, *found[::-1], *wanted[::-1])
        return _resized(_small(image), wanted).to(self.device)

    def _draw(self, frame: FilmFrame, box: Box | None) -> Float[Tensor, "1 3 _ _"] | None:
        if self.draws is None:
            return None
        h, w = frame.pixels.shape[:2]
        box = box or Box(0, 0, h, w)
        self.drawn += box.share((h, w))
        part = frame.pixels[box.top : box.bottom, box.left : box.right]
        large = self.draws(np.ascontiguousarray(part)[None])
        size = (self.scale * part.shape[0], self.scale * part.shape[1])
        return _resized(_small(large[0]), size).to(self.device)


def _small(
    pixels: UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"],
) -> Float[Tensor, "1 3 h w"]:
    return as_low_res(np.ascontiguousarray(pixels)[None])[:, :, 0]


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    resized = F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(-1, 1)
