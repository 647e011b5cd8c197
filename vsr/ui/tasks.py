"""The queue of the page: one task at a time, each in a process of its own."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsr.errors import ConfigError, InputError, VsrError
from vsr.runtime.child_processes import end_in_words
from vsr.runtime.files import remove_folder
from vsr.ui.films import Film, FilmStore, Task
from vsr.ui.settings import PREVIEW_SECONDS

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 2.0
"""Time of a process to end itself before it is ended."""
_INFO_SECONDS = 60.0
_MOST_NOTES = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """The running task: the share that is done (None: not known), and its words."""

    film_id: str
    task: Task
    share: float | None = None
    words: str = "loading"


class TaskQueue:
    """Does what is asked for the films of a store, previews and plans first."""

    def __init__(self, store: FilmStore) -> None:
        self.store = store
        self.progress: Progress | None = None
        self._process: subprocess.Popen[str] | None = None
        self._cancelled: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._count = max((film.asked for film in store.films()), default=0)
        self._thread = threading.Thread(target=self._work, name="tasks", daemon=True)
        self._thread.start()

    def ask(self, film_id: str, task: Task, options: dict[str, Any]) -> None:
        """Queue a task of a film that has none in the queue."""
        film = self.store.get(film_id)
        if film is None or film.state in ("waiting", "running"):
            return
        with self._changed:
            self._count += 1
            changes = {"task": task, "options": options, "asked": self._count, "notes": ()}
            if task == "film":
                if film.made_with is not None and film.made_with != options:
                    self._forget_output(film)
                elif film.output:
                    self.store.update(film_id, task=task, state="done", line="it is made already")
                    return
                changes["made_with"] = options
            self.store.update(film_id, state="waiting", line="", **changes)
            self._changed.notify_all()

    def cancel(self, film_id: str) -> None:
        """Take a task out of the queue, or end it; the finished work of a film is kept."""
        with self._changed:
            film = self.store.get(film_id)
            if film is None:
                return
            if film.state == "waiting":
                self.store.update(film_id, state="stopped", line="taken out of the queue")
            process = None
            if self._runs(film_id):
                self._cancelled.add(film_id)
                process = self._process
        if process is not None:
            _end(process)

    def remove(self, film_id: str) -> None:
        """End the film's task, and remove the upload and all results."""
        self.cancel(film_id)
        with self._changed:
            gone = self._changed.wait_for(lambda: not self._runs(film_id), timeout=10)
        if gone:
            self.store.remove(film_id)

    def close(self) -> None:
        """End the running task, which goes on when a page uses the folder again."""
        with self._changed:
            self._closed = True
            process = self._process
            self._changed.notify_all()
        if process is not None:
            _end(process)
        self._thread.join(timeout=10)

    def _runs(self, film_id: str) -> bool:
        return self.progress is not None and self.progress.film_id == film_id

    def _forget_output(self, film: Film) -> None:
        """Remove the output of other settings, and the work on it."""
        folder = self.store.output_folder(film.id)
        remove_folder(folder)
        folder.mkdir()
        self.store.update(film.id, output="", report="", preview="")

    def _next(self) -> Film | None:
        waiting = [film for film in self.store.films() if film.state == "waiting"]
        return min(waiting, key=lambda film: (film.task == "film", film.asked), default=None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next() is not None)
                film = self._next()
                if self._closed or film is None or film.task is None:
                    return
                self.progress = Progress(film.id, film.task)
                self.store.update(film.id, state="running")
            changes = self._result_or_fault(film, film.task)
            with self._changed:
                self._process, self.progress = None, None
                self._cancelled.discard(film.id)
                if not self._closed or changes["state"] == "done":
                    self.store.update(film.id, **changes)
                self._changed.notify_all()

    def _result_or_fault(self, film: Film, task: Task) -> dict[str, Any]:
        """Do a task as `_done` does; a fault of ours ends this task, and not the queue."""
        try:
            return self._done(film, task)
        except Exception:
            _log.exception("the %s of %s ended by a fault of vsr", task, film.name)
            return {
                "state": "failed",
                "line": "it ended by a fault of vsr; its trace is in the log",
            }

    def _done(self, film: Film, task: Task) -> dict[str, Any]:
        """Do a task, and return what it changes of its film."""
        request = {
            "task": task,
            "source": str(self.store.source(film.id, film.name)),
            "output": str(self.store.output_folder(film.id)),
            "options": film.options,
            "seconds": PREVIEW_SECONDS,
        }
        try:
            with _started(request, self.store.log(film.id)) as process:
                with self._changed:
                    self._process = process
                    late = film.id in self._cancelled or self._closed
                if late:
                    _end(process)
                result = self._result(film, process)
        except VsrError as error:
            if film.id in self._cancelled:
                return {"state": "stopped", "line": "stopped; finished work is kept"}
            return {"state": "failed", "line": _without_folder(str(error), self.store.folder)}
        for name in ("line", "plan"):
            if name in result:
                result[name] = _without_folder(result[name], self.store.folder)
        return {"state": "done", **result}

    def _result(self, film: Film, process: subprocess.Popen[str]) -> dict[str, Any]:
        for message in _messages(process):
            if "words" in message:
                self.progress = Progress(film.id, film.task or "film", **message)
            elif "note" in message:
                current = self.store.get(film.id) or film
                note = _without_folder(message["note"], self.store.folder)
                notes = (*current.notes, note)[-_MOST_NOTES:]
                self.store.update(film.id, notes=notes)
            elif "result" in message:
                return message["result"]
        raise _end_of(process)


def ask_now(request: dict[str, Any]) -> Any:
    """Do a short task at once, and return its result. Raises the VsrError that it ends with."""
    with _started(request, Path(os.devnull)) as process:
        timer = threading.Timer(_INFO_SECONDS, process.kill)
        timer.start()
        try:
            for message in _messages(process):
                if "result" in message:
                    return message["result"]
            raise _end_of(process)
        finally:
            timer.cancel()


@contextmanager
def _started(request: dict[str, Any], log: Path) -> Generator[subprocess.Popen[str]]:
    """Start a worker on a request, and see to its end."""
    with log.open("w", encoding="utf-8") as traces:
        process = subprocess.Popen(
            [sys.executable, "-m", "vsr.ui.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=traces,
            text=True,
            encoding="utf-8",
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
            start_new_session=True,
        )
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(f"{json.dumps(request)}\n")
                process.stdin.flush()
            yield process
        finally:
            _end(process)
            _close(process)


def _messages(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield what a worker says. Raises InputError for the error that it ends with."""
    assert process.stdout is not None
    for line in process.stdout:
        message = json.loads(line)
        if "error" in message:
            raise InputError(message["error"])
        yield message


def _end_of(process: subprocess.Popen[str]) -> VsrError:
    """Return the error of a worker that ended without a word."""
    code = process.wait()
    if code < 0:
        name = end_in_words(code)
        hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return InputError(f"the process of this task was ended by {name}{hint}; try it again")
    if code == 0:
        return ConfigError("the process of this task gave no result; try it again")
    return InputError("the task ended by a fault of vsr; its trace is in worker.log of the film")


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _close(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _without_folder(text: str, folder: Path) -> str:
    """Return a line without the folder of the page, which says nothing to its reader."""
    inside = rf"{re.escape(str(folder))}[/\\][0-9a-f]{{16}}[/\\](?:source|output)[/\\]"
    return re.sub(inside, "", text)
