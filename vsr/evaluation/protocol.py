"""The definitions that a reader needs to compare figures; they stand in every result."""

from vsr.evaluation.evalcrafter import DEFINITION
from vsr.evaluation.fidelity import BORDER
from vsr.evaluation.networks import Networks
from vsr.evaluation.vsreval import VsrevalResults

NAME = "vsr-evaluate-2"
"""A change of a definition gets another name."""

DEFINITIONS = {
    "pixels": "RGB in 8 bits, as decoded; nothing is resized or cropped but for the border",
    "luma": "BT.601 studio, not rounded",
    "border": BORDER,
    "flow": "OpenCV DIS, preset medium, on luma of the ground truth (without one: of the output)",
    "ewarp": "vsr-ewarp-1: x 1e-3, mean over valid pixels of (out[t] - warp(out[t-1]))^2, RGB in "
    "[0, 1]; valid: inside, and |f + b|^2 < 0.01 (|f|^2 + |b|^2) + 0.5",
    "ewarp_evalcrafter": DEFINITION,
}


def protocol(networks: Networks, every: int, results: VsrevalResults | None) -> dict[str, object]:
    """Return the definitions, the flow of the second warping error, and what vsreval ran with."""
    found: dict[str, object] = {"name": NAME, "every": every, **DEFINITIONS}
    if networks.flow is not None:
        found["ewarp_evalcrafter_flow"] = networks.flow.name
    if networks.features is not None:
        found["fid"] = "Inception of pyiqa, resized as by Clean-FID; one distance for all clips"
    if results is not None:
        found["vsreval"] = {"protocol": results.protocol, "versions": dict(results.versions)}
    return found
