"""The length of clips whose frames fit into memory, and the sizes of SeedVR; no torch."""

_CLIP_FRAMES = range(4, 17)
# A clip's large frames, latents and their copies take about 2.4 kB for each pixel of the source.
_CLIP_PIXELS = 1_800_000

RECURRENT_LOOK_AHEAD = 4
"""Frames after a clip that a recurrent network looks at, so that its last frames are as others."""

SEEDVR_LOOK_AHEAD = 11
"""Frames after a clip that SeedVR encodes with it: two latents of four, and the rest of its last.
"""
SEEDVR_MULTIPLE = 16
"""The sides of the frames that SeedVR computes are multiples of it."""
SEEDVR_CLIP_FRAMES = 28
"""Frames of a clip of SeedVR: with those after it its segment has 9 latents."""


def fitting_clip_length(height: int, width: int) -> int:
    """Return the number of frames of this size that are in memory at once: what a few GB hold."""
    fitting = _CLIP_PIXELS // (height * width)
    return min(max(fitting, _CLIP_FRAMES[0]), _CLIP_FRAMES[-1])
