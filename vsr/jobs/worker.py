"""A worker: reads the source, upscales its shots and stores them, overlapped."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from vsr.jobs.clip_ticks import ClipTicks
from vsr.jobs.job import Job
from vsr.jobs.model import ClipUpscaler
from vsr.jobs.prefetch import prefetch, write_behind
from vsr.jobs.progress import Meter
from vsr.jobs.resume.identity import SourceGuard
from vsr.jobs.resume.journal import damage_error
from vsr.jobs.resume.shot_store import ShotWork
from vsr.jobs.resume.work_folder import ShotList, WorkFolder
from vsr.restoration.stage import Restorer
from vsr.runtime.timing import Timer
from vsr.video.probe import VideoInfo
from vsr.video.reading.clips import Clip, gathered
from vsr.video.reading.reader import Frame, VideoReader
from vsr.video.reading.shots import ShotDetector

if TYPE_CHECKING:  # it brings torch
    from vsr.upscaling.clip_upscaler import UpscaledClip

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Worker:
    """Upscales the shots of a film that are this rank's; `load` is called at the first clip.

    `ticks` is the timer of the networks, which shows the progress within a clip.
    """

    job: Job
    work: WorkFolder
    load: Callable[[], ClipUpscaler]
    timer: Timer
    ticks: ClipTicks
    load_seconds: float = 0.0
    _upscaler: ClipUpscaler | None = None
    _frames: int = 0
    _repeated: int = 0
    _has_told_grain: bool = False

    def upscale_shots(self, advance: Meter) -> ShotList:
        """Read the whole source, upscale this rank's unfinished shots, and return all shots."""
        guard = SourceGuard.of(self.job.source)
        with self.job.reader() as reader:
            shots, frames = self.upscale_clips(self._decoded(reader), guard, advance)
        guard.check()
        found = ShotList(shots, frames, reader.damage)
        self.work.shots = found
        return found

    def upscale_clips(
        self, clips: Iterator[Clip], guard: SourceGuard, advance: Meter
    ) -> tuple[tuple[int, ...], int]:
        """Upscale this rank's unfinished shots; return the first frames of all, and their number.

        `clips` begin with a shot, and hold whole shots.
        """
        shots: list[int] = []
        frames = 0
        with ExitStack() as stack:
            coming = stack.enter_context(prefetch(clips))
            write = stack.enter_context(write_behind(_call))
            shot: ShotWork | None = None
            place = 0
            for clip in coming:
                if clip.starts_shot:
                    if shot is not None:
                        write(shot.end)
                    shots.append(clip.first_frame_index)
                    shot = self._open_shot(shots)
                    place = shots[-1] + (0 if shot is None else shot.done)
                frames += len(clip.frames)
                rest = None if shot is None else _from_frame(clip, place)
                if shot is None or rest is None:
                    advance(len(clip.frames), is_new=False)
                    continue
                if finished := len(clip.frames) - len(rest.frames):
                    advance(finished, is_new=False)
                rest = self._told_grain(rest)
                upscaler = self._resumed(shot)
                self.ticks.begin(partial(_reach, advance, frames, len(rest.frames)))
                self._count(rest)
                upscaled = upscaler(rest)
                write(partial(self._store, shot, upscaled, upscaler.carried(), guard, advance))
            if shot is not None:
                write(shot.end)
        return tuple(shots), frames

    def report_savings(self) -> None:
        """Log what part of the frames the networks did not have to see in this run."""
        if self._repeated:
            _log.info(
                "%d of %d frames (%.1f %%) repeat the one before and were not computed again",
                *(self._repeated, self._frames, 100 * self._repeated / self._frames),
            )
        texture = getattr(self._upscaler, "texture", None)
        if texture is not None and texture.frames:
            _log.info("%s", texture.report())

    def _told_grain(self, clip: Clip) -> Clip:
        """Return the clip without its grain where the player adds it, and note that grain."""
        if not self.job.config.grain_table:
            return clip
        first = clip.frames[0]
        if clip.starts_shot or not self._has_told_grain:
            self.work.note_grain(first.pts, self.job.film_grain(first.grain))
            self._has_told_grain = True
        return replace(clip, frames=tuple(replace(frame, grain=None) for frame in clip.frames))

    def _count(self, clip: Clip) -> None:
        self._frames += len(clip.frames)
        self._repeated += len(clip.frames) - len(clip.pictures)

    def _decoded(self, reader: VideoReader) -> Iterator[Clip]:
        """Yield the clips of the reader, numbered as in the whole source: noise depends on it."""
        frames = iter(reader)
        with self.timer("decode"):
            first = next(frames)
        skipped = frame_number(first, reader.info)
        marked = ShotDetector().mark_cuts(chain((first,), frames))
        pictures = self.job.repair_pictures
        if self.job.repairs:
            restorer = Restorer(
                self.job.repairs,
                first_frame=skipped,
                first_needed=self._first_needed,
                pictures=pictures,
            )
            marked = _noted(restorer, marked)
        found = clips_of(self.job, marked, skipped)
        while True:
            with self.timer("decode"):
                clip = next(found, None)
            if clip is None:
                pictures.report()
                return
            yield clip

    def _first_needed(self, number: int, first: int) -> int | None:
        """Return the first frame of a shot that is not finished; None if the shot is not ours."""
        if not self.work.ranks.takes(number):
            return None
        finished = self.work.whole_frames(first)
        return None if finished is None else first + finished

    def _open_shot(self, shots: list[int]) -> ShotWork | None:
        """Return the last of the shots, if it is this rank's and not finished."""
        if not self.work.ranks.takes(len(shots) - 1):
            return None
        return self.work.open_shot(shots[-1], self.job.encoding)

    def _resumed(self, shot: ShotWork) -> ClipUpscaler:
        """Return the upscaler, at the state that an earlier run of the shot handed over."""
        upscaler = self._loaded()
        if (carried := shot.take_carried()) is not None:
            try:
                upscaler.resume(carried)
            except (AttributeError, LookupError, TypeError, ValueError, SafetensorError) as error:
                raise damage_error(self.work.path) from error
        return upscaler

    def _store(
        self,
        shot: ShotWork,
        upscaled: "UpscaledClip",
        carried: bytes,
        guard: SourceGuard,
        advance: Meter,
    ) -> None:
        guard.check()  # now, so that no frame is stored that came from another file
        with self.timer("encode"):
            shot.add(upscaled.pixels, upscaled.pts, carried)
        advance(len(upscaled.pts))

    def _loaded(self) -> ClipUpscaler:
        if self._upscaler is None:
            began = time.monotonic()
            self._upscaler = self.load()
            self.load_seconds = time.monotonic() - began
        return self._upscaler


