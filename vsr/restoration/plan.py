"""The repairs of a film and their strengths."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

PATH_REACH = 24
"""Frames to either side over which paths of motion and brightness are smoothed: about a second."""
TRACK_REACH = 4
"""Frames to either side over which scratches are tracked."""
NEIGHBOURS = 2
"""Frames to either side that are aligned with a frame."""


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """The strength of each repair, 0 (off) to 1 (whole); the order is that of the work."""

    scratches: float = 0.0
    flicker: float = 0.0
    weave: float = 0.0
    dust: float = 0.0

    @classmethod
    def of(cls, strengths: Mapping[str, float]) -> "RepairPlan":
        """Return the plan with these repairs; the others are off."""
        return cls(**strengths)

    def __bool__(self) -> bool:
        return any(strength for _, strength in self)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return ((field.name, getattr(self, field.name)) for field in fields(self))

    def __str__(self) -> str:
        chosen = [
            name if strength == 1 else f"{name}={strength:g}" for name, strength in self if strength
        ]
        return ", ".join(chosen) or "no repair"

    @property
    def reach(self) -> int:
        """Number of later frames on which the repair of a frame depends."""
        paths = PATH_REACH if self.flicker or self.weave else 0
        tracks = TRACK_REACH if self.scratches else 0
        return max(paths, tracks) + (NEIGHBOURS if self.dust else 0)

    def values(self) -> dict[str, float]:
        """Return the strengths by name, for an identity."""
        return asdict(self)
