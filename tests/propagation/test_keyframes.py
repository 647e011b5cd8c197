"""Detail of keys reaches all frames of a shot, within a budget, and is the same when resumed."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from tests.propagation.scenes import SCALE, error, moving, small, soft
from vsr.errors import ConfigError
from vsr.models.flow_estimators import key_flow
from vsr.propagation.key_files import state_from_bytes, state_to_bytes
from vsr.propagation.key_places import Box, holes
from vsr.propagation.keyframes import Coming, KeyframeConfig, Keyframes, KeyframeState

DIS = key_flow()
FULL = KeyframeConfig(strength=1.0)


class Run:
    """A shot that is made frame by frame, with every picture that was asked for."""

    def __init__(self, large: Tensor, config: KeyframeConfig = FULL) -> None:
        self.large, self.small, self.base = large, small(large), soft(large)
        self.keyframes = Keyframes(config, DIS, SCALE)
        self.asked: list[tuple[int, Box | None]] = []
        self.state: KeyframeState | None = None
        self.out: list[Tensor] = []

    def next(self, **options) -> Tensor:
        number = len(self.out)

        def draw(box: Box | None) -> Tensor:
            self.asked.append((number, box))
            whole = self.large[number : number + 1]
            if box is None:
                return whole
            return whole[
                ..., SCALE * box.top : SCALE * box.bottom, SCALE * box.left : SCALE * box.right
            ]

        options.setdefault("draw", draw)
        here = slice(number, number + 1)
        out, self.state = self.keyframes.next(
            self.state, self.small[here], self.base[here], **options
        )
        self.out.append(out)
        return out

    def all(self) -> "Run":
        for _ in range(len(self.large)):
            self.next()
        return self


def test_one_key_gives_its_detail_to_all_frames() -> None:
    run = Run(moving(10, (0, 3))).all()
    assert run.asked[0] == (0, None)
    assert all(box is not None for _, box in run.asked[1:])
    for out, sharp, base in zip(run.out, run.large, run.base, strict=True):
        assert error(out, sharp[None], margin=48) < 0.6 * error(base[None], sharp[None], margin=48)


def test_without_strength_the_frames_stay_as_they_are() -> None:
    run = Run(moving(3, (0, 3)), replace(FULL, strength=0.0)).all()
    assert torch.equal(torch.cat(run.out), run.base)


def test_half_the_strength_changes_half_as_much() -> None:
    large = moving(3, (0, 3))
    half, full = (Run(large, replace(FULL, strength=s)).all() for s in (0.5, 1.0))
    torch.testing.assert_close(
        half.out[2] - half.base[2:], (full.out[2] - full.base[2:]) / 2, atol=0.02, rtol=0.05
    )


def test_keys_at_fixed_distances() -> None:
    run = Run(moving(9, (0, 3)), replace(FULL, every=4)).all()
    assert run.asked == [(0, None), (4, None), (8, None)]


def test_keys_are_at_most_so_far_apart() -> None:
    run = Run(
        moving(1, (0, 0)).expand(16, -1, -1, -1), replace(FULL, longest=12, budget=1 / 6)
    ).all()
    assert run.asked == [(0, None), (12, None)]


def still(frames: int, intra: set[int], config: KeyframeConfig) -> list[int]:
    """The frames of a still shot that are drawn whole, some of which are I-frames."""
    run = Run(moving(1, (0, 0)).expand(frames, -1, -1, -1), config)
    for number in range(frames):
        run.next(is_intra=number in intra)
    assert all(box is None for _, box in run.asked)
    return [number for number, _ in run.asked]


def test_an_i_frame_is_drawn_from_half_of_the_longest_distance_on() -> None:
    config = replace(FULL, longest=8, budget=1 / 4)
    assert still(16, {3, 5, 7, 12, 15}, config) == [0, 5, 12]
    assert still(16, set(), config) == [0, 8]


def test_an_i_frame_beyond_the_budget_waits_for_its_turn() -> None:
    assert still(10, {4}, replace(FULL, longest=8, budget=1 / 8)) == [0, 8]


def test_i_frames_change_nothing_about_keys_at_fixed_distances() -> None:
    assert still(9, {3, 6}, replace(FULL, every=4, longest=4)) == [0, 4, 8]


def test_what_no_key_shows_is_drawn_around_it() -> None:
    large = moving(3, (0, 0))
    large[1:, :, 60:132, 80:160] = moving(1, (0, 0), seed=3)[0, :, 60:132, 80:160]
    run = Run(large, replace(FULL, budget=1.0)).all()
    (number, box), *_ = run.asked[1:]
    assert number == 1 and box is not None
    assert box.top <= 15 and box.bottom >= 33 and box.left <= 20 and box.right >= 40
    assert box.share((48, 64)) < 0.8
    new = (..., slice(70, 122), slice(92, 148))
    # detail rises at once where the motion is not sure
    assert error(run.out[1][new], large[1:2][new], 1) < 0.7 * error(
        run.base[1:2][new], large[1:2][new], 1
    )


def test_a_shot_draws_no_more_than_its_budget() -> None:
    cuts = torch.cat([moving(1, (0, 0), seed=seed) for seed in range(8)])
    run = Run(cuts, replace(FULL, budget=0.25)).all()
    assert run.state is not None
    assert run.state.budget.spent <= 1 + 0.25 * len(cuts)
    assert len(run.asked) > 1


def test_no_detail_pops_up_where_a_key_takes_over() -> None:
    large = moving(1, (0, 0)).expand(12, -1, -1, -1).clone()
    run = Run(large, replace(FULL, every=6, fade=4))
    for number in range(12):
        other = moving(1, (0, 0), seed=0) + 0.1 * (-1) ** number * soft(moving(1, (0, 0), seed=9))
        run.next(draw=lambda box, other=other: other)
    steps = [error(a, b) for a, b in pairwise(run.out)]
    assert max(steps) < 3 * (sum(steps) / len(steps)) + 0.5


def test_a_stored_state_goes_on_to_the_same_frames() -> None:
    large = moving(6, (0, 3))
    large[2:, :, 60:132, 80:160] = moving(1, (0, 0), seed=3)[0, :, 60:132, 80:160]
    config = replace(FULL, budget=1.0)
    whole, parts = Run(large, config).all(), Run(large, config)
    for _ in range(6):
        parts.next()
        assert parts.state is not None
        stored = state_to_bytes(parts.state)
        parts.state = state_from_bytes(stored, torch.device("cpu"), scale=SCALE, sigma=config.sigma)
    assert torch.equal(torch.cat(parts.out), torch.cat(whole.out))


def test_a_picture_of_a_later_frame_is_carried_back() -> None:
    large = moving(8, (0, 3))
    run = Run(large)
    nothing = {"draw": lambda box: None}
    ahead = [frame[None] for frame in run.small[1:]]
    run.next(coming=[Coming(7, large[7:])], ahead=ahead, **nothing)
    for _ in range(7):
        run.next(**nothing)
    for out, sharp, base in zip(run.out, run.large, run.base, strict=True):
        assert error(out, sharp[None], margin=48) < 0.6 * error(base[None], sharp[None], margin=48)


def test_without_any_picture_the_frames_stay_as_they_are() -> None:
    run = Run(moving(2, (0, 3)))
    for _ in range(2):
        run.next(draw=lambda box: None)
    assert torch.equal(torch.cat(run.out), run.base)


def test_holes_are_found_and_narrow_strips_wait() -> None:
    cover = torch.ones(1, 1, 60, 80)
    assert holes(cover) == ()
    cover[..., :, -2:] = 0
    assert holes(cover) == ()
    cover[..., 20:40, 20:40] = 0
    (box,) = holes(cover) or ()
    assert (box.top, box.left, box.bottom, box.right) == (10, 10, 50, 50)
    assert holes(torch.zeros(1, 1, 60, 80)) is None


@pytest.mark.parametrize("values", [{"strength": 1.5}, {"every": 0}, {"budget": 0.0}])
def test_values_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        KeyframeConfig(**values)
