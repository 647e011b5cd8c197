"""Progress within a clip: the stages of its networks, counted as they end."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

from vsr.runtime.timing import Timer


class ClipTicks:
    """A timer that also tells, at the end of every stage, how much of the clip is made.

    The share is that of the stages which the clip before had, by their number; the first clip of a
    run has none before it. Stages run one after the other, in one thread.
    """

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._expected = 0
        self._count = 0
        self._tell: Callable[[float], None] | None = None

    def begin(self, tell: Callable[[float], None]) -> None:
        """Begin a clip; `tell` gets the share of it that is made, from 0 to 1."""
        self._expected, self._count, self._tell = self._count or self._expected, 0, tell
        tell(0.0)

    def __call__(self, stage: str) -> AbstractContextManager[None]:
        """Time a stage as the timer itself does."""
        return self._stage(stage)

    @contextmanager
    def _stage(self, stage: str) -> Generator[None]:
        with self._timer(stage):
            yield
        self._count += 1
        if self._tell is not None and self._expected:
            self._tell(min(self._count / self._expected, 1.0))
