"""Upscaler: a loaded pipeline with its settings; clips go in, finished frames come out."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import torch

from vsr.errors import DeviceError, NumericalError
from vsr.models.load_network import quiet_diffusers
from vsr.pipelines.keyframes import KeyframeTexture
from vsr.pipelines.settings import SamplingConfig
from vsr.pipelines.streaming import consecutive
from vsr.propagation.keyframes import KeyframeState
from vsr.runtime.device import smaller_dtype
from vsr.runtime.timing import Timer
from vsr.upscaling.fallback import (
    AS_ASKED,
    Fallback,
    Limits,
    free_memory,
    is_shortage,
    parts_of,
    short_reason,
    smaller,
)
from vsr.upscaling.framing import Framing
from vsr.upscaling.interface import CarriedState, Frames, UpscalePipeline
from vsr.upscaling.repairs import with_grain_of
from vsr.upscaling.sizes import Size
from vsr.video.key_pictures import FilmFrame
from vsr.video.reading.clips import Clip

_log = logging.getLogger(__name__)

_BLACK, _SEEN = 2 / 255, 16 / 255
"""An output frame darker than `_BLACK` is a failure if its source is brighter than `_SEEN` (means,
fractions of white)."""


@dataclass(frozen=True, slots=True)
class UpscaledClip:
    """The finished frames of a clip, and when each is shown."""

    pixels: Frames
    pts: tuple[int, ...]
    fallback: Fallback = AS_ASKED
    """The reductions with which the clip was made, if memory ran out."""


@dataclass(slots=True)
class Upscaler:
    """A pipeline with its settings, and what it carries from clip to clip of a shot.

    Frames that repeat the one before get its large frame and are not computed. Where memory does
    not suffice, `fallback` says what is reduced from then on.
    """

    pipeline: UpscalePipeline
    settings: SamplingConfig
    size: Size
    timer: Timer
    fallback: Fallback = AS_ASKED
    texture: KeyframeTexture | None = None
    factor: float | None = 1.0
    """The reduction of frames before they are enlarged; None: as the traits of a shot allow."""
    uncropped: Callable[[Size], Size] | None = None
    """The size before `--seedvr-crop`, from that of the source; None: nothing is cropped."""
    _state: CarriedState | None = None
    _keys: KeyframeState | None = None
    _last: Frames | None = None
    """The last large frame, where the next clip begins with frames that repeat it."""
    _framing: Framing | None = None
    _is_clean: bool = False
    _device: torch.device = field(init=False)

    def __post_init__(self) -> None:
        self._device = self.pipeline.device  # later the networks may wait elsewhere

    def __call__(self, clip: Clip) -> UpscaledClip:
        """Returns the frames of `clip` at the size of the output; clips come in their order.

        A clip for which memory does not suffice is made again with less; one with NaN or black
        frames in float32. Raises DeviceError or NumericalError where that does not help either.
        """
        self._apply_fallback()
        dtype = self.pipeline.dtype
        try:
            while True:
                try:
                    pixels, self._state, self._keys = self._frames(clip)
                    self._last = pixels[-1:].copy() if clip.is_repeated else None
                except NumericalError as error:
                    retry = partial(self._use_float32, str(error))
                except (RuntimeError, MemoryError, cv2.error) as error:
                    if not is_shortage(error):
                        raise
                    retry = partial(self._reduce, clip, short_reason(error))
                else:
                    return UpscaledClip(pixels, tuple(f.pts for f in clip.frames), self.fallback)
                retry()  # here, since the error holds the tensors of the attempt
        finally:
            if self.fallback.dtype is None:
                self._convert(dtype)

    @property
    def device(self) -> torch.device:
        """The device that computes."""
        return self._device

    def carried(self) -> bytes:
        """Returns what the last clip hands to the next one of its shot: a line of JSON, states."""
        state = b"" if self._state is None else self._state.to_bytes()
        keys = b"" if self.texture is None else self.texture.to_bytes(self._keys)
        last = b"" if self._last is None else _to_bytes(self._last)
        facts = {"fallback": asdict(self.fallback), "keys": len(keys), "last": len(last)}
        return json.dumps(facts).encode() + b"\n" + keys + last + state

    def resume(self, carried: bytes) -> None:
        """Go on as the upscaler did that carried these bytes."""
        line, _, states = carried.partition(b"\n")
        facts = json.loads(line)
        keys, states = states[: facts["keys"]], states[facts["keys"] :]
        last, state = states[: facts["last"]], states[facts["last"] :]
        self.fallback = Fallback(**facts["fallback"])
        self._keys = None if self.texture is None else self.texture.from_bytes(keys)
        self._last = np.load(BytesIO(last)) if last else None
        self._state = self.pipeline.read_state(state, self._device) if state else None

    def _frames(self, clip: Clip) -> tuple[Frames, CarriedState | None, KeyframeState | None]:
        state = None if clip.starts_shot else self._state
        keys = None if clip.starts_shot else self._keys
        settings = self._settings_of(clip)
        framing = self._framing_of(clip)
        places = clip.pictures
        done: list[Frames] = []
        if clip.repeats_last:
            assert self._last is not None, "the clip before kept its last frame"
            done.append(self._last)
            if self.texture is not None:
                keys = self.texture.held(keys, places[0] if places else len(clip.frames))
        for part in parts_of(len(places), self.fallback.clip_frames):
            numbers = [clip.first_frame_index + place for place in places[part]]
            pixels = [clip.frames[place].pixels for place in places[part]]
            frames = framing.prepare(np.stack(pixels))
            try:
                result = self.pipeline(
                    frames,
                    first_frame=consecutive(numbers),
                    state=state,
                    settings=settings,
                    timer=self.timer,
                    **self._ahead(clip, part.stop, framing),
                    **self._size(framing),
                )
                _check_light(frames, result.frames)
            except NumericalError as error:
                bad = [numbers[i] for i in error.frames or range(len(frames))]
                raise NumericalError(f"{error} (frames {_listed(bad)} of the source)") from error
            large, keys = self._textured(clip, part, frames, result.frames, keys, framing)
            with self.timer("reduce"):
                finished = framing.finish(large)
            seen = [clip.frames[place] for place in places[part]]
            done.append(with_grain_of(seen, finished, numbers[0], self.timer))
            state = result.state
        large = np.concatenate(done) if len(done) > 1 else done[0]
        return _spread(large, clip), state, keys

    def _textured(
        self,
        clip: Clip,
        part: slice,
        frames: Frames,
        large: Frames,
        keys: KeyframeState | None,
        framing: Framing,
    ) -> tuple[Frames, KeyframeState | None]:
        """Returns a part of the clip's pictures with carried detail, and the keys after it.

        `frames` are the small ones of the part, as the network sees them.
        """
        if self.texture is None:
            return large, keys
        count, first = len(frames), clip.first_frame_index
        ends = [*clip.pictures[1:], len(clip.frames)]
        places = [
            *zip(clip.pictures, ends, strict=True),
            *((len(clip.frames) + i, len(clip.frames) + i + 1) for i in range(len(clip.ahead))),
        ][part.start : part.stop + self.texture.ahead]
        shown = (*clip.frames, *clip.ahead)
        after = (framing.prepare(shown[place].pixels[None])[0] for place, _ in places[count:])
        small = [
            FilmFrame(
                number=first + place,
                seconds=float(shown[place].seconds),
                pixels=pixels,
                is_intra=shown[place].is_intra,
                shown=end - place,
            )
            for (place, end), pixels in zip(places, (*frames, *after), strict=True)
        ]
        return self.texture(small[:count], large, state=keys, ahead=small[count:], timer=self.timer)

    def _ahead(self, clip: Clip, end: int, framing: Framing) -> dict[str, Any]:
        """The argument with the frames after the part that ends there, if the model takes it."""
        own = [clip.frames[place] for place in clip.pictures[end:]]
        after = (*own, *clip.coming)[: self.pipeline.look_ahead]
        if not after:
            return {}
        return {"ahead": framing.prepare(np.stack([frame.pixels for frame in after]))}

    def _size(self, framing: Framing) -> dict[str, Any]:
        """The arguments with the size of the result, if the model makes any."""
        size = framing.inner_size
        if self.uncropped is not None:
            size = self.uncropped(framing.source)
            return {"size": (size.height, size.width), "fit": "crop"}
        return {"size": (size.height, size.width)} if self.pipeline.any_size else {}

    def _settings_of(self, clip: Clip) -> SamplingConfig:
        """The settings by which the clip is computed; a line says where clean frames begin or end.

        They follow from the clip and the fallback alone, so that a resumed run has them too.
        """
        settings, clean = self.settings, clip.traits.clean
        if clean != self._is_clean:
            begun = "lost nothing but size" if clean else "lost more than size"
            _log.info("frames from %d on %s", clip.first_frame_index, begun)
        self._is_clean = clean
        tile = settings.tile if self.fallback.tile is None else self.fallback.tile
        return replace(settings, tile=tile, clean=settings.clean or clean)

    def _framing_of(self, clip: Clip) -> Framing:
        """The part and the size of the clip's frames to compute; a new one is logged."""
        source = Size(*clip.frames[0].pixels.shape[:2])
        native = None if self.pipeline.any_size else self.pipeline.scale
        framing = Framing.of(source, self.size, clip.traits, native=native, factor=self.factor)
        if framing != self._framing and (self._framing is not None or framing.remarks()):
            _log.info("frames from %d on: %s", clip.first_frame_index, framing)
        self._framing = framing
        return framing

    def _use_float32(self, problem: str) -> None:
        """Compute the clip in float32, where its values may be finite."""
        dtype = self.pipeline.dtype
        if dtype == torch.float32:
            raise NumericalError(
                f"{problem} in float32: the model or its weights are at fault; try another "
                "--model, or leave these frames out by --start and --duration"
            )
        _log.warning("%s in %s: made again in float32", problem, dtype_name(dtype))
        self._convert(torch.float32)

    def _reduce(self, clip: Clip, reason: str) -> None:
        """Use less memory for this clip and all after it."""
        first = clip.first_frame_index
        frames = f"frames {first} to {first + len(clip.frames) - 1}"
        fallback = smaller(self.fallback, self._limits(clip))
        if fallback is None:
            raise DeviceError(
                f"memory does not suffice for {frames}, even with {self.fallback} ({reason}): end "
                "other programs, take a machine with more memory, or reduce the source first"
            )
        _log.warning("memory does not suffice for %s (%s): now with %s", frames, reason, fallback)
        self.fallback = fallback
        free_memory()
        self._apply_fallback()

    def _apply_fallback(self) -> None:
        """Bring the networks where and into the format that the fallback says."""
        if self.fallback.offload and self.pipeline.device == self._device:
            with quiet_diffusers():
                self.pipeline.offload_idle_networks(self._device)
        if self.fallback.by_rows:
            self.pipeline.work_by_rows()
        if self.fallback.dtype is not None:
            self._convert(getattr(torch, self.fallback.dtype))

    def _limits(self, clip: Clip) -> Limits:
        """The reductions that are still possible for this clip."""
        computed = self._framing_of(clip).computed
        traits, longer_side = self.pipeline.memory_traits, max(computed.height, computed.width)
        half = None if self.pipeline.dtype != torch.float32 else smaller_dtype(self._device)
        if half is not None and getattr(torch, half) not in traits.dtypes:
            half = None
        return Limits(
            frames=len(clip.frames),
            tile=min(self.settings.tile or longer_side, longer_side),
            smallest_tile=traits.smallest_tile,
            tiles_last=traits.tiles_last,
            offload=traits.offloads and self._device.type != "cpu",
            by_rows=traits.by_rows,
            dtype=half,
        )

    def _convert(self, dtype: torch.dtype) -> None:
        if self.pipeline.dtype != dtype:
            with quiet_diffusers():
                self.pipeline.to(dtype)


def dtype_name(dtype: torch.dtype) -> str:
    """Returns `bfloat16` for torch.bfloat16."""
    return str(dtype).removeprefix("torch.")


def _spread(large: Frames, clip: Clip) -> Frames:
    """Returns the large frame of each frame, from those of the clip's pictures.

    They begin with the one of the clip before where the first frame repeats it.
    """
    if len(large) == len(clip.frames):
        return large
    return large[np.array(clip.shown) + clip.repeats_last]


def _to_bytes(frames: Frames) -> bytes:
    file = BytesIO()
    np.save(file, frames)
    return file.getvalue()


def _check_light(frames: Frames, result: Frames) -> None:
    """Raise NumericalError for frames that are black where those of the source are not."""
    seen, shown = (
        images.mean(axis=(1, 2, 3), dtype=np.float32) / np.iinfo(images.dtype).max
        for images in (frames, result)
    )
    black = np.flatnonzero((shown <= _BLACK) & (seen >= _SEEN))
    if len(black):
        raise NumericalError("the networks make black pictures", tuple(map(int, black)))


def _listed(numbers: Sequence[int]) -> str:
    few = ", ".join(map(str, numbers[:4]))
    return few if len(numbers) <= 4 else f"{few} and {len(numbers) - 4} more"
