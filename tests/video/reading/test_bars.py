"""Black bars are found where they are, and nowhere else."""

import numpy as np
import pytest

from vsr.video.reading.bars import NO_BARS, Bars, find_bars, is_in_bars, is_lit

HEIGHT, WIDTH = 72, 96


def picture(seed: int = 0, *, level: int = 120) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(-30, 31, (HEIGHT, WIDTH, 3))
    return (level + noise).clip(0, 255).astype(np.uint8)


def barred(pixels: np.ndarray, bars: Bars) -> np.ndarray:
    whole = np.full_like(pixels, bars.color)
    inner = bars.inner(*pixels.shape[:2])
    whole[inner] = pixels[inner]
    return whole


@pytest.mark.parametrize(
    "bars",
    [
        Bars(top=12, bottom=12),
        Bars(left=9, right=7, color=(1, 0, 2)),
        Bars(top=3, bottom=5, left=2, right=20, color=(16, 16, 16)),
        Bars(bottom=10),
    ],
)
def test_bars_of_any_side_are_found_with_their_colour(bars: Bars) -> None:
    frames = [barred(picture(seed), bars) for seed in range(3)]
    assert find_bars(frames) == bars


def test_deep_bars_keep_their_exact_colour() -> None:
    bars = Bars(top=8, bottom=8, color=(300, 310, 290))
    frame = barred(picture().astype(np.uint16) * 257, bars)
    assert find_bars([frame]) == bars


def test_a_picture_without_bars_has_none() -> None:
    assert find_bars([picture()]) is NO_BARS


def test_a_black_scene_has_no_bars() -> None:
    assert not find_bars([np.zeros((HEIGHT, WIDTH, 3), np.uint8)])


def test_a_night_sky_is_no_bar_since_its_edge_is_not_straight() -> None:
    frame = picture(level=150)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frame[rows < 10 + 25 * np.abs(np.sin(columns / 15))] = 0
    assert not find_bars([frame])


def test_rows_that_are_dark_in_some_frames_only_are_no_bar() -> None:
    frames = [barred(picture(1), Bars(top=12)), picture(2)]
    assert not find_bars(frames)


def test_a_single_dark_row_is_no_bar() -> None:
    assert not find_bars([barred(picture(), Bars(top=1))])


def test_colour_that_spills_into_the_edge_rows_does_not_move_the_bar() -> None:
    bars = Bars(top=12, bottom=12)
    frame = barred(picture(), bars)
    frame[11, :, 2] = 60  # blue of luma 7: chroma at half the resolution is spread like this
    assert find_bars([frame]) == bars


def test_subtitles_in_a_bar_are_noticed_and_noise_is_not() -> None:
    bars = Bars(top=12, bottom=12)
    frame = barred(picture(), bars)
    assert not is_in_bars(frame, bars)
    frame[3, 5] = 40
    assert not is_in_bars(frame, bars)
    frame[62:66, 30:60] = 200
    assert is_in_bars(frame, bars)


def test_a_dark_frame_does_not_tell_bars() -> None:
    assert is_lit(picture())
    assert not is_lit(picture(level=0) // 4)


def test_the_dark_end_of_a_gradient_is_no_bar() -> None:
    ramp = np.arange(0, 240, 3, dtype=np.uint8)
    frame = np.repeat(np.tile(ramp, (60, 1))[..., None], 3, axis=-1)
    assert not find_bars([frame, frame])
    assert not find_bars([frame[:, ::-1].copy()])
    assert not find_bars([frame.transpose(1, 0, 2).copy()])
