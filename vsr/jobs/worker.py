"""One process at the shots of a film: it reads, claims, makes larger and keeps, all at once."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from vsr.config import UpscaleConfig
from vsr.jobs.model import ClipMaker
from vsr.jobs.prefetch import ahead, behind
from vsr.jobs.progress import Advance
from vsr.jobs.resume.identity import SourceGuard
from vsr.jobs.resume.shot_store import ShotWork
from vsr.jobs.resume.work_folder import Film, WorkFolder
from vsr.runtime.timing import Timer
from vsr.video.probe import VideoInfo
from vsr.video.reading.clips import Clip, clips
from vsr.video.reading.reader import Frame, VideoReader
from vsr.video.reading.shots import ShotDetector
from vsr.video.writing.encoding import Encoding

_POLL_SECONDS = 0.5


@dataclass(slots=True)
class ShotMaker:
    """Makes the shots of a film that nobody else makes; `load` brings the model when it is needed.

    `encoding` is that of the output, None for PNG; `clip_frames` are the most in memory at once.
    """

    source: Path
    config: UpscaleConfig
    clip_frames: int
    encoding: Encoding | None
    work: WorkFolder
    load: Callable[[], ClipMaker]
    timer: Timer
    advance: Advance
    load_seconds: float = 0.0
    _maker: ClipMaker | None = None
    _passes: int = 0

    def make_all(self, *, wait: bool) -> Film | None:
        """Return the film when all its shots are finished; without `wait` None if others make some.

        None also if others have made the output whole. The shots of a process that dies are taken
        over.
        """
        film = self.work.film or self._pass()
        while left := self._unfinished(film):
            if self.work.is_gone:
                return None
            if any(self.work.is_free(shot) for shot in left):
                film = self._pass()
            elif not wait:
                return None
            else:
                time.sleep(_POLL_SECONDS)
        return film

    def _unfinished(self, film: Film) -> list[int]:
        return [shot for shot in film.shots if not self.work.progress(shot).ended]

    def _pass(self) -> Film:
        """Read the whole source, and make those of its shots that can be claimed."""
        shots: list[int] = []
        frames = 0
        self._passes += 1
        guard = SourceGuard.of(self.source)
        with ExitStack() as stack:
            reader = stack.enter_context(source_reader(self.source, self.config))
            coming = stack.enter_context(ahead(_decoded(reader, self.clip_frames, self.timer)))
            soon = stack.enter_context(behind(_do))
            shot: ShotWork | None = None
            done = 0
            for clip in coming:
                if clip.starts_shot:
                    if shot is not None:
                        soon(shot.end)
                    shots.append(clip.first_frame_index)
                    shot = self.work.claim_shot(shots[-1], self.encoding)
                    done = 0 if shot is None else shot.frames
                frames += len(clip.frames)
                rest = None if shot is None else _after(clip, shots[-1] + done)
                if shot is None or rest is None:
                    self._count(len(clip.frames))
                    continue
                self._count(len(clip.frames) - len(rest.frames))
                soon(self._made(shot, rest, guard))
            if shot is not None:
                soon(shot.end)
        guard.check()
        film = Film(tuple(shots), frames, reader.damage)
        self.work.film = film
        return film

    def _made(self, shot: ShotWork, clip: Clip, guard: SourceGuard) -> Callable[[], None]:
        """Make a clip larger, and return what keeps it."""
        maker = self._loaded()
        if (carried := shot.take_carried()) is not None:
            maker.resume(carried)
        made = maker(clip)
        carried = maker.carried()

        def keep() -> None:
            # Now, so that no frame is kept that was read from something else.
            guard.check()
            with self.timer("encode"):
                shot.add(made.pixels, made.pts, carried)
            self.advance(len(made.pts))

        return keep

    def _loaded(self) -> ClipMaker:
        if self._maker is None:
            began = time.monotonic()
            self._maker = self.load()
            self.load_seconds = time.monotonic() - began
        return self._maker

    def _count(self, frames: int) -> None:
        """Count frames that are not for this process to make, once."""
        if self._passes == 1 and frames:
            self.advance(frames)


def _do(task: Callable[[], None]) -> None:
    task()


def _after(clip: Clip, place: int) -> Clip | None:
    """The frames of a clip from number `place` on; None if there are none."""
    skipped = place - clip.first_frame_index
    if skipped <= 0:
        return clip
    rest = clip.frames[skipped:]
    return Clip(rest, place, starts_shot=False) if rest else None


def source_reader(source: Path, config: UpscaleConfig) -> VideoReader:
    """The frames of the part of the source that `config` asks for."""
    return VideoReader(
        source,
        start=config.start,
        duration=config.duration,
        tolerant=config.tolerant,
        deinterlace=config.deinterlace,
        rate=config.frame_rate,
    )


def _decoded(reader: VideoReader, length: int, timer: Timer) -> Iterator[Clip]:
    """The clips of the reader, numbered from the first frame of the source: noise depends on it."""
    found = clips(reader, max_frames=length, detector=ShotDetector())
    skipped = None
    while True:
        with timer("decode"):
            clip = next(found, None)
        if clip is None:
            return
        if skipped is None:
            skipped = _frame_number(clip.frames[0], reader.info)
        yield replace(clip, first_frame_index=skipped + clip.first_frame_index)


def _frame_number(frame: Frame, info: VideoInfo) -> int:
    """How many frames the source shows before `frame`, by its average rate."""
    seconds = frame.seconds - info.start_pts * info.time_base
    return 0 if info.average_rate is None else round(seconds * info.average_rate)