def clips_of(job: Job, marked: Iterable[tuple[Frame, bool]], first: int) -> Iterator[Clip]:
    """Yield the clips of frames, which are marked where a shot starts and numbered from `first`."""
    found = gathered(
        marked,
        max_frames=job.clip_frames,
        look_ahead=job.look_ahead,
        analysis=job.analysis,
        share_repeats=job.reuses_repeats,
    )
    return (replace(clip, first_frame_index=first + clip.first_frame_index) for clip in found)


def _noted(
    restorer: Restorer, marked: Iterator[tuple[Frame, bool]]
) -> Iterator[tuple[Frame, bool]]:
    """Yield the repaired frames, and at the end say if there was nothing to repair."""
    yield from restorer.frames(marked)
    if note := restorer.note():
        _log.info("%s", note)


def _reach(advance: Meter, end: int, length: int, share: float) -> None:
    """Tell that `share` of the last `length` of `end` frames is made."""
    advance.reach(end - (1 - share) * length)


def _call(task: Callable[[], None]) -> None:
    task()


def _from_frame(clip: Clip, number: int) -> Clip | None:
    """Return the frames of a clip from `number` on; None if there are none."""
    skipped = number - clip.first_frame_index
    if skipped <= 0:
        return clip
    rest = clip.frames[skipped:]
    if not rest:
        return None
    return replace(
        clip, frames=rest, first_frame_index=number, starts_shot=False, repeats_last=False
    )


def frame_number(frame: Frame, info: VideoInfo) -> int:
    """Return the number of frames that the source shows before `frame`, by its average rate."""
    seconds = frame.seconds - info.start_pts * info.time_base
    return 0 if info.average_rate is None else round(seconds * info.average_rate)
