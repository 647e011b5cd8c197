"""Frames of any number through a pipeline, clip by clip: memory does not grow with the length."""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from vsr.errors import InputError
from vsr.ops.frame_formats import checked_output_type, frame_pixels
from vsr.pipelines.clip_length import MOST_MODELS, ClipMemory, fitting_clip_length
from vsr.pipelines.settings import SamplingConfig
from vsr.pipelines.switches import seeded
from vsr.propagation.propagator import PropagationState
from vsr.video.reading.clips import Clip, clips
from vsr.video.reading.reader import Frame
from vsr.video.reading.shots import ShotDetector

_ONE = Fraction(1)


class StreamingPipeline:
    """A pipeline that also takes frames without end."""

    look_ahead: int = 0
    """Frames after a clip that a call takes as `ahead`, if there are any."""
    any_size: bool = False
    """A call takes the `size` of its result, and computes at it."""
    clip_frames: int | None = None
    """Frames of a clip; None: as many as fit into a few GB."""

    @property
    def clip_memory(self) -> ClipMemory:
        """The memory that clips take."""
        return MOST_MODELS

    def read_state(self, data: bytes, device: torch.device) -> Any:
        """Returns the state of a clip whose `to_bytes` gave these bytes."""
        return PropagationState.from_bytes(data, device)

    def work_by_rows(self) -> None:
        """Let maps pass through the networks in strips of rows, where the memory traits have it."""

    def upscale(
        self,
        frames: Iterable[Any],
        *,
        first_frame: int = 0,
        max_clip_frames: int | None = None,
        detector: ShotDetector | None = ShotDetector(),  # noqa: B008  (it is frozen)
        settings: SamplingConfig | None = None,
        preset: str | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "np",
        **overrides: Any,
    ) -> Iterator[Any]:
        """Returns an iterator over the large frames, in bounded memory for any number of frames.

        `frames` gives PIL images, arrays or tensors of one frame each, all of one size, in the
        forms that a call takes; floats are rounded to 16 bits. `detector` finds cuts, over which
        nothing is carried; None: all is one shot. `max_clip_frames`: frames in memory at once;
        None: 16, fewer for large ones. The rest is as in a call. Each large frame is `h w 3`
        ("np": uint16 for uint16 and floats, else uint8), a PIL image ("pil"), or floats
        `1 3 1 h w` in [-1, 1] ("pt"). They are those of `vsr upscale`.

        Raises ConfigError at once for an option without use; InputError, when it is reached, for
        a frame of another form or size than the first.
        """
        form = checked_output_type(output_type)
        pipe = cast("Any", self)
        chosen = pipe.configured(seeded(overrides, generator), preset=preset, base=settings)
        call = partial(pipe, settings=chosen, output_type=form)
        longest = self.clip_frames if max_clip_frames is None else max_clip_frames
        found = _clips(
            frames,
            detector,
            self.clip_memory if longest is None else longest,
            first_frame=first_frame,
            look_ahead=self.look_ahead,
            share_repeats=preset is None and not self.any_size,
        )
        return _large_frames(call, found, self.look_ahead)


def consecutive(numbers: Sequence[int]) -> int | Sequence[int]:
    """Returns the first of the numbers if the others follow without a gap; else all of them."""
    first = numbers[0]
    return first if numbers[-1] - first == len(numbers) - 1 else numbers


def _large_frames(call: Any, gathered: Iterable[Clip], look_ahead: int) -> Iterator[Any]:
    state = last = None
    for clip in gathered:
        large: list[Any] = [last] if clip.repeats_last else []
        if places := clip.pictures:
            done = call(
                np.stack([clip.frames[place].pixels for place in places]),
                first_frame=consecutive([clip.first_frame_index + place for place in places]),
                state=None if clip.starts_shot else state,
                **_ahead(clip, look_ahead),
            )
            state, frames = done.state, done.frames
            large += frames.split(1, dim=2) if isinstance(frames, Tensor) else list(frames)
        last = large[-1]
        is_repeated = clip.is_repeated or len(places) < len(clip.frames)
        for number in clip.shown:
            picture = large[number + clip.repeats_last]
            yield deepcopy(picture) if is_repeated else picture  # a caller may draw on its own


def _ahead(clip: Clip, look_ahead: int) -> dict[str, Any]:
    """Returns the argument `ahead` for the frames after a clip; empty if there are none."""
    frames = [frame.pixels for frame in clip.coming[:look_ahead]]
    return {"ahead": np.stack(frames)} if frames else {}


def _clips(
    frames: Iterable[Any],
    detector: ShotDetector | None,
    longest: int | ClipMemory,
    *,
    first_frame: int,
    look_ahead: int,
    share_repeats: bool,
) -> Iterator[Clip]:
    numbered = _numbered(frames)
    first = next(numbered, None)
    if first is None:
        return
    if not isinstance(longest, int):
        height, width = first.pixels.shape[:2]
        longest = fitting_clip_length(height, width, longest)
    found = clips(
        chain([first], numbered),
        max_frames=longest,
        detector=detector,
        look_ahead=look_ahead,
        share_repeats=share_repeats,
    )
    for clip in found:
        yield replace(clip, first_frame_index=first_frame + clip.first_frame_index)


def _numbered(frames: Iterable[Any]) -> Iterator[Frame]:
    form: tuple[Any, ...] | None = None
    for number, given in enumerate(frames):
        pixels = frame_pixels(given)
        form = form or (pixels.shape, pixels.dtype)
        if form != (pixels.shape, pixels.dtype):
            raise InputError(
                f"frame {number} is {pixels.dtype} of {pixels.shape} after {form[1]} of {form[0]}: "
                "one run has frames of one form"
            )
        yield Frame(pixels.copy(), number, _ONE)  # a copy: a caller may use its buffer again
