"""The work folder of a film as its workers have it: the driver's own, or one that is sent there."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vsr.errors import ConfigError, OutputError
from vsr.jobs.resume.identity import Identity, differences
from vsr.jobs.resume.journal import EndFact, Fact, Journal, PartFact, store_bytes
from vsr.jobs.resume.shot_store import WHOLE_SHOT, ShotWork, Stretch
from vsr.jobs.resume.work_folder import WorkFolder
from vsr.runtime.launcher import ALONE
from vsr.video.writing.encoding import Encoding


@dataclass(frozen=True, slots=True)
class SentFact:
    """A fact about a shot, in the journal of its stretch from `begin` on, with a part's content."""

    shot: int
    begin: int
    fact: PartFact | EndFact
    content: bytes = b""


class WorkerFolder(WorkFolder):
    """The work folder of a run that another process, maybe on another machine, leads and locks.

    It is used without being entered. Raises ConfigError where this machine would make other bytes.
    """

    stretch: tuple[int, Stretch] | None = None
    """The shot of which only a stretch is made, and that stretch; None: whole shots."""

    def __init__(self, output: Path, identity: Identity, leaders: Identity) -> None:
        super().__init__(output, identity, ranks=ALONE)
        if changes := differences(leaders, identity):
            raise ConfigError(
                f"the worker on {socket.gethostname()} would make other bytes: "
                f"{', '.join(changes)}; bring all machines of the cluster to the same files and "
                "versions"
            )

    def open_shot(
        self, first: int, encoding: Encoding | None, stretch: Stretch = WHOLE_SHOT
    ) -> ShotWork | None:
        """Return a stretch of a shot, maybe the one that this worker is to make."""
        if self.stretch is not None:
            first, stretch = self.stretch
        return super().open_shot(first, encoding, stretch)


class GuestFolder(WorkerFolder):
    """The driver's folder, on a disk that this worker sees."""

    def __init__(self, output: Path, identity: Identity, leaders: Identity, token: str) -> None:
        super().__init__(output, identity, leaders)
        self._token = token

    @property
    def is_seen(self) -> bool:
        """Return whether the folder here is the one of the run that has made this worker."""
        return self._is_admitted()

    def check_in_place(self) -> None:
        """Raise OutputError if the run that has made this worker does not go on."""
        if not self._is_admitted():
            raise OutputError(f"{self.path} belongs to another run now: this worker stops")


class SendingFolder(WorkerFolder):
    """A temporary folder, whose finished parts are sent to the driver."""

    def __init__(self, output: Path, identity: Identity, leaders: Identity) -> None:
        super().__init__(output, identity, leaders)
        self.path.mkdir()
        self.send: Callable[[SentFact], None] = _nowhere
        """Takes the facts of the task that is under way."""

    def check_in_place(self) -> None:
        """Do nothing: the driver checks its own folder, and ends its workers when it ends."""

    def journal(self, first: int, begin: int) -> Journal:
        """Return a journal that is sent."""
        return _SentJournal(self, first, begin)


class _SentJournal(Journal):
    """Sends the facts about finished parts, with the parts, and keeps nothing."""

    def __init__(self, folder: SendingFolder, shot: int, begin: int) -> None:
        self._folder, self._shot, self._begin = folder, shot, begin

    def append(self, *facts: Fact) -> None:
        """Send the facts that the driver needs."""
        for fact in facts:
            if isinstance(fact, PartFact):
                part = self._folder.shot_folder(self._shot) / fact.part.name
                self._folder.send(SentFact(self._shot, self._begin, fact, part.read_bytes()))
                part.unlink()
            elif isinstance(fact, EndFact):
                self._folder.send(SentFact(self._shot, self._begin, fact))


def store_sent(work: WorkFolder, sent: SentFact) -> None:
    """Store what a worker has sent. Raises OutputError for a part that came in other bytes."""
    work.check_in_place()
    if isinstance(sent.fact, PartFact):
        path = work.shot_folder(sent.shot) / sent.fact.part.name
        if store_bytes(path, sent.content) != sent.fact.part:
            raise OutputError(f"{path} came damaged from its worker: run the same command again")
    work.journal(sent.shot, sent.begin).append(sent.fact)


def _nowhere(sent: SentFact) -> None:
    raise AssertionError(f"no task is under way, but there is {sent.fact}")
