"""The attention windows of SeedVR: their area is that of a ninth of 720p, whatever the size."""

from math import ceil, sqrt

from vsr.ops.windows import Size3, WindowGroup, window_groups

_TOKENS = 45 * 80
"""Tokens of a 720p frame, in which the windows are counted."""
_FRAMES = 30
_COUNTS = (4, 3, 3)
"""Windows along t, h and w of 30 latent frames of 720p."""


def window_size(tokens: Size3) -> Size3:
    """Returns the size of full windows for a clip of (t, h, w) tokens.

    The picture is rescaled to 45x80 tokens first, with its aspect (SeedVR, Wang et al. 2025).
    """
    t, h, w = tokens
    scale = sqrt(_TOKENS / (h * w))
    return (
        ceil(min(t, _FRAMES) / _COUNTS[0]),
        ceil(round(h * scale) / _COUNTS[1]),
        ceil(round(w * scale) / _COUNTS[2]),
    )


def token_windows(tokens: Size3, *, shifted: bool) -> tuple[WindowGroup, ...]:
    """Returns the windows of a clip of (t, h, w) tokens, as groups of equal size."""
    return window_groups(tokens, window=window_size(tokens), shifted=shifted)
