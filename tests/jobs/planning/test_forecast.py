"""From a clip to a film: arithmetic that can be done by hand."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsr.jobs.planning.forecast import Line, Need, Rates, Workload, forecast
from vsr.upscaling.sizes import Size
from vsr.video.color import ColorTags
from vsr.video.writing.encoding import Encoding

RATES = Rates(
    key_seconds=0.0,
    clip_seconds=10.0,
    clip_frames=5,
    encode_seconds=0.5,
    key_bytes=9000.0,
    other_bytes=1000.0,
    host=Need(resting=1e9, clip=5e8),
    device=None,
    threads=1,
)
PNG_FILM = Workload(
    source=Size(10, 20),
    computed=Size(10, 20),
    enlarged=Size(40, 80),
    size=Size(40, 80),
    frames=100,
    shots=2,
    encoding=None,
    sample_bytes=1,
    read_seconds=0.1,
    other_bytes=300.0,
)


def encoded(codec: str) -> Encoding:
    tags = ColorTags()
    square = Fraction(1)
    return Encoding(codec, 80, 40, "yuv420p", tags, Fraction(1, 25), Fraction(25), square, {})


def test_frames_that_are_not_computed_again_take_no_time_of_the_networks() -> None:
    whole, half = (
        forecast(RATES, replace(PNG_FILM, repeated=repeated), processors=8).seconds
        for repeated in (0.0, 0.5)
    )
    assert half == pytest.approx(whole / 2)


positive = st.floats(1e-3, 1e9)


@given(st.integers(1, 10**6), st.integers(1, 10**6), positive, positive)
def test_the_line_goes_through_what_was_measured_last_and_never_falls(x, step, y0, y1) -> None:
    line = Line.through((x, y0), (x + step, y1))
    assert line.at(x + step) == pytest.approx(y1)
    assert line.fixed >= 0
    assert line.per_pixel > 0


def test_the_line_goes_through_both_points_where_it_can() -> None:
    line = Line.through((10, 5.0), (20, 7.0))
    assert (line.at(10), line.at(20), line.at(0)) == (5.0, 7.0, 3.0)


def test_one_point_twice_is_in_proportion() -> None:
    assert Line.through((10, 5.0), (10, 5.0)).at(20) == 10.0


@pytest.mark.parametrize(
    ("processors", "threads", "seconds"),
    [
        (1, 1, 200 + 60),  # one does everything
        (2, 1, 200),  # the other reads and writes
        (2, 2, 200 + 30),  # the networks keep both busy
        (1, 0, 200),  # an accelerator computes
    ],
)
def test_reading_and_encoding_go_on_beside_the_networks(
    processors: int, threads: int, seconds: float
) -> None:
    need = forecast(replace(RATES, threads=threads), PNG_FILM, processors=processors)
    assert need.seconds == pytest.approx(seconds)


def test_slow_encoding_decides_where_an_accelerator_is_fast() -> None:
    rates = replace(RATES, threads=0, clip_seconds=0.1)
    assert forecast(rates, PNG_FILM, processors=1).seconds == pytest.approx(60)


def test_pictures_stand_by_themselves() -> None:
    need = forecast(RATES, PNG_FILM, processors=1)
    assert need.output_bytes == 100 * 9000 + 300
    assert need.disk_bytes == 2 * need.output_bytes


def test_a_film_is_key_frames_others_and_pictures_that_wait() -> None:
    need = forecast(RATES, replace(PNG_FILM, encoding=encoded("x264")), processors=1)
    assert need.output_bytes == 3 * 9000 + 97 * 1000 + 300
    assert need.disk_bytes == 2 * need.output_bytes + 100 * 3 * 40 * 80


def test_memory_is_the_clip_those_that_wait_and_the_encoder() -> None:
    pictures = forecast(RATES, PNG_FILM, processors=1)
    waiting = 2 * 5 * 3 * 200 + 5 * 3 * 3200
    assert pictures.host_bytes == 1e9 + 1.08 * 5e8 + waiting
    assert pictures.least_host_bytes == 1e9 + 1.08 * 1e8 + waiting / 5
    film = forecast(RATES, replace(PNG_FILM, encoding=encoded("x264")), processors=1)
    assert film.host_bytes == pictures.host_bytes + 290 * 3200
    assert pictures.device_bytes is None
    short = forecast(RATES, replace(PNG_FILM, encoding=encoded("x264"), frames=10), processors=1)
    assert short.host_bytes == pictures.host_bytes + 290 * 3200 / 5


def test_an_accelerator_has_a_memory_of_its_own() -> None:
    need = forecast(replace(RATES, device=Need(1e6, 5e6)), PNG_FILM, processors=1)
    assert (need.device_bytes, need.least_device_bytes) == (6e6, 2e6)
