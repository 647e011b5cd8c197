"""UpscaleStream: frames in as they come, finished ones out, with the result of a file."""

from collections.abc import Iterable
from dataclasses import fields
from fractions import Fraction
from itertools import chain

import numpy as np
from jaxtyping import UInt8, UInt16

from vsr.checkpoints.load import Pipeline
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError, InputError
from vsr.option_values import parse_reduction
from vsr.restoration.stage import Restorer
from vsr.runtime.timing import NullTimer, Timer
from vsr.upscaling.clip_upscaler import Upscaler
from vsr.upscaling.framing import reuses_repeats, shot_analysis
from vsr.upscaling.load import sampling_overrides
from vsr.upscaling.repairs import repair_plan
from vsr.upscaling.sizes import Size, clip_length, log_size, output_size
from vsr.video.reading.clips import Clip, ClipGatherer
from vsr.video.reading.reader import Frame
from vsr.video.reading.shots import CutMarker, ShotDetector

Given = UInt8[np.ndarray, "t h w 3"] | UInt16[np.ndarray, "t h w 3"]
Finished = UInt8[np.ndarray, "t2 h2 w2 3"] | UInt16[np.ndarray, "t2 h2 w2 3"]

_OF_LOADING = ("model", "preset", "device", "dtype", "storage", "attention", "flow", "flow_weights")
_OF_TEXTURE = ("texture", "texture_strength", "texture_prompt", "texture_steps", "keyframes")
_OF_OUTPUT = ("codec", "crf", "lossless", "overwrite", "restart")
_OF_FILES = (
    *("start", "duration", "fps", "name", "recursive", "without", "tolerant"),
    *("colour_references", "masks", "grain_table", "seedvr_crop", *_OF_OUTPUT),
)
_ONE = Fraction(1)


class UpscaleStream:
    """Upscales frames that come a few at a time, as from a camera, a decoder or a generator.

    The result equals that of `vsr upscale --texture none` on a file of the same frames: the same
    shots, clips and noise. `config` has the choices of sampling, the size of the output and the
    length of clips; options for loading a model or for files are refused. `detector` finds cuts;
    None: only `new_shot` marks them. `first_frame` is the number of the first frame in its film, on
    which noise depends.

    Raises ConfigError for an option that has no place here.
    """

    def __init__(
        self,
        pipe: Pipeline,
        config: UpscaleConfig | None = None,
        *,
        detector: ShotDetector | None = ShotDetector(),  # noqa: B008  (it is frozen)
        first_frame: int = 0,
        timer: Timer | None = None,
    ) -> None:
        self._pipe = pipe
        self._config = _checked(config or UpscaleConfig())
        self._settings = pipe.configured(sampling_overrides(self._config))
        self._detector = detector
        self._first_frame = first_frame
        self._timer = timer or NullTimer()
        self._source: Size | None = None
        self._count = 0
        self._marker = self._new_marker()
        self._restorer = Restorer(repair_plan(self._config), first_frame=first_frame)

    def push(self, frames: Given, *, new_shot: bool = False) -> Finished:
        """Take the next frames, any number of them, and return those that are finished.

        These are the earliest that have not been returned yet, maybe none. `new_shot`: a cut lies
        before the first of `frames`, and all before it are finished. Raises InputError for frames
        of another form or size than the first ones had.
        """
        size = _size(frames)
        if self._source is None:
            self._begin(size)
        if size != self._source:
            raise InputError(
                f"frames of {size} come after frames of {self._source}: one stream has one size; "
                "begin another stream"
            )
        ready = self._end_shot() if new_shot else []
        for pixels in frames:
            # A copy, for a camera's buffer may hold the next picture by the time it is needed.
            frame = Frame(pixels.copy(), self._count, _ONE)
            self._count += 1
            marked = [(frame, False)] if self._marker is None else self._marker.push(frame)
            ready += self._gathered(marked)
        return self._finished(ready)

    def flush(self) -> Finished:
        """Finish and return the remaining frames; what is pushed later is another shot."""
        if self._source is None:
            return np.empty((0, 0, 0, 3), np.uint8)
        return self._finished(self._end_shot())

    def _begin(self, source: Size) -> None:
        target = output_size(source, self._config, native=self._pipe.scale)
        self._upscaler = Upscaler(
            self._pipe,
            self._settings,
            target,
            self._timer,
            factor=parse_reduction(self._config.reduce),
        )
        log_size(source, self._config, native=self._pipe.scale)
        self._gatherer = ClipGatherer(
            self._clip_length(source),
            self._first_frame,
            look_ahead=self._pipe.look_ahead,
            analysis=shot_analysis(
                source, target, self._config, None if self._pipe.any_size else self._pipe.scale
            ),
            share_repeats=reuses_repeats(self._config),
        )
        self._nothing = np.empty((0, target.height, target.width, 3), np.uint8)
        self._source = source

    def _clip_length(self, source: Size) -> int:
        own = self._pipe.clip_frames if self._config.max_clip_frames is None else None
        return own or clip_length(source, self._config)

    def _new_marker(self) -> CutMarker | None:
        return None if self._detector is None else CutMarker(self._detector)

    def _end_shot(self) -> list[Clip]:
        waiting = [] if self._marker is None else self._marker.flush()
        self._marker = self._new_marker()
        ready = self._gathered(waiting) + self._clips(self._restorer.flush())
        return ready + self._gatherer.flush()

    def _gathered(self, marked: Iterable[tuple[Frame, bool]]) -> list[Clip]:
        repaired = [self._restorer.push(frame, starts_shot=cut) for frame, cut in marked]
        return self._clips(chain.from_iterable(repaired))

    def _clips(self, marked: Iterable[tuple[Frame, bool]]) -> list[Clip]:
        pushed = [self._gatherer.push(frame, starts_shot=cut) for frame, cut in marked]
        return list(chain.from_iterable(pushed))

    def _finished(self, clips: list[Clip]) -> Finished:
        done = [self._upscaler(clip).pixels for clip in clips]
        return np.concatenate(done) if done else self._nothing


def _checked(config: UpscaleConfig) -> UpscaleConfig:
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name in (*_OF_LOADING, *_OF_TEXTURE, *_OF_FILES) and value != field.default:
            when = "when the model is loaded" if field.name in _OF_LOADING else "for files only"
            raise ConfigError(f"{field.name} = {value} is chosen {when}: a stream cannot take it")
    return config


def _size(frames: Given) -> Size:
    if frames.ndim != 4 or frames.shape[-1] != 3 or str(frames.dtype) not in ("uint8", "uint16"):
        raise InputError(
            f"frames are {frames.dtype} of shape {frames.shape}; give uint8 or uint16 (t, h, w, 3)"
        )
    return Size(*frames.shape[1:3])
