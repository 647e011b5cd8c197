"""Timing of a run: seconds per named stage, by context managers; no torch."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")
Timer = Callable[[str], AbstractContextManager[None]]
"""The interface of a timer: `with timer("unet"): ...`."""


class NullTimer:
    """A timer that measures nothing: the default."""

    def __call__(self, stage: str) -> AbstractContextManager[None]:
        """Return a context that does nothing."""
        return nullcontext()


def timed(items: Iterable[Item], timer: Timer, stage: str) -> Iterator[Item]:
    """Yield `items`; the time that each takes is counted for `stage`."""
    iterator = iter(items)
    while True:
        with timer(stage):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


@dataclass(slots=True)
class StageTimer:
    """Seconds per stage, summed over calls and threads.

    A stage inside another one is taken off the outer one, so that the stages of a thread add up to
    its time. `synchronize` (as `torch.cuda.synchronize`) runs at both ends of a stage: work
    on an accelerator is asynchronous and would otherwise be counted where something waits for it.
    """

    synchronize: Callable[[], None] | None = None
    _seconds: dict[str, float] = field(default_factory=dict[str, float])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _inner: threading.local = field(default_factory=threading.local)

    @contextmanager
    def __call__(self, stage: str) -> Generator[None]:
        """Add the duration of the context, without the stages inside it, to `stage`."""
        inner: list[float] = self._inner.__dict__.setdefault("seconds", [])
        inner.append(0.0)
        start = self._now()
        try:
            yield
        finally:
            elapsed = self._now() - start
            own = elapsed - inner.pop()
            if inner:
                inner[-1] += elapsed
            with self._lock:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + own

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds per stage, in the order in which the stages first ended."""
        with self._lock:
            return dict(self._seconds)

    def _now(self) -> float:
        if self.synchronize is not None:
            self.synchronize()
        return time.perf_counter()
