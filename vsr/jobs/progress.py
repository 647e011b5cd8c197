"""Progress of a job on standard error: a bar in a terminal, a plain line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_SECONDS_BETWEEN_LINES = 10.0

Advance = Callable[[int], None]
"""Adds a number of frames to those that are done."""

ShowProgress = Callable[[int | None], AbstractContextManager[Advance]]
"""Shows the progress towards a number of frames (None: not known) while the context lasts."""


@contextmanager
def show_progress(total: int | None) -> Generator[Advance]:
    """Show a bar with frames, frames/s and time left, or lines where there is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(total).advance
        return
    columns = (BarColumn(), TextColumn("{task.description}"), _Speed(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(_count(0, total), total=total)

        def advance(frames: int) -> None:
            done = int(bar.tasks[0].completed) + frames
            bar.update(task, completed=done, description=_count(done, total))

        yield advance


@contextmanager
def no_progress(total: int | None) -> Generator[Advance]:
    """Show nothing."""
    del total

    def advance(frames: int) -> None:
        del frames

    yield advance


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} frames/s" if task.speed else "")


@dataclass(slots=True)
class _Lines:
    total: int | None
    done: int = 0
    began: float = field(default_factory=time.monotonic)
    shown: float = field(default_factory=time.monotonic)

    def advance(self, frames: int) -> None:
        self.done += frames
        now = time.monotonic()
        if now - self.shown < _SECONDS_BETWEEN_LINES:
            return
        self.shown = now
        speed = self.done / (now - self.began)
        line = f"vsr: {_count(self.done, self.total)}, {speed:.2f} frames/s"
        if self.total is not None:
            line += f", {max(self.total - self.done, 0) / speed:.0f} s left"
        sys.stderr.write(line + "\n")


def _count(done: int, total: int | None) -> str:
    return f"{done} frames" if total is None else f"{done}/{total} frames"
