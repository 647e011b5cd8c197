"""Progress of a job on standard error: a bar in a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.progress_bar import ProgressBar
from rich.text import Text

_SECONDS_BETWEEN_LINES = 10.0
_LONG_SECONDS = 120
"""A longer time is shown as hours, minutes and seconds."""


@dataclass(frozen=True, slots=True)
class BatchPlace:
    """The place of a film in its batch; `seconds_left` takes the shares of it made and left."""

    number: int
    count: int
    seconds_left: Callable[[float, float], float | None]

    def __str__(self) -> str:
        return f"film {self.number} of {self.count}"


Advance = Callable[[int], None]
"""Adds a number of frames to those that are done."""

ShowProgress = Callable[[int | None], AbstractContextManager[Advance]]
"""Shows the progress towards a number of frames (None: not known) while the context lasts."""


@dataclass(slots=True)
class Meter:
    """Counts frames, and tells rate and time left in words; both are those of this run alone."""

    total: int | None
    place: BatchPlace | None = None
    done: int = 0
    made: int = 0
    reached: float = 0.0
    began: float = field(default_factory=lambda: time.monotonic())
    _is_at_work: bool = False

    def __call__(self, frames: int, *, is_new: bool = True) -> None:
        """Add frames that are done; `is_new` is False for those of an earlier run or a rank."""
        self.done += frames
        if is_new:
            self.made += frames

    def reach(self, frames: float) -> None:
        """Note how many frames the work has reached, those of an unfinished clip included."""
        if not self._is_at_work:  # loading, and reading what is made, say nothing of the rate
            self.began, self._is_at_work = time.monotonic(), True
        self.reached = max(self.reached, frames)

    @property
    def position(self) -> float:
        """The number of frames at which the bar stands."""
        return max(self.done, min(self.reached, self.total or self.reached))

    @property
    def count(self) -> str:
        """The frames that are done; an estimated total that proved too small is left out."""
        is_known = self.total is not None and self.done <= self.total
        return f"{self.done}/{self.total} frames" if is_known else f"{self.done} frames"

    def __str__(self) -> str:
        parts = [] if self.place is None else [str(self.place)]
        parts.append(self.count)
        speed = self._speed()
        if speed:
            parts.append(f"{speed:.2f} frames/s")
            if self.total is not None and self.done <= self.total:
                parts.append(f"{_duration((self.total - self.position) / speed)} left")
        if self.place is not None and (left := self._batch_seconds()) is not None:
            parts.append(f"about {_duration(left)} in all")
        return ", ".join(parts)

    def _speed(self) -> float:
        new = self.made + self.position - self.done
        seconds = time.monotonic() - self.began
        return new / seconds if self.made and seconds > 0 else 0.0

    def _batch_seconds(self) -> float | None:
        if self.place is None or not self.total:
            return None
        made = min(self.made / self.total, 1.0)
        return self.place.seconds_left(made, 1 - min(self.position / self.total, 1.0))


@dataclass(slots=True)
class BatchClock:
    """Estimates the time left of a batch by the bytes of its films."""

    sizes: tuple[int, ...]
    began: float = field(default_factory=lambda: time.monotonic())
    _made: float = 0.0

    def place(self, index: int) -> BatchPlace:
        """Return the place of a film, counted from 0."""

        def seconds_left(made: float, left: float) -> float | None:
            bytes_made = self._made + made * self.sizes[index]
            if bytes_made <= 0:
                return None
            bytes_left = left * self.sizes[index] + sum(self.sizes[index + 1 :])
            return (time.monotonic() - self.began) / bytes_made * bytes_left

        return BatchPlace(index + 1, len(self.sizes), seconds_left)

    def note_made(self, index: int) -> None:
        """Count a film that was made."""
        self._made += self.sizes[index]


class _Forwarding(Meter):
    """Hands the frames on to a function of the caller's."""

    __slots__ = ("_advance",)

    def __init__(self, advance: Advance) -> None:
        super().__init__(None)
        self._advance = advance

    def __call__(self, frames: int, *, is_new: bool = True) -> None:
        """Add frames; see Meter."""
        del is_new
        self._advance(frames)


class TellingMeter(Meter):
    """Tells how far the work has come, with at least so many seconds between."""

    __slots__ = ("_seconds", "_tell", "_told")

    def __init__(self, total: int | None, tell: Callable[[Meter], None], seconds: float) -> None:
        super().__init__(total)
        self._tell, self._seconds = tell, seconds
        self._told = time.monotonic()

    def __call__(self, frames: int, *, is_new: bool = True) -> None:
        """Add frames; see Meter."""
        Meter.__call__(self, frames, is_new=is_new)
        self._tell_in_time()

    def reach(self, frames: float) -> None:
        """Note how far the work has come; see Meter."""
        Meter.reach(self, frames)
        self._tell_in_time()

    def _tell_in_time(self) -> None:
        now = time.monotonic()
        if now - self._told >= self._seconds:
            self._told = now
            self._tell(self)


def metered(advance: Advance) -> Meter:
    """Return the meter that takes the progress: `advance` itself, if it is one."""
    return advance if isinstance(advance, Meter) else _Forwarding(advance)


def in_batch(progress: ShowProgress, place: BatchPlace) -> ShowProgress:
    """Return the progress of a film that also shows its place in a batch."""

    @contextmanager
    def show(total: int | None) -> Generator[Advance]:
        with progress(total) as advance:
            if isinstance(advance, Meter):
                advance.place = place
            yield advance

    return show


@contextmanager
def show_progress(total: int | None) -> Generator[Advance]:
    """Show a bar with frames, frames/s and time left, or lines where there is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield TellingMeter(total, _write_line, _SECONDS_BETWEEN_LINES)
        return
    meter = Meter(total)
    columns = (SpinnerColumn(), _Bar(meter), _Words(meter))
    with Progress(*columns, console=console) as bar:
        bar.add_task("", total=total)
        yield meter


@contextmanager
def no_progress(total: int | None) -> Generator[Advance]:
    """Show nothing."""
    yield Meter(total)


class _Bar(BarColumn):
    """A bar that asks the meter where it stands, ten times a second."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def render(self, task: Task) -> ProgressBar:
        """Move the task to the meter's place, and draw it."""
        task.completed = self._meter.position
        return super().render(task)


class _Words(ProgressColumn):
    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def render(self, task: Task) -> Text:
        del task
        return Text(str(self._meter))


def _write_line(meter: Meter) -> None:
    sys.stderr.write(f"vsr: {meter}\n")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < _LONG_SECONDS else str(timedelta(seconds=whole))
