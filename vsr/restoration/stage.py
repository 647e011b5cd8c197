"""The repairs as a stage on a stream of frames: between finding the cuts and gathering clips."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from vsr.restoration.fading import Curve
from vsr.restoration.hole_shot import ShotHoles
from vsr.restoration.plan import NEIGHBOURS, PATH_PAST, RepairPlan
from vsr.restoration.repair_pictures import RepairPictures
from vsr.restoration.scratch_shot import ShotScratches
from vsr.restoration.shot import ShotRepair
from vsr.video.reading.reader import Frame

FirstNeeded = Callable[[int, int], int | None]
"""Gives, for the number of a shot and of its first frame, the first frame that is wanted."""


class ShotStage(Protocol):
    """Takes the frames of one shot one by one, and gives them changed, some frames later."""

    def push(self, frame: Frame) -> list[Frame]:
        """Add the next frame, and return those that are done by now."""
        ...

    def flush(self) -> list[Frame]:
        """Return the remaining frames; the shot has no more."""
        ...


@dataclass(slots=True)
class ShotStages:
    """Several stages one after the other."""

    stages: list[ShotStage]

    def push(self, frame: Frame) -> list[Frame]:
        """Add the next frame, and return those that have passed all stages by now."""
        return _passed([frame], self.stages)

    def flush(self) -> list[Frame]:
        """Return the remaining frames; the shot has no more."""
        ready: list[Frame] = []
        for stage in self.stages:
            ready = [*_passed(ready, [stage]), *stage.flush()]
        return ready


def _passed(frames: list[Frame], stages: list[ShotStage]) -> list[Frame]:
    for stage in stages:
        frames = [done for frame in frames for done in stage.push(frame)]
    return frames


class Restorer:
    """Takes frames one by one and gives them repaired, at most `plan.reach` frames later.

    The repair of a frame depends on its shot alone; only the correction of fading follows those
    before. Frames that are
    not wanted come out as they went in; `first_needed` says which: None means none of a shot.
    Frames are counted from `first_frame`. `pictures` are those that repairs take from folders.
    """

    def __init__(
        self,
        plan: RepairPlan,
        *,
        first_frame: int = 0,
        first_needed: FirstNeeded = lambda _, first: first,
        pictures: RepairPictures | None = None,
    ) -> None:
        self._plan = plan
        self._pictures = pictures or RepairPictures()
        self._first_needed = first_needed
        self._place = first_frame
        self._shots = 0
        self._shot: ShotRepair | None = None
        self._scratches: ShotScratches | None = None
        self._stages = ShotStages([])
        self._starts_shot = False
        self._curve: Curve | None = None
        self._seen = self._changed = 0

    def push(self, frame: Frame, *, starts_shot: bool) -> list[tuple[Frame, bool]]:
        """Add a frame and return those that are repaired by now, and if they start a shot."""
        ready: list[tuple[Frame, bool]] = []
        if starts_shot or self._shot is None:
            ready = self.flush()
            self._shot = self._new_shot()
        self._place += 1
        return ready + self._marked(self._stages.push(frame))

    def flush(self) -> list[tuple[Frame, bool]]:
        """Return the remaining frames of the shot; the next frame starts another."""
        if self._shot is None:
            return []
        ready = self._marked(self._stages.flush())
        self._curve = self._shot.curve
        looked = [self._shot, *([self._scratches] if self._scratches else [])]
        self._seen += max(one.seen for one in looked)
        self._changed += sum(one.changed for one in looked)
        self._shot = None
        return ready

    def frames(self, marked: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
        """Yield all frames repaired, with their marks. Lazy."""
        for frame, starts_shot in marked:
            yield from self.push(frame, starts_shot=starts_shot)
        yield from self.flush()

    def note(self) -> str | None:
        """Return a line for a film that needed no repair; None where a frame was changed."""
        if self._changed or not self._seen or self._plan.holes or self._plan.colour:
            return None
        return f"no frame was changed: {self._plan} found nothing to repair in {self._seen} frames"

    def _new_shot(self) -> ShotRepair:
        first = self._first_needed(self._shots, self._place)
        self._shots += 1
        self._starts_shot = True
        needed = None if first is None else first - self._place
        colour = self._colouring(needed)
        if colour and needed:
            needed = 0  # colours follow the flow from their reference on, which may be the first
        before = [*self._filling(needed), *self._unscratching(needed)]
        shot = ShotRepair(replace(self._plan, scratches=0.0), needed, self._curve)
        self._stages = ShotStages([*before, shot, *colour])
        return shot

    def _unscratching(self, needed: int | None) -> list[ShotStage]:
        if not self._plan.scratches:
            self._scratches = None
            return []
        # paths and neighbours of the first frame that is needed are looked at without scratches
        first = None if needed is None else max(0, needed - PATH_PAST - 2 * NEIGHBOURS)
        self._scratches = ShotScratches(self._plan.scratches, first)
        return [self._scratches]

    def _filling(self, needed: int | None) -> list[ShotStage]:
        masks, strength = self._pictures.masks, self._plan.holes
        if not strength:
            return []
        # the frames around those that are needed are looked at by later repairs, unbroken
        return [ShotHoles(masks, self._place, strength, None if needed is None else 0)]

    def _colouring(self, needed: int | None) -> list[ShotStage]:
        references, strength = self._pictures.references, self._plan.colour
        if references is None or not strength:
            return []
        from vsr.restoration.colour_shot import ShotColour  # here: it brings torch

        return [ShotColour(references, self._place, strength, needed)]

    def _marked(self, frames: list[Frame]) -> list[tuple[Frame, bool]]:
        marked: list[tuple[Frame, bool]] = []
        for frame in frames:
            marked.append((frame, self._starts_shot))
            self._starts_shot = False
        return marked
