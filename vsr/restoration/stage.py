"""The repairs as a stage on a stream of frames: between finding the cuts and gathering clips."""

from collections.abc import Callable, Iterable, Iterator

from vsr.restoration.fading import Curve
from vsr.restoration.plan import RepairPlan
from vsr.restoration.shot import ShotRepair
from vsr.video.reading.reader import Frame

FirstNeeded = Callable[[int, int], int | None]
"""Gives, for the number of a shot and of its first frame, the first frame that is wanted."""


class Restorer:
    """Takes frames one by one and gives them repaired, at most `plan.reach` frames later.

    The repair of a frame depends on its shot alone; only the correction of fading follows those
    before. Frames that are
    not wanted come out as they went in; `first_needed` says which: None means none of a shot.
    Frames are counted from `first_frame`.
    """

    def __init__(
        self,
        plan: RepairPlan,
        *,
        first_frame: int = 0,
        first_needed: FirstNeeded = lambda _, first: first,
    ) -> None:
        self._plan = plan
        self._first_needed = first_needed
        self._place = first_frame
        self._shots = 0
        self._shot: ShotRepair | None = None
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
        return ready + self._marked(self._shot.push(frame))

    def flush(self) -> list[tuple[Frame, bool]]:
        """Return the remaining frames of the shot; the next frame starts another."""
        if self._shot is None:
            return []
        ready = self._marked(self._shot.flush())
        self._curve = self._shot.curve
        self._seen += self._shot.seen
        self._changed += self._shot.changed
        self._shot = None
        return ready

    def frames(self, marked: Iterable[tuple[Frame, bool]]) -> Iterator[tuple[Frame, bool]]:
        """Yield all frames repaired, with their marks. Lazy."""
        for frame, starts_shot in marked:
            yield from self.push(frame, starts_shot=starts_shot)
        yield from self.flush()

    def note(self) -> str | None:
        """Return a line for a film that needed no repair; None where a frame was changed."""
        if self._changed or not self._seen:
            return None
        return f"no frame was changed: {self._plan} found nothing to repair in {self._seen} frames"

    def _new_shot(self) -> ShotRepair:
        first = self._first_needed(self._shots, self._place)
        self._shots += 1
        self._starts_shot = True
        needed = None if first is None else first - self._place
        return ShotRepair(self._plan, needed, self._curve)

    def _marked(self, frames: list[Frame]) -> list[tuple[Frame, bool]]:
        marked: list[tuple[Frame, bool]] = []
        for frame in frames:
            marked.append((frame, self._starts_shot))
            self._starts_shot = False
        return marked
