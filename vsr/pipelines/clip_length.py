"""The length of clips whose frames fit into memory, and the sizes of SeedVR; no torch."""

from dataclasses import dataclass

_CLIP_FRAMES = range(4, 17)
_CLIP_BYTES = 5e9
"""Memory that a clip of the default length takes beside the loaded model, in half precision."""


@dataclass(frozen=True, slots=True)
class ClipMemory:
    """Memory of a run beside the loaded model, in half precision: bytes for pixels of the source.

    `clip`: for each pixel of each frame of a clip. `frame`: for each pixel of one frame, whatever
    the length of the clip, as frames are enlarged one after the other.
    """

    clip: float
    frame: float = 0.0

    def bytes(self, height: int, width: int, frames: int) -> float:
        """Return the memory of a clip."""
        return height * width * (self.frame + self.clip * frames)


MOST_MODELS = ClipMemory(clip=2.78e3)
PACKED_LATENTS = ClipMemory(clip=450, frame=1800)
"""Of the embedded model, counted from its maps of large frames. Per pixel of each frame of a clip:
96 bytes of starting latents, 128 of the skipped map, 64 and 128 of a map before and after it is
enlarged, and flow and small frames. Per pixel of one frame: its 16 pixels take 192 bytes in
float32, and propagation, detail and colours hold about nine such maps."""

RECURRENT_LOOK_AHEAD = 4
"""Frames after a clip that a recurrent network looks at, so that its last frames are as others."""

SEEDVR_LOOK_AHEAD = 11
"""Frames after a clip that SeedVR encodes with it: two latents of four, and the rest of its last.
"""
SEEDVR_MULTIPLE = 16
"""The sides of the frames that SeedVR computes are multiples of it."""
SEEDVR_CLIP_FRAMES = 28
"""Frames of a clip of SeedVR: with those after it its segment has 9 latents."""


def fitting_clip_length(height: int, width: int, memory: ClipMemory = MOST_MODELS) -> int:
    """Return the number of frames of this size that are in memory at once: what a few GB hold."""
    spare = _CLIP_BYTES - memory.bytes(height, width, 0)
    fitting = int(spare // (memory.clip * height * width))
    return min(max(fitting, _CLIP_FRAMES[0]), _CLIP_FRAMES[-1])
