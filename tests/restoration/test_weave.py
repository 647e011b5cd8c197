"""Weave: the film's movement in the gate goes, and the camera's stays."""

import numpy as np
import pytest

from tests.restoration.scenes import HEIGHT, WIDTH, pan, picture, repaired, still
from vsr.degradation.film import weave
from vsr.restoration.images import luma_of
from vsr.restoration.motion import Motion, motion_between, tracking_image
from vsr.restoration.weave import moved_back, weave_at


def residual(clip: np.ndarray, truth: np.ndarray) -> float:
    """Deviation in pixels of where each frame is against the truth."""
    pairs = [[tracking_image(luma_of(x)) for x in pair] for pair in zip(truth, clip, strict=True)]
    motions = [motion_between(*pair, WIDTH) for pair in pairs]
    return float(np.std([(motion.x, motion.y) for motion in motions], axis=0).mean())


def with_walker(clip: np.ndarray) -> np.ndarray:
    walker = picture(9)[:50, :30]
    for number, frame in enumerate(clip):
        frame[30:80, 5 + 2 * number : 35 + 2 * number] = walker
    return clip


@pytest.mark.parametrize("scene", [still, pan])
def test_weave_goes_where_a_person_walks(scene) -> None:
    clip = with_walker(scene(40))
    x, y = np.random.default_rng(1).uniform(-1.5, 1.5, (2, 40))
    worn = weave(clip, x=x, y=y, degrees=np.zeros(40))
    assert residual(repaired(worn, weave=1), clip) < 0.25 * residual(worn, clip)


@pytest.mark.parametrize("scene", [still, pan])
def test_a_steady_film_is_not_resampled(scene) -> None:
    clip = with_walker(scene(20))
    assert np.abs(repaired(clip, weave=1) - clip).max() <= 1 / 65535 + 1e-6


def test_the_motion_of_the_picture_is_measured_to_a_tenth_of_a_pixel() -> None:
    clip = still(2)
    moved = weave(clip, x=np.array([0, 1.3]), y=np.array([0, -0.6]), degrees=np.array([0, 0.2]))
    found = motion_between(*(tracking_image(luma_of(frame)) for frame in moved), WIDTH)
    assert found.is_known
    assert (found.x, found.y) == pytest.approx((1.3, -0.6), abs=0.1)
    assert np.degrees(found.angle) == pytest.approx(-0.2, abs=0.06)


def test_moving_back_undoes_a_weave() -> None:
    clip = still(1)
    moved = weave(clip, x=np.array([1.0]), y=np.array([-2.0]), degrees=np.array([0.0]))
    back = moved_back(moved[0], np.array([1.0, -2.0, 0.0]))
    inside = np.abs(back - clip[0])[4 : HEIGHT - 4, 4 : WIDTH - 4]
    assert inside.max() < 1e-3


def test_motion_that_was_not_seen_moves_nothing() -> None:
    assert not weave_at([Motion()] * 20, 10, 640).any()


def swaying(count: int) -> list[Motion]:
    """A camera held from a helicopter: a pan whose speed and direction change smoothly."""
    time = np.arange(count) / 9
    steps = np.stack([1.2 + 0.5 * np.sin(time), 0.9 * np.cos(0.7 * time)], 1)
    return [Motion(float(x), float(y), 0.0, is_known=True) for x, y in steps]


@pytest.mark.parametrize("count", [19, 38, 90])
def test_a_camera_that_sways_is_not_taken_for_weave(count: int) -> None:
    motions = swaying(count) + [
        Motion(-m.x, -m.y, 0.0, is_known=True) for m in swaying(count)[::-1]
    ]
    shifts = [weave_at(motions, centre, 640) for centre in range(0, len(motions), 3)]
    assert np.abs(shifts).max() < 0.1


def walking(count: int) -> list[Motion]:
    """A camera in the hands of somebody who walks: steps of 2 Hz, and a tremor of 5 Hz."""
    time = np.arange(count) / 25
    rng = np.random.default_rng(3)
    sway = np.stack([3 * np.sin(2 * np.pi * time + phase) for phase in (0, 1)], 1)
    tremor = np.stack([0.25 * np.sin(10 * np.pi * time + phase) for phase in (2, 4)], 1)
    path = sway + tremor + 0.02 * rng.standard_normal((count, 2))
    return [Motion(float(x), float(y), 0.0, is_known=True) for x, y in np.diff(path, axis=0)]


def test_a_camera_in_the_hands_of_a_walker_is_not_taken_for_weave() -> None:
    motions = walking(100)
    shifts = [weave_at(motions, centre, 640) for centre in range(0, 100, 3)]
    assert np.abs(shifts).max() < 0.05


def test_a_hand_that_is_quiet_for_a_while_is_not_taken_for_weave() -> None:
    """A bounded second between two pans, as by somebody who looks around."""
    rng = np.random.default_rng(5)
    still = np.cumsum(rng.standard_normal((60, 2)), 0)
    still = np.stack([np.convolve(c - c.mean(), np.ones(5) / 5, "same") for c in still.T], 1) * 0.2
    pans = np.outer(np.arange(40) ** 1.5 / 10, [1, 0.2])
    path = np.concatenate([pans[::-1], still, pans])
    motions = [Motion(float(x), float(y), 0.0, is_known=True) for x, y in np.diff(path, axis=0)]
    shifts = [weave_at(motions, centre, 640) for centre in range(0, len(path), 3)]
    assert np.abs(shifts).max() < 0.05
