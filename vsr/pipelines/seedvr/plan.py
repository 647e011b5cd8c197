"""The latents of one clip: which are encoded, denoised as a segment, and decoded.

    frames of the shot   0 | 1 2 3 4 | 5 6 7 8 | ...        latents   0 | 1 | 2 | ...

A clip ends anywhere; the latent of its last frame needs up to three frames after it. Its segment
goes on for `OVERLAP` latents more, into which the next segment is faded.
"""

from dataclasses import dataclass
from math import ceil
from typing import Self

from vsr.models.seedvr.causal_vae import FRAMES_PER_LATENT
from vsr.pipelines.clip_length import SEEDVR_LOOK_AHEAD

OVERLAP = 2
"""Latents that two segments share."""
SHORTEST = 8
"""A segment of fewer latents is lengthened into the past, where the shot has one."""
LOOK_AHEAD = SEEDVR_LOOK_AHEAD
assert LOOK_AHEAD == FRAMES_PER_LATENT * OVERLAP + FRAMES_PER_LATENT - 1


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Latents of a clip, numbered from the start of its shot; `first` and `stop` are half-open."""

    encode: range
    """Latents whose frames come with this clip for the first time."""
    segment: range
    decode: range
    """Latents that become final and are decoded."""
    padding: int
    """Copies of the shot's last frame that fill its last latent."""

    @classmethod
    def of(
        cls, frames: int, ahead: int, *, finished: int, encoded: int, decoded: int, kept: int
    ) -> Self:
        """Returns the plan of a clip of `frames` frames with `ahead` more, after `finished` ones.

        Fewer than `LOOK_AHEAD` frames ahead mean that the shot ends with them. `kept`: latents
        before `encoded` whose conditions are at hand.
        """
        end = latents_of(finished + frames)
        known = finished + frames + ahead
        ends = ahead < LOOK_AHEAD
        complete = latents_of(known) if ends else (known - 1) // FRAMES_PER_LATENT + 1
        stop = max(encoded, min(end + OVERLAP, complete))
        needed = FRAMES_PER_LATENT * (stop - 1) + 1
        start = max(min(decoded, stop - SHORTEST), encoded - kept, 0)
        return cls(
            encode=range(encoded, stop),
            segment=range(start, stop),
            decode=range(decoded, end),
            padding=max(needed - known, 0) if stop > encoded else 0,
        )


def latents_of(frames: int) -> int:
    """Returns the number of latents that hold the first `frames` frames of a shot."""
    return ceil((frames - 1) / FRAMES_PER_LATENT) + 1


def frames_of(latents: range) -> range:
    """Returns the frames of the shot that latents hold."""
    first = FRAMES_PER_LATENT * (latents.start - 1) + 1 if latents.start else 0
    return range(first, FRAMES_PER_LATENT * (latents.stop - 1) + 1)


def fade_weights(count: int) -> list[float]:
    """Returns the weights of a new segment in the `count` latents that it shares with the last.

    The first is 0: a latent at the front of a segment in mid-shot is of four frames, which training
    never showed there.
    """
    return [i / count for i in range(count)]
