"""Keys know where they are seen, and a part is searched and shown around there alone."""

from dataclasses import replace

import torch

from tests.propagation.scenes import SCALE, moving, small
from vsr.propagation.key_mixing import mix_keys
from vsr.propagation.key_places import Box, bounds
from vsr.propagation.keys import Key, Part, make_key

BOX = Box(8, 16, 40, 48)


def part_key() -> Key:
    large = moving(1, (0, 0))
    picture = large[..., SCALE * 8 : SCALE * 40, SCALE * 16 : SCALE * 48]
    return make_key(0, small(large), [Part(picture, BOX)], scale=SCALE, sigma=2.3)


def test_bounds_are_the_smallest_box() -> None:
    seen = torch.zeros(10, 12, dtype=torch.bool)
    assert bounds(seen) is None
    seen[2, 3] = seen[5, 9] = True
    assert bounds(seen) == Box(2, 3, 6, 10)


def test_the_window_of_a_part_holds_it_where_it_was_and_where_it_is() -> None:
    key = part_key()
    moved = torch.zeros_like(key.flow.there)
    moved[:, 0] = -12  # the part is 12 pixels further right than it was
    window = replace(key, flow=replace(key.flow, there=moved)).window
    assert window is not None
    assert window.left <= BOX.left and window.right >= BOX.right + 8
    assert window.share((48, 64)) < 1


def test_a_part_changes_nothing_outside_its_box() -> None:
    key = part_key()
    base = torch.zeros(1, 3, SCALE * 48, SCALE * 64)
    out, c = mix_keys(
        base, [key], 0, limit=torch.ones_like(key.mask), strength=1.0, sigma=2.3, gain=1.0
    )
    outside = torch.ones_like(base)
    box = BOX.grown(1, (48, 64))
    outside[..., SCALE * box.top : SCALE * box.bottom, SCALE * box.left : SCALE * box.right] = 0
    assert (out * outside).abs().max() == 0
    assert c[..., 24, 32] > 0.999


def test_a_part_that_cannot_be_trusted_is_not_seen() -> None:
    key = part_key()
    assert key.is_seen
    lost = replace(key, flow=replace(key.flow, confidence=torch.zeros_like(key.mask)))
    assert not lost.is_seen
