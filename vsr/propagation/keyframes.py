"""Key frames: the fine detail of few frames, carried along the flow onto all others of a shot.

A key is a frame, or a part of one, of which a better picture is known: that of a slow network, or
one made by hand. Its detail h_k is what lies above a Gaussian of sigma `sigma`. Frame t gets

    w_k   = n_k c_k / (c_k + 0.2)             c_k: confidence in the flow from t to k, n_k: Key
    h     = g sum w_k warp(h_k) / sum w_k     g: gives back the energy that mixing loses
    out_t = b + s c (h - (b - G b))           b: the frame as the base model made it, s: strength

with c the largest c_k, which rises slowly along the motion, so that no detail pops up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.errors import ConfigError
from vsr.ops.flow import warp
from vsr.propagation.far_flow import FarFlow, PairFlow, Step, confidence
from vsr.propagation.key_mixing import mix_keys
from vsr.propagation.key_places import Box, KeyBudget, holes
from vsr.propagation.keys import Key, Part, make_key

_EARLIEST = 1 / 2
"""The part of the longest distance of keys after which an I-frame is drawn as one."""
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
    is new in the picture, `longest` frames apart at most, on at most `budget` of the pixels; an
    I-frame is drawn from half of that distance on, since it shows more than those before it.
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
    """Carries detail through a shot, frame by frame; a state goes in and the next one comes out.

    `flow` estimates the flow between a frame and a key, `steps` that between neighbours, which is
    only where the search for the first begins; None: the same.
    """

    def __init__(
        self,
        config: KeyframeConfig,
        flow: PairFlow,
        scale: int,
        *,
        steps: PairFlow | None = None,
    ) -> None:
        self.config, self.flow, self.scale = config, flow, scale
        self.steps = steps or flow

    def next(
        self,
        state: KeyframeState | None,
        small: Float[Tensor, "1 3 h w"],
        base: Float[Tensor, "1 3 h4 w4"],
        draw: Draw,
        *,
        ahead: Sequence[Float[Tensor, "1 3 h w"]] = (),
        coming: Sequence[Coming] = (),
        is_intra: bool = False,
    ) -> tuple[Float[Tensor, "1 3 h4 w4"], KeyframeState]:
        """Returns the next frame with carried detail, and the state after it.

        `state` is None for the first frame of a shot. `draw` is asked for what no key shows.
        `ahead` are the small frames after this one, as far as `coming` pictures need them; a
        picture is given once, at the first frame that sees it. `is_intra`: the frame is an I-frame
        among others.
        """
        number = 0 if state is None else state.frames
        limit = torch.ones_like(small[:, :1])
        keys: tuple[Key, ...] = ()
        if state is not None:
            step = Step.between(state.last, small, self.steps)
            limit = _limit(state.shown, state.last, small, step)
            keys = tuple(
                replace(key, flow=key.flow.next(small, step, self.flow, key.window))
                if key.number != number
                else replace(key, flow=FarFlow.at(small))
                for key in state.keys
            )
        for one in coming:
            keys = self._expected(keys, number, [small, *ahead], one)
        budget = (KeyBudget() if state is None else state.budget).next(self.config.budget)
        keys, budget = self._drawn(keys, number, small, draw, budget=budget, is_intra=is_intra)
        out, shown = mix_keys(
            base,
            keys,
            number,
            limit=limit,
            strength=self.config.strength,
            sigma=self.config.sigma,
            gain=self.config.gain,
        )
        alive = tuple(key for key in keys if _is_alive(key, number))
        return out, KeyframeState(number + 1, small, shown, alive, budget)

    def held(self, state: KeyframeState, frames: int) -> KeyframeState:
        """Returns the state after so many more frames that show the last picture."""
        budget = state.budget.next(frames * self.config.budget)
        return replace(state, frames=state.frames + frames, budget=budget)

    def _expected(
        self, keys: tuple[Key, ...], number: int, frames: Sequence[Tensor], one: Coming
    ) -> tuple[Key, ...]:
        """Returns the keys with one of a later frame, whose flow is followed back to this one."""
        key = self._key(number + one.offset, frames[one.offset], [Part(one.picture)])
        flow = key.flow
        for later, frame in pairwise(reversed(frames[: one.offset + 1])):
            flow = flow.next(frame, Step.between(later, frame, self.steps), self.flow)
        return _taken_over(keys, replace(key, flow=flow, rise=(number, number + one.offset)))

    def _drawn(
        self,
        keys: tuple[Key, ...],
        number: int,
        small: Tensor,
        draw: Draw,
        *,
        budget: KeyBudget,
        is_intra: bool,
    ) -> tuple[tuple[Key, ...], KeyBudget]:
        """Returns the keys with those that this frame adds."""
        boxes = self._wanted(keys, number, is_better=is_intra and budget.allows(1.0))
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

    def _wanted(
        self, keys: Sequence[Key], number: int, *, is_better: bool
    ) -> tuple[Box, ...] | None:
        """Returns the parts of a frame that want a picture; None: all of it.

        `is_better`: it shows more than the frames before it, and may be drawn.
        """
        whole = [key.number for key in keys if key.is_whole]
        if self.config.every is not None:
            return None if not whole or number - max(whole) >= self.config.every else ()
        nearest = self.config.longest * (_EARLIEST if is_better else 1)
        if not whole or number - max(whole) >= nearest:
            return None
        if sum(not key.is_whole for key in keys) >= _MOST_FILLED:
            return ()  # each costs its flow in every frame
        return holes(torch.stack([key.trust for key in keys]).amax(dim=0))

    def _key(self, number: int, small: Tensor, parts: Sequence[Part]) -> Key:
        key = make_key(number, small, parts, scale=self.scale, sigma=self.config.sigma)
        # a part fills a hole at once; a whole frame takes over slowly
        rise = (number, number + self.config.fade)
        return replace(key, rise=rise) if key.is_whole else key


def _is_alive(key: Key, number: int) -> bool:
    """True for a key that this or a later frame may show."""
    if not key.is_whole and not key.is_seen:
        return False
    return number < key.rise[0] or key.weight(number) > 0


def _taken_over(keys: tuple[Key, ...], key: Key) -> tuple[Key, ...]:
    """Returns the keys with a new one that takes over from all others."""
    old = (one if one.fall is not None else replace(one, fall=key.rise) for one in keys)
    return (*old, key)


def _limit(shown: Tensor, last: Tensor, small: Tensor, step: Step) -> Float[Tensor, "1 1 h w"]:
    """Returns the most that c may be: a little above the last one, along a motion that is sure."""
    sure = confidence(small, last, there=step.to_previous, back=step.from_previous)
    before = warp(shown, step.to_previous, padding="border")
    free = 1 - (sure / _SURE).clamp(max=1)
    return torch.lerp((before + _RISE).clamp(max=1), torch.ones_like(before), free)
