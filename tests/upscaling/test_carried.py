"""What a clip hands on comes back from bytes as it was."""

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from vsr.propagation.propagator import PropagationState
from vsr.upscaling.carried import from_bytes, to_bytes
from vsr.upscaling.fallback import AS_ASKED, Reduced

CPU = torch.device("cpu")


def state(dtype: torch.dtype, *, steps: int) -> PropagationState:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 6, 5, generator=generator).to(dtype)
    frame = torch.randn(1, 3, 6, 5, generator=generator).to(dtype)
    earlier = torch.randn(steps, 1, 4, 6, 5, generator=generator).to(dtype) if steps else None
    return PropagationState(latents, frame, 17, earlier)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_state_comes_back_to_the_bit(dtype: torch.dtype, steps: int) -> None:
    given = state(dtype, steps=steps)
    found, reduced = from_bytes(to_bytes(given, AS_ASKED), CPU)
    assert reduced == AS_ASKED
    for field in fields(PropagationState):
        a, b = getattr(given, field.name), getattr(found, field.name)
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)


def test_without_propagation_it_is_nothing_but_how_the_clip_was_made() -> None:
    reduced = Reduced(clip_frames=4, tile=64, offload=True, dtype="bfloat16")
    assert from_bytes(to_bytes(None, reduced), CPU) == (None, reduced)
