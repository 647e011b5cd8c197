"""Key frames: the fine detail of few frames, carried along the flow onto all others of a shot.

A key is a frame, or a part of one, of which a better picture is known: that of a slow network, or
one made by hand. Its detail h_k is what lies above a Gaussian of sigma `sigma`. Frame t gets

    w_k   = n_k c_k / (c_k + 0.2)             c_k: confidence in the flow from t to k, n_k: see Key
    h     = g sum w_k warp(h_k) / sum w_k     g: gives back the energy that mixing loses
    out_t = b + s c (h - (b - G b))           b: the frame as the base model made it, s: strength

with c the largest c_k, which rises slowly along the motion, so that no detail pops up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.ops.filters import gaussian_half, smooth
from vsr.ops.flow import resize_flow, warp
from vsr.propagation.detail import local_energy
from vsr.propagation.far_flow import FarFlow, PairFlow, Step, confidence
from vsr.propagation.key_places import Box, KeyBudget, holes

_FEATHER = gaussian_half(0.75)
_ENERGY_BLUR = gaussian_half(2.0)
_MAX_GAIN = 2.0
_NO_ENERGY = 1e-5
"""Squared step of 8 bits: flat places keep a gain of 1."""
_HALF_SURE = 0.2
"""Confidence at which a key counts half as much as one that is sure."""
_MOST_FILLED = 5
"""Frames of which parts are carried, beside the whole ones."""
_SURE = 0.1
"""Confidence in a motion from which on detail rises slowly along it."""
_RISE = 0.08
"""The part of full strength by which detail may rise from frame to frame along the motion."""

Draw = Callable[[Box | None], Float[Tensor, "1 3 h2 w2"] | None]
"""Draws a part of the current frame, or all of it for None; gives None where it cannot."""


@dataclass(frozen=True, slots=True)
class Coming:
    """A picture of a frame that is known from before: `offset` frames after the current one."""

    offset: int
    picture: Float[Tensor, "1 3 h4 w4"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyframeConfig:
    """The places of keys, and their strength.

    `strength` 0 to 1. `every`: a key each so many frames, and none else; None places them by what
    is new in the picture, `longest` frames apart at most, on at most `budget` of the pixels.
    `fade`: frames in which a key takes over from the one before. `sigma`, in large pixels, is
    where detail begins; `gain` gives back what interpolation takes from it.
    """

    strength: float = 0.5
    every: int | None = None
    longest: int = 24
    budget: float = 1 / 12
    fade: int = 12
    sigma: float = 2.3
    gain: float = 1.09

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"texture strength must lie in [0, 1], found {self.strength}")
        if self.every is not None and self.every < 1:
            raise ConfigError(f"keys are at least 1 frame apart, found {self.every}")
        if not 0 < self.budget <= 1:
            raise ConfigError(f"the share of drawn pixels must lie in (0, 1], found {self.budget}")


@dataclass(frozen=True, slots=True)
class Part:
    """A picture of a part of a frame, or of all of it for a box of None."""

    picture: Float[Tensor, "1 3 h2 w2"]
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A frame of the shot of which pictures are known, and the flow from the newest frame to it."""

    number: int
    """Number of its frame in the shot."""
    parts: tuple[Part, ...]
    flow: FarFlow
    detail: Float[Tensor, "1 3 h4 w4"]
    """The part of the pictures above the Gaussian; zero outside their boxes."""
    energy: Float[Tensor, "1 1 h w"]
    """Local energy of the detail at the size of small frames."""
    mask: Float[Tensor, "1 1 h w"]
    """1 inside the boxes, falling to 0 at their borders."""
    rise: tuple[int, int]
    """Numbers of the frames from which it is shown, and from which it is shown fully."""
    fall: tuple[int, int] | None = None
    """The rise of the key that takes over from it."""

    @property
    def is_whole(self) -> bool:
        """True if all of the frame is known."""
        return self.parts[0].box is None

    def weight(self, number: int) -> float:
        """Returns n_k at frame `number`, in [0, 1]."""
        return _risen(number, self.rise) * (1 - _risen(number, self.fall))


def _risen(number: int, span: tuple[int, int] | None) -> float:
    if span is None or number < span[0]:
        return 0.0
    return min(1.0, (number - span[0] + 1) / (span[1] - span[0] + 1))


@dataclass(frozen=True, slots=True)
class KeyframeState:
    """The keys of a shot after one of its frames, for the next one."""

    frames: int
    """Frames of the shot so far."""
    last: Float[Tensor, "1 3 h w"]
    """The last small frame."""
    shown: Float[Tensor, "1 1 h w"]
    """The confidence c of the last frame."""
    keys: tuple[Key, ...]
    budget: KeyBudget


