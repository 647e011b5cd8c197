"""Far flow: from each frame of a shot to one that lies many frames before it, the anchor."""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from jaxtyping import Float
from torch import Tensor

from vsr.ops.filters import gaussian_half, smooth
from vsr.ops.flow import round_trip_error, warp
from vsr.propagation.key_places import Box
from vsr.propagation.shares import brightness_difference, mean_difference

_ALPHA1, _ALPHA2 = 0.01, 0.5
"""The round trip of far flow is off by subpixels where it is right: bounds as Sundaram et al."""
_GATE = 12.0
_QUIET = 4.0
"""Grey levels of noise in the difference of two frames that the gate bears as it is."""
_SURE, _MOST = 0.3, 0.6
"""A flow with this confidence in this share of the frame is not estimated a second time."""
_NOISE = gaussian_half(0.8)
_NEARBY = gaussian_half(1.5)


class PairFlow(Protocol):
    """Estimates the flow from one frame in [-1, 1] to another, in pixels."""

    def between(
        self,
        source: Float[Tensor, "1 3 h w"],
        target: Float[Tensor, "1 3 h w"],
        initial: Float[Tensor, "1 2 h w"] | None = None,
    ) -> Float[Tensor, "1 2 h w"]:
        """Returns the flow from `source` to `target`; the search begins at `initial`."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """The flow between a frame and the one before it, both ways."""

    to_previous: Float[Tensor, "1 2 h w"]
    from_previous: Float[Tensor, "1 2 h w"]

    @classmethod
    def between(cls, previous: Tensor, frame: Tensor, flow: PairFlow) -> Self:
        """Returns the step from `previous` to `frame`."""
        return cls(flow.between(frame, previous), flow.between(previous, frame))


@dataclass(frozen=True, slots=True)
class FarFlow:
    """The flow between an anchor and one of the frames after it.

    `there` leads from the frame to the anchor, `back` from the anchor to the frame. `confidence`
    says for each place of the frame how far `there` can be trusted, in [0, 1].
    """

    anchor: Float[Tensor, "1 3 h w"]
    there: Float[Tensor, "1 2 h w"]
    back: Float[Tensor, "1 2 h w"]
    confidence: Float[Tensor, "1 1 h w"]

    @classmethod
    def at(cls, anchor: Float[Tensor, "1 3 h w"]) -> Self:
        """Returns the flow of the anchor to itself."""
        still = torch.zeros_like(anchor[:, :2])
        return cls(anchor, still, still, torch.ones_like(anchor[:, :1]))

    def next(
        self,
        frame: Float[Tensor, "1 3 h w"],
        step: Step,
        flow: PairFlow,
        window: Box | None = None,
    ) -> Self:
        """Returns the flow of the frame after this one, from which `step` leads to it.

        The search begins at the flow so far, continued by the step, which follows what moves far.
        Unless most of that is sure, flow is also estimated from nothing, which finds again what was
        hidden, and each place takes the one that fits the small frames better. `window`: nothing is
        searched, nor trusted, outside.
        """
        there = step.to_previous + warp(self.there, step.to_previous, padding="border")
        back = self.back + warp(step.from_previous, self.back, padding="border")
        so_far = replace(self, there=there, back=back)
        if not self.there.any():
            return so_far._searched(frame, flow, window, anew=True)
        continued = so_far._searched(frame, flow, window)
        if _is_sure(continued.confidence, window):
            return continued
        return so_far._searched(frame, flow, window, anew=True).merged(continued, frame)

    def _searched(
        self, frame: Tensor, flow: PairFlow, window: Box | None, *, anew: bool = False
    ) -> Self:
        """Returns this flow to `frame` refined inside the window, or estimated from nothing."""
        h, w = frame.shape[-2:]
        box = window or Box(0, 0, h, w)
        here, anchor = box.crop(frame), box.crop(self.anchor)
        there, back = (None if anew else box.crop(way) for way in (self.there, self.back))
        there = flow.between(here, anchor, there)
        back = flow.between(anchor, here, back)
        sure = confidence(here, anchor, there=there, back=back)
        return replace(
            self,
            there=box.pasted(there, self.there),
            back=box.pasted(back, self.back),
            confidence=box.pasted(sure, torch.zeros_like(self.confidence)),
        )

    def merged(self, other: Self, frame: Float[Tensor, "1 3 h w"]) -> Self:
        """Returns, place by place, the more trusted of two flows between `frame` and the anchor."""
        here = smooth(other.confidence - self.confidence, _NEARBY) > 0
        first, second = (
            confidence(self.anchor, frame, there=one.back, back=one.there) for one in (self, other)
        )
        at_anchor = smooth(second - first, _NEARBY) > 0
        return replace(
            self,
            there=torch.where(here, other.there, self.there),
            back=torch.where(at_anchor, other.back, self.back),
            confidence=torch.where(here, other.confidence, self.confidence),
        )


def _is_sure(sure: Float[Tensor, "1 1 h w"], window: Box | None) -> bool:
    inside = sure if window is None else window.crop(sure)
    return bool((inside > _SURE).float().mean() > _MOST)


def confidence(
    frame: Float[Tensor, "1 3 h w"],
    anchor: Float[Tensor, "1 3 h w"],
    *,
    there: Float[Tensor, "1 2 h w"],
    back: Float[Tensor, "1 2 h w"],
) -> Float[Tensor, "1 1 h w"]:
    """Returns how far the flow from a frame to a far one can be trusted, in [0, 1].

    (exp(-E / (0.01 (|f|^2 + |b|^2) + 0.5)) exp(-(d / gate)^2))^3 with E the error of the round trip
    and d the difference of brightness along the flow over 3x3 pixels, and 0 where the flow leaves
    the picture. A change of brightness of the whole frame does not count, since lamps and film
    flicker. Strong noise widens the gate by the median of |d| above 4 levels.
    """
    error, length = round_trip_error(there, back)
    trip = torch.exp(-error / (_ALPHA1 * length + _ALPHA2))
    moved = warp(anchor, there, mode="bicubic", padding="border")
    difference = smooth(brightness_difference(frame, moved), _NOISE)
    difference = difference - difference.median()
    noise = difference.abs().median()
    gate = _GATE + 2 * max(0.0, float(noise) - _QUIET)
    agreed = torch.exp(-((mean_difference(difference) / gate) ** 2))
    return _inside(there) * (trip * agreed) ** 3


def _inside(flow: Float[Tensor, "1 2 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Returns 1 where the flow ends inside the picture, else 0."""
    h, w = flow.shape[-2:]
    x = flow[:, :1] + torch.arange(w, device=flow.device)
    y = flow[:, 1:] + torch.arange(h, device=flow.device)[:, None]
    return ((x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)).float()
