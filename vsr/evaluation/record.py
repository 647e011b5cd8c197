"""The clips that are measured so far, kept in a file so that an interrupted evaluation goes on."""

import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vsr.evaluation.meters import Figures


@dataclass(frozen=True, slots=True)
class ClipScore:
    """The figures of a clip, those of each of its frames, and what is wrong with it."""

    name: str
    figures: Figures
    frames: tuple[Figures, ...]
    findings: tuple[str, ...]
    missing: dict[str, str]


@dataclass(slots=True)
class Record:
    """Scores by key, one line of JSON each; without a path nothing is kept.

    A key holds everything that the score depends on. A line that a crash cut off is ignored.
    """

    path: Path | None
    _scores: dict[str, ClipScore] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.path is None or not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                content: Any = json.loads(line)
                self._scores[content["key"]] = _score(content["score"])
            except (ValueError, TypeError, KeyError):
                continue

    def find(self, key: str) -> ClipScore | None:
        """Return the score of an earlier run, if there is one."""
        return self._scores.get(key)

    def add(self, key: str, score: ClipScore) -> None:
        """Keep a score; several threads may add at the same time."""
        if self.path is None:
            return
        line = json.dumps({"key": key, "score": asdict(score)}, ensure_ascii=False)
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def remove(self) -> None:
        """Remove the file: the evaluation is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _score(content: Any) -> ClipScore:
    return ClipScore(
        content["name"],
        content["figures"],
        tuple(content["frames"]),
        tuple(content["findings"]),
        content["missing"],
    )
