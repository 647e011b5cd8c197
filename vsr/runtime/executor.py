"""One executor for tasks in this process, in processes of this machine, or in actors of Ray.

    with open_executor(WorkerOptions(processes=4)) as executor:      # or cluster="auto"
        for done in executor.map(measure, paths):
            print(done.task, done.value())

`measure` takes a task and returns a result; both, and the function, must be picklable. Results come
as they finish, not in order. `done.value()` raises the error of the task; the other tasks go on.
`tasks` may be endless: one is taken at a time, when a worker is free for it.

Work that needs something large, such as a model, is made once in each worker by a function:

        for done in executor.run(partial(load_work, config), tasks, told=show): ...

`load_work(config)` returns the work, which is called as `work(task, tell)`; each `tell(value)`
calls `show(task, value)` here. Lines of the log of workers appear in the log of this process.

A worker that dies is replaced and its task runs again, three times at most; then `value()` raises
DeviceError. Leaving the loop early, by an error or Ctrl-C, kills the workers; they also end
when this process dies. What a task has written must therefore be safe at any instant. In this
process (`processes=0`, the default) there are no workers: tasks run one after the other.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from typing import Any, Generic, Protocol

from vsr.errors import ConfigError, DeviceError
from vsr.runtime.executor_files import ReadFile, read_file
from vsr.runtime.executor_worker import (
    Ended,
    Logged,
    Lost,
    MakeWork,
    Message,
    Ready,
    Result,
    Run,
    Task,
    Tell,
    Told,
    Work,
    WorkerBrokenError,
    log_again,
)

__all__ = [
    "Done",
    "Executor",
    "ReadFile",
    "Tell",
    "Work",
    "WorkerBrokenError",
    "WorkerOptions",
    "open_executor",
]

_log = logging.getLogger(__name__)

_MOST_TRIES = 3
"""A task that so many workers did not survive is at fault itself."""

ShowTold = Callable[[Any, Any], None]
"""Takes a task and a value that it tells while it runs."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The place of tasks: `processes` of this machine (0: this process), or a cluster of Ray.

    `cluster` is HOST:PORT or "auto", which joins the cluster of this machine, or starts one here.
    Its workers get `cpus_per_worker` CPUs each and, if `gpus` and there are any, one GPU.
    """

    processes: int = 0
    cluster: str | None = None
    cpus_per_worker: int = 1
    gpus: bool = False

    def __post_init__(self) -> None:
        if self.processes < 0:
            raise ConfigError(f"{self.processes} worker processes are not possible; give 0 or more")
        if self.cpus_per_worker < 1:
            raise ConfigError(
                f"--cpus-per-worker {self.cpus_per_worker} is not possible; give 1 or more"
            )


@dataclass(frozen=True, slots=True)
class Done(Generic[Task, Result]):
    """A task that has ended, with its result or its error."""

    task: Task
    result: Result | None = None
    error: Exception | None = None

    def value(self) -> Result:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result  # pyright: ignore[reportReturnType]


class Worker(Protocol):
    """A started worker."""

    def send(self, run: Run[Any, Any], task: Any) -> None:
        """Give it a task of a run; it has none."""
        ...

    def end(self) -> None:
        """End it at once, whatever it does."""
        ...


class Engine(Protocol):
    """Starts workers and waits for their messages."""

    @property
    def size(self) -> int:
        """The largest number of workers at once."""
        ...

    def start(self) -> Worker:
        """Start a worker, whose first message is `Ready`."""
        ...

    @property
    def read_file(self) -> ReadFile:
        """A function for tasks, which reads files of this machine wherever it is called."""
        ...

    def receive(self, workers: Sequence[Any]) -> Iterable[tuple[Worker, Message]]:
        """Wait until some of the workers have sent something, and return it."""
        ...

    def close(self) -> None:
        """End all that was started."""
        ...


class Executor:
    """Runs tasks on an engine, or in this process; see the head of this file."""

    def __init__(self, engine: Engine | None = None) -> None:
        self._engine = engine
        self._idle: list[Worker] = []
        self._runs = count()

    @property
    def workers(self) -> int:
        """The largest number of tasks that run at once."""
        return 1 if self._engine is None else self._engine.size

    @property
    def read_file(self) -> ReadFile:
        """A function for tasks, which reads files of this machine wherever a worker is."""
        return read_file if self._engine is None else self._engine.read_file

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Generator[Done[Task, Result]]:
        """Yield the results of a function as they finish."""
        return self.run(partial(_as_work, function), tasks)

    def run(
        self,
        make: MakeWork[Task, Result],
        tasks: Iterable[Task],
        *,
        told: ShowTold = lambda task, value: None,
    ) -> Generator[Done[Task, Result]]:
        """Yield the results of tasks as they finish; `make` gives each worker its work."""
        if self._engine is None:
            return _run_here(make, tasks, told)
        level = logging.getLogger("vsr").getEffectiveLevel()
        run = Run(next(self._runs), make, level)
        return _Crew(self._engine, self._idle, run, tasks).results(told)

    def close(self) -> None:
        """End all workers."""
        for worker in self._idle:
            worker.end()
        if self._engine is not None:
            self._engine.close()


@contextmanager
def open_executor(options: WorkerOptions) -> Generator[Executor]:
    """Give an executor for the context, at whose end nothing that it has started runs any more.

    Raises DependencyError without Ray and DeviceError for a cluster that cannot be reached, or
    without room for a worker.
    """
    executor = Executor(_engine(options))
    try:
        yield executor
    finally:
        executor.close()


def _engine(options: WorkerOptions) -> Engine | None:
    if options.cluster is not None:
        from vsr.runtime.executor_ray import RayEngine

        return RayEngine(options.cluster, cpus=options.cpus_per_worker, gpus=options.gpus)
    if options.processes:
        from vsr.runtime.executor_processes import ProcessEngine

        return ProcessEngine(options.processes)
    return None


def _as_work(function: Callable[[Task], Result]) -> Work[Task, Result]:
    def work(task: Task, tell: Tell) -> Result:
        del tell
        return function(task)

    return work


def _run_here(
    make: MakeWork[Task, Result], tasks: Iterable[Task], told: ShowTold
) -> Generator[Done[Task, Result]]:
    work: Work[Task, Result] | None = None
    for task in tasks:
        try:
            work = work or make()
            done = Done(task, work(task, partial(told, task)))
        # The one boundary of a task, as in workers.
        except Exception as error:
            done = Done(task, error=error)
        yield done


@dataclass(frozen=True, slots=True)
class _Try(Generic[Task]):
    task: Task
    number: int = 1


class _Crew(Generic[Task, Result]):
    """The workers of a run, each of which starts, is idle or has a task; idle ones outlive it."""

    def __init__(
        self,
        engine: Engine,
        idle: list[Worker],
        run: Run[Task, Result],
        tasks: Iterable[Task],
    ) -> None:
        self._engine = engine
        self._idle = idle
        self._run = run
        self._tasks = iter(tasks)
        self._waiting = deque[_Try[Task]]()
        self._starting = set[Worker]()
        self._busy: dict[Worker, _Try[Task]] = {}
        self._failed_starts = 0

    def results(self, told: ShowTold) -> Generator[Done[Task, Result]]:
        """Yield the results of the tasks."""
        try:
            while self._hand_out():
                heard = (*self._starting, *self._busy)
                for worker, message in self._engine.receive(heard):
                    yield from self._hear(worker, message, told)
        finally:
            for worker in (*self._starting, *self._busy):
                worker.end()

    def _hand_out(self) -> bool:
        """Give waiting tasks to idle workers, and return whether there is one left to wait for."""
        while self._waiting and self._idle:
            self._give(self._waiting.popleft())
        room = self._engine.size - len(self._busy) - len(self._waiting)
        for task in islice(self._tasks, room):
            if self._idle:
                self._give(_Try(task))
            else:
                self._waiting.append(_Try(task))
                self._start_worker()
        return bool(self._busy or self._waiting)

    def _start_worker(self) -> None:
        """Start a worker for a waiting task, if one more may run."""
        running = len(self._starting) + len(self._busy) + len(self._idle)
        if len(self._starting) < len(self._waiting) and running < self._engine.size:
            self._starting.add(self._engine.start())

    def _give(self, attempt: _Try[Task]) -> None:
        worker = self._idle.pop()
        self._busy[worker] = attempt
        worker.send(self._run, attempt.task)

    def _hear(
        self, worker: Worker, message: Message, told: ShowTold
    ) -> Iterator[Done[Task, Result]]:
        match message:
            case Ready():
                _log.debug("a worker has started: %s", message)
                self._starting.remove(worker)
                self._idle.append(worker)
                self._failed_starts = 0
            case Told(value):
                told(self._busy[worker].task, value)
            case Logged(record):
                log_again(record)
            case Ended(result, error):
                self._idle.append(worker)
                yield Done(self._busy.pop(worker).task, result, error)
            case Lost(reason):
                worker.end()
                if worker in self._busy:
                    yield from self._try_again(self._busy.pop(worker), reason)
                else:
                    self._starting.remove(worker)
                    self._note_failed_start(reason)
                self._start_worker()

    def _try_again(self, attempt: _Try[Task], reason: str) -> Iterator[Done[Task, Result]]:
        """Let the task of a lost worker wait for another one, unless it has cost enough of them."""
        if attempt.number < _MOST_TRIES:
            _log.warning("%s: its task runs again in another one", reason)
            self._waiting.appendleft(replace(attempt, number=attempt.number + 1))
            return
        error = DeviceError(
            f"{_MOST_TRIES} workers died at it; the last: {reason}: look for memory that runs out, "
            "or run the same command again"
        )
        yield Done(attempt.task, error=error)

    def _note_failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts == _MOST_TRIES:
            raise DeviceError(f"{_MOST_TRIES} workers did not start; the last: {reason}")
