"""Line charts as SVG inside a page: no picture, no script, the colours of the page."""

from collections.abc import Sequence
from html import escape

import numpy as np

_WIDTH, _HEIGHT = 600, 120
_FLAT = 0.5  # of the unit: a narrower range would draw noise as waves
_MOST_POINTS = 600


def line_chart(series: Sequence[tuple[str, Sequence[float]]], *, ends: tuple[str, str]) -> str:
    """Return a figure with a line for each series, its range at the left and `ends` below.

    Series are of one length; colours are those of `.line-0`, `.line-1`, ... of the page.
    """
    values = [np.asarray(line, float) for _, line in series]
    low, high = _range(values)
    lines = "".join(
        f'<polyline class="line-{number}" points="{_points(line, low, high)}"/>'
        for number, line in enumerate(values)
    )
    legend = "".join(
        f'<span class="line-{number}">{escape(name)}</span>'
        for number, (name, _) in enumerate(series)
    )
    said = "; ".join(
        f"{name}: {line.min():.1f} to {line.max():.1f}"
        for (name, _), line in zip(series, values, strict=True)
    )
    return (
        f'<figure class="chart"><div class="plot"><span class="high">{high:.1f}</span>'
        f'<span class="low">{low:.1f}</span>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(said)}">{lines}</svg></div>'
        f'<div class="ends"><span>{escape(ends[0])}</span><span>{escape(ends[1])}</span></div>'
        f'<figcaption class="legend">{legend}</figcaption></figure>'
    )


def _range(values: Sequence[np.ndarray]) -> tuple[float, float]:
    low = min(float(line.min()) for line in values)
    high = max(float(line.max()) for line in values)
    if high - low < _FLAT:
        middle = (low + high) / 2
        low, high = middle - _FLAT / 2, middle + _FLAT / 2
        if low < 0 <= min(float(line.min()) for line in values):
            low, high = 0.0, _FLAT
    return low, high


def _points(line: np.ndarray, low: float, high: float) -> str:
    step = max(1, line.size // _MOST_POINTS)
    x = np.linspace(0, _WIDTH, line.size)[::step]
    y = _HEIGHT - 2 - (line[::step] - low) / (high - low) * (_HEIGHT - 4)
    if line.size == 1:
        x, y = np.array([0, _WIDTH]), np.repeat(y, 2)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
