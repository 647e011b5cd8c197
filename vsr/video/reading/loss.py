"""Damage of a source: everything of it that could not be read."""

from dataclasses import dataclass, field
from fractions import Fraction

import av

from vsr.video.container import reason_of


@dataclass(slots=True)
class Loss:
    """Counts what could not be read of a file."""

    errors: list[str] = field(default_factory=list[str])
    corrupt_packets: int = 0
    corrupt_frames: int = 0
    missing_packets: int = 0
    missing_seconds: Fraction = Fraction(0)

    def undecodable(self, error: av.FFmpegError) -> None:
        """Count a part that does not decode."""
        self.errors.append(reason_of(error))

    def summary(self) -> str | None:
        """Everything that was lost, in one line; None if nothing was."""
        parts: list[str] = []
        if self.errors:
            parts.append(f"undecodable parts: {len(self.errors)} ({self.errors[0]})")
        if self.corrupt_packets or self.corrupt_frames:
            count = max(self.corrupt_packets, self.corrupt_frames)
            parts.append(f"corrupt frames: {count}")
        if self.missing_packets > 0:
            parts.append(f"announced frames that are not there: {self.missing_packets}")
        if self.missing_seconds > 0:
            parts.append(f"it ends {float(self.missing_seconds):.2f} s before its declared end")
        return ", ".join(parts) or None