class Keyframes:
    """Carries detail through a shot, frame by frame; a state goes in and the next one comes out."""

    def __init__(self, config: KeyframeConfig, flow: PairFlow, scale: int) -> None:
        self.config, self.flow, self.scale = config, flow, scale

    def next(
        self,
        state: KeyframeState | None,
        small: Float[Tensor, "1 3 h w"],
        base: Float[Tensor, "1 3 h4 w4"],
        draw: Draw,
        *,
        ahead: Sequence[Float[Tensor, "1 3 h w"]] = (),
        coming: Sequence[Coming] = (),
    ) -> tuple[Float[Tensor, "1 3 h4 w4"], KeyframeState]:
        """Returns the next frame with carried detail, and the state after it.

        `state` is None for the first frame of a shot. `draw` is asked for what no key shows.
        `ahead` are the small frames after this one, as far as `coming` pictures need them; a
        picture is given once, at the first frame that sees it.
        """
        number = 0 if state is None else state.frames
        limit = torch.ones_like(small[:, :1])
        keys: tuple[Key, ...] = ()
        if state is not None:
            step = Step.between(state.last, small, self.flow)
            limit = _limit(state.shown, state.last, small, step)
            keys = tuple(
                replace(key, flow=key.flow.next(small, step, self.flow))
                if key.number != number
                else replace(key, flow=FarFlow.at(small))
                for key in state.keys
            )
        for one in coming:
            keys = self._expected(keys, number, [small, *ahead], one)
        budget = (KeyBudget() if state is None else state.budget).next(self.config.budget)
        keys, budget = self._drawn(keys, number, small, draw, budget)
        out, shown = self._mixed(keys, number, base, limit)
        alive = tuple(key for key in keys if number < key.rise[0] or key.weight(number) > 0)
        return out, KeyframeState(number + 1, small, shown, alive, budget)

    def _expected(
        self, keys: tuple[Key, ...], number: int, frames: Sequence[Tensor], one: Coming
    ) -> tuple[Key, ...]:
        """Returns the keys with one of a later frame, whose flow is followed back to this one."""
        key = self._key(number + one.offset, frames[one.offset], [Part(one.picture)])
        flow = key.flow
        for later, frame in pairwise(reversed(frames[: one.offset + 1])):
            flow = flow.next(frame, Step.between(later, frame, self.flow), self.flow)
        return _taken_over(keys, replace(key, flow=flow, rise=(number, number + one.offset)))

    def _drawn(
        self,
        keys: tuple[Key, ...],
        number: int,
        small: Tensor,
        draw: Draw,
        budget: KeyBudget,
    ) -> tuple[tuple[Key, ...], KeyBudget]:
        """Returns the keys with those that this frame adds."""
        boxes = self._wanted(keys, number, small)
        if boxes is None:
            free = self.config.every is not None or not keys
            if (free or budget.allows(1.0)) and (picture := draw(None)) is not None:
                key = self._key(number, small, [Part(picture)])
                return _taken_over(keys, key), budget.spent_on(1.0)
            return keys, budget
        parts: list[Part] = []
        for box in boxes:
            share = box.share((small.shape[-2], small.shape[-1]))
            if budget.allows(share) and (picture := draw(box)) is not None:
                parts.append(Part(picture, box))
                budget = budget.spent_on(share)
        return (*keys, self._key(number, small, parts)) if parts else keys, budget

    def _wanted(self, keys: Sequence[Key], number: int, small: Tensor) -> tuple[Box, ...] | None:
        """Returns the parts of a frame that want a picture; None: all of it."""
        whole = [key.number for key in keys if key.is_whole]
        if self.config.every is not None:
            return None if number % self.config.every == 0 else ()
        if not whole or number - max(whole) >= self.config.longest:
            return None
        if sum(not key.is_whole for key in keys) >= _MOST_FILLED:
            return ()  # each costs its flow in every frame
        return holes(_largest([_trust(key) for key in keys], small))

    def _key(self, number: int, small: Tensor, parts: Sequence[Part]) -> Key:
        key = make_key(number, small, parts, scale=self.scale, sigma=self.config.sigma)
        # a part fills a hole at once; a whole frame takes over slowly
        rise = (number, number + self.config.fade)
        return replace(key, rise=rise) if key.is_whole else key

    def _mixed(
        self, keys: Sequence[Key], number: int, base: Tensor, limit: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the frame with the detail of the keys, and the confidence c."""
        weights = [key.weight(number) for key in keys]
        shown = [(key, n) for key, n in zip(keys, weights, strict=True) if n > 0]
        if not shown:
            return base, torch.zeros_like(limit)
        trusts = [smooth(_trust(key), _FEATHER) for key, _ in shown]
        c = torch.minimum(_largest(trusts, limit), limit)
        shares = [
            n * trust / (trust + _HALF_SURE) + 1e-6
            for trust, (_, n) in zip(trusts, shown, strict=True)
        ]
        total = torch.stack(shares).sum(dim=0)
        size = (base.shape[-2], base.shape[-1])
        detail, energy, alone = (torch.zeros_like(x) for x in (base, limit, limit))
        for (key, _), share in zip(shown, shares, strict=True):
            part = share / total
            flow = resize_flow(key.flow.there, size)
            moved = warp(key.detail.to(base.dtype), flow, mode="bicubic", padding="border")
            detail.addcmul_(moved, _enlarged(part, size))
            energy += part * warp(key.energy, key.flow.there, padding="border")
            alone += part.square()
        gain = torch.sqrt((energy + _NO_ENERGY) / (_energy(detail, energy) + _NO_ENERGY))
        mixed = (2 * (1 - alone)).clamp(0, 1)  # 0 where one key is shown, 1 where two are, equally
        gain = self.config.gain * torch.lerp(torch.ones_like(gain), gain.clamp(1, _MAX_GAIN), mixed)
        own = base - smooth(base, gaussian_half(self.config.sigma))
        change = detail * _enlarged(gain, size) - own
        out = torch.addcmul(base, change, _enlarged(self.config.strength * c, size))
        return out.clamp(-1, 1), c


def make_key(
    number: int,
    small: Float[Tensor, "1 3 h w"],
    parts: Sequence[Part],
    *,
    scale: int,
    sigma: float,
) -> Key:
    """Returns the key of a frame from pictures of all or parts of it, at the frame itself."""
    h, w = small.shape[-2:]
    detail = small.new_zeros(1, 3, scale * h, scale * w)
    mask = torch.zeros_like(small[:, :1])
    rounded = tuple(replace(part, picture=_rounded(part.picture)) for part in parts)
    for part in rounded:
        own = part.picture - smooth(part.picture, gaussian_half(sigma))
        if part.box is None:
            detail, mask = own, torch.ones_like(mask)
            continue
        inside = part.box.mask(small)
        placed = part.box.placed(own, (h, w), scale)
        detail = torch.lerp(detail, placed, _enlarged(inside, (scale * h, scale * w)))
        mask = torch.maximum(mask, inside)
    return Key(
        number=number,
        parts=rounded,
        flow=FarFlow.at(small),
        detail=detail.to(torch.float16),
        energy=_energy(detail, mask),
        mask=mask,
        rise=(number, number),
    )


def _rounded(picture: Tensor) -> Tensor:
    """Returns a picture of 8 bits, so that a key that was stored gives the same detail."""
    return (torch.round(picture.clamp(-1, 1) * 127.5 + 127.5) / 127.5 - 1).contiguous()


def _taken_over(keys: tuple[Key, ...], key: Key) -> tuple[Key, ...]:
    """Returns the keys with a new one that takes over from all others."""
    old = (one if one.fall is not None else replace(one, fall=key.rise) for one in keys)
    return (*old, key)


def _trust(key: Key) -> Float[Tensor, "1 1 h w"]:
    """Returns c_k."""
    return key.flow.confidence * warp(key.mask, key.flow.there)


def _largest(maps: Sequence[Tensor], like: Tensor) -> Float[Tensor, "1 1 h w"]:
    if not maps:
        return torch.zeros_like(like[:, :1])
    return torch.stack(list(maps)).amax(dim=0)


def _limit(shown: Tensor, last: Tensor, small: Tensor, step: Step) -> Float[Tensor, "1 1 h w"]:
    """Returns the most that c may be: a little above the last one, along a motion that is sure."""
    sure = confidence(small, last, there=step.to_previous, back=step.from_previous)
    before = warp(shown, step.to_previous, padding="border")
    free = 1 - (sure / _SURE).clamp(max=1)
    return torch.lerp((before + _RISE).clamp(max=1), torch.ones_like(before), free)


def _energy(detail: Tensor, like: Tensor) -> Float[Tensor, "1 1 h w"]:
    """Returns the local energy of detail at the size of `like`."""
    return local_energy(detail.float(), (like.shape[-2], like.shape[-1]), _ENERGY_BLUR)


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
