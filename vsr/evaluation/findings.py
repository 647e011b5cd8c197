"""Sentences about what is wrong with an output, drawn from its figures."""

from dataclasses import dataclass

from vsr.evaluation.meters import Figures

_JUMP = "a jump in time: tdiff rises {:.1f} times, as where two clips do not join"


@dataclass(frozen=True, slots=True)
class Limit:
    """The range of a figure that is normal, and what it means to be outside; `{}` is the value."""

    figure: str
    meaning: str
    above: float = float("inf")
    below: float = -float("inf")


LIMITS = (
    Limit("detail", "blur: {:.0%} of the fine detail of the truth", below=0.6),
    Limit("detail", "sharpening or noise: {:.0%} of the fine detail of the truth", above=1.5),
    Limit("flicker", "flicker: brightness changes by {:.2f} levels a frame", above=1.0),
    Limit("clip_border", _JUMP, above=4),
    Limit("tile_border", "tile borders: a straight step {:.1f} times those beside it", above=2.0),
    Limit("grid", "hatching on a grid of 4 pixels: imbalance {:.2f}", above=0.1),
    Limit("checker", "checkerboard: {:.1f} times the power of near frequencies", above=4.0),
    Limit("color", "colour cast: {:.1f} CIEDE2000 on average", above=3.0),
    Limit("ghost", "ghosts: {:.0%} of the frame before shows through", above=0.1),
)

_SHIFT = 0.1  # pixels


def findings(figures: Figures, *, first_misplaced: int | None = None) -> tuple[str, ...]:
    """Return a sentence for each figure outside its normal range."""
    found = [
        limit.meaning.format(figures[limit.figure])
        for limit in LIMITS
        if limit.figure in figures and not limit.below <= figures[limit.figure] <= limit.above
    ]
    x, y = figures.get("shift_x", 0.0), figures.get("shift_y", 0.0)
    if max(abs(x), abs(y)) > _SHIFT:
        found.append(f"shift: {x:+.2f} pixels to the right, {y:+.2f} down")
    if first_misplaced is not None:
        found.append(
            f"dropped or repeated frames: {figures['misplaced_frames']:.0f} frames show another "
            f"moment of the truth, from frame {first_misplaced} on"
        )
    return tuple(found)
