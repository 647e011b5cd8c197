"""The repairs of a film and their strengths."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

PATH_PAST = 72
"""Frames before a frame from which the paths of motion and brightness come to it."""
_NEAREST, _FARTHEST = 24, 72
"""Frames that wait for what comes after them: one to three seconds, as memory has room."""
_HELD_BYTES = 128 << 20
"""Memory for the frames that wait."""
TRACK_REACH = 4
"""Frames to either side over which scratches are tracked."""
COMPARED = 4
"""Frames to either side that may show what is under a scratch."""
NEIGHBOURS = 2
"""Frames to either side that are aligned with a frame."""
STATISTICS = 12
"""Frames after the first of a shot in which its grain and tones are measured."""

_REPAIRS = 8
"""Fields of a plan that are strengths."""


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """The strength of each repair, 0 (off) to 1 (whole); the order is that of the work."""

    holes: float = 0.0
    scratches: float = 0.0
    flicker: float = 0.0
    weave: float = 0.0
    dust: float = 0.0
    grain: float = 0.0
    fading: float = 0.0
    colour: float = 0.0
    own_grain: float = 0.0
    """Share of its own grain that a frame keeps where grain is taken out."""
    given_grain: float = 0.0
    """Strength of the synthetic grain that the enlarged frame gets in its place."""

    @classmethod
    def of(
        cls, strengths: Mapping[str, float], *, grain: float = 1.0, is_enlarged: bool = False
    ) -> "RepairPlan":
        """Return the plan with these repairs; the others are off.

        `grain` is the share of the grain that the output has. An enlarged frame gets synthetic
        grain of its size; a frame that keeps its size has its own, and taking out all of it to give
        it back is left out.
        """
        if is_enlarged:
            return cls(**strengths, given_grain=grain)
        left_out = {"grain": 0.0} if grain == 1 else {}
        return cls(**{**strengths, **left_out}, own_grain=grain)

    def __bool__(self) -> bool:
        return any(strength for _, strength in self)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return ((field.name, getattr(self, field.name)) for field in fields(self)[:_REPAIRS])

    def __str__(self) -> str:
        chosen = [
            name if strength == 1 else f"{name}={strength:g}" for name, strength in self if strength
        ]
        return ", ".join(chosen) or "no repair"

    @property
    def is_of_frames(self) -> bool:
        """True if a repair looks for wear in every frame."""
        return any(strength for name, strength in self if name not in ("holes", "colour"))

    def reach(self, frame_bytes: int) -> int:
        """Return the number of later frames on which the repair of a frame of this size depends."""
        paths = frames_ahead(frame_bytes) if self.flicker or self.weave else 0
        tracks = COMPARED + TRACK_REACH if self.scratches else 0
        statistics = STATISTICS if self.grain or self.fading else 0
        neighbours = NEIGHBOURS * (bool(self.dust) + bool(self.grain))
        return tracks + max(paths + neighbours, statistics)

    def values(self) -> dict[str, float]:
        """Return the strengths by name, for an identity."""
        return asdict(self)


def frames_ahead(frame_bytes: int) -> int:
    """Return how many frames of so many bytes after one are looked at, by paths and by colours."""
    return max(_NEAREST, min(_FARTHEST, _HELD_BYTES // max(1, frame_bytes)))
