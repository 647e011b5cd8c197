"""Segments cover every frame with weights that sum to one, in the published order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsr.errors import ConfigError
from vsr.ops.segments import Segment, WeightedSegment, blend_plan, fitted_length, plan_segments

KINDS = ("crossfade", "running")


def _spans(frame_count: int) -> list[tuple[int, int]]:
    return [(s.start, s.stop) for s in plan_segments(frame_count, length=8, stride=6)]


def _sums(plan: tuple[WeightedSegment, ...], frame_count: int) -> list[float]:
    sums = [0.0] * frame_count
    for segment in plan:
        for frame, weight in zip(range(segment.start, segment.stop), segment.weights, strict=True):
            sums[frame] += weight
    return sums


@pytest.mark.parametrize(
    ("frame_count", "spans"),
    [
        (5, [(0, 5)]),
        (8, [(0, 8)]),
        (9, [(0, 8), (1, 9)]),
        (13, [(0, 8), (5, 13), (5, 13)]),
        (14, [(0, 8), (6, 14), (6, 14)]),
        (15, [(0, 8), (6, 14), (7, 15)]),
        (24, [(0, 8), (6, 14), (12, 20), (16, 24)]),
    ],
)
def test_segments_are_visited_as_published(frame_count, spans):
    assert _spans(frame_count) == spans


def test_the_published_last_segment_comes_twice():
    assert _spans(20)[-2:] == [(12, 20), (12, 20)]
    assert _spans(32)[-2:] == [(24, 32), (24, 32)]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_sum_to_one_at_every_frame_for_1_to_300_frames(kind):
    for frame_count in range(1, 301):
        plan = blend_plan(frame_count, length=8, stride=6, kind=kind)
        assert max(abs(total - 1) for total in _sums(plan, frame_count)) < 1e-12
        assert len({(s.start, s.stop) for s in plan}) == len(plan)
        assert all(s.stop - s.start == min(8, frame_count) for s in plan)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 80), st.integers(1, 16), st.data())
def test_weights_sum_to_one_for_any_length_and_stride(kind, frame_count, length, data):
    stride = data.draw(st.integers(1, length))
    plan = blend_plan(frame_count, length=length, stride=stride, kind=kind)
    assert max(abs(total - 1) for total in _sums(plan, frame_count)) < 1e-12


def test_running_weights_are_the_published_average_in_visiting_order():
    frame_count = 14
    stored: dict[int, float] = {}
    predictions = {Segment(0, 8): 3.0, Segment(6, 14): 11.0}
    for segment in plan_segments(frame_count, length=8, stride=6):
        for frame in range(segment.start, segment.stop):
            new = predictions[segment] + frame
            stored[frame] = (stored[frame] + new) / 2 if frame in stored else new
    blended = [0.0] * frame_count
    for s in blend_plan(frame_count, length=8, stride=6, kind="running"):
        for frame, weight in zip(range(s.start, s.stop), s.weights, strict=True):
            blended[frame] += weight * (predictions[Segment(s.start, s.stop)] + frame)
    assert blended == pytest.approx([stored[frame] for frame in range(frame_count)])


def test_a_repeated_visit_weighs_three_quarters():
    first, last = blend_plan(14, length=8, stride=6, kind="running")
    assert first.weights == (1, 1, 1, 1, 1, 1, 0.25, 0.25)
    assert last.weights == (0.75, 0.75, 1, 1, 1, 1, 1, 1)


def test_crossfade_ramps_linearly_over_the_overlap():
    first, last = blend_plan(14, length=8, stride=6)
    assert first.weights == pytest.approx((1, 1, 1, 1, 1, 1, 2 / 3, 1 / 3))
    assert last.weights == pytest.approx((1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.data())
def test_crossfade_weights_are_positive_and_rise_and_fall_once(frame_count, length, data):
    stride = data.draw(st.integers((length + 1) // 2, length))
    for segment in blend_plan(frame_count, length=length, stride=stride):
        assert min(segment.weights) > 0
        steps = [b - a for a, b in zip(segment.weights, segment.weights[1:], strict=False)]
        turns = [step for step in steps if abs(step) > 1e-12]
        assert turns == sorted(turns, key=lambda step: step < 0)


@pytest.mark.parametrize(
    ("frame_count", "length", "stride", "message"),
    [(0, 8, 6, "at least one frame"), (9, 8, 9, "stride <= length"), (9, 8, 0, "1 <= stride")],
)
def test_plans_that_cannot_cover_are_refused(frame_count, length, stride, message):
    with pytest.raises(ConfigError, match=message):
        plan_segments(frame_count, length=length, stride=stride)


def test_an_empty_segment_cannot_be_made():
    with pytest.raises(ValueError, match="start < stop"):
        Segment(3, 3)


@pytest.mark.parametrize(("length", "overlap"), [(8, 2), (17, 2), (5, 0), (1, 0), (6, 5)])
def test_fitted_segments_are_as_many_as_plain_ones_and_cover_no_more(length, overlap):
    for frames in range(1, 120):
        fitted = fitted_length(frames, length=length, overlap=overlap)
        shared = min(overlap, fitted - 1)
        plain = blend_plan(frames, length=length, stride=length - overlap)
        plan = blend_plan(frames, length=fitted, stride=fitted - shared)
        assert fitted <= length
        assert sum(len(s.weights) for s in plan) <= sum(len(s.weights) for s in plain)


def test_twenty_frames_by_seventeen_are_two_segments_of_eleven():
    length = fitted_length(20, length=17, overlap=2)
    plan = blend_plan(20, length=length, stride=length - 2)
    assert [(s.start, s.stop) for s in plan] == [(0, 11), (9, 20)]
