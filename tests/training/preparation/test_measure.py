import cv2
import numpy as np
import pytest

from tests.training.data.test_samples import texture
from vsr.training.preparation import measure


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Texture of a few pixels, 240x320."""
    noise = np.random.default_rng(0).random((240, 320, 3), dtype=np.float32)
    return np.clip((cv2.GaussianBlur(noise, (0, 0), 1.5) - 0.5) * 800 + 128, 0, 255).astype("uint8")


@pytest.mark.parametrize("shift", [2, 4])
def test_motion_is_the_shift_in_per_mille_of_the_longer_side(shift: int) -> None:
    wide = texture(256, 300, 1)
    pair = (wide[:, :256].copy(), wide[:, shift : 256 + shift].copy())
    assert measure.motion([pair]) == pytest.approx(1000 * shift / 256, rel=0.15)


def test_motion_does_not_depend_on_the_size_of_the_frames() -> None:
    wide = texture(256, 300, 1)
    small = (wide[:, :256].copy(), wide[:, 3:259].copy())
    large = tuple(cv2.resize(f, (768, 768), interpolation=cv2.INTER_CUBIC) for f in small)
    assert measure.motion([large]) == pytest.approx(measure.motion([small]), rel=0.1)  # pyright: ignore


def test_a_still_pair_has_no_motion(picture: np.ndarray) -> None:
    assert measure.motion([(picture, picture)]) < 0.1


def test_blur_lowers_sharpness_and_a_soft_background_does_not(picture: np.ndarray) -> None:
    soft = cv2.GaussianBlur(picture, (0, 0), 3)
    half = soft.copy()
    half[:, :160] = picture[:, :160]
    assert measure.sharpness(soft) < 0.2 * measure.sharpness(picture)
    assert measure.sharpness(half) > 0.8 * measure.sharpness(picture)


@pytest.mark.parametrize("bars", [(30, 30, 0, 0), (0, 0, 40, 42), (20, 22, 12, 12), (0, 0, 0, 0)])
def test_black_bars_are_found_on_each_side(
    picture: np.ndarray, bars: tuple[int, int, int, int]
) -> None:
    top, bottom, left, right = bars
    framed = picture // 2 + 60
    framed[:top] = framed[240 - bottom :] = framed[:, :left] = framed[:, 320 - right :] = 16
    noisy = np.clip(framed + np.random.default_rng(0).normal(0, 1, framed.shape), 0, 255)
    found = measure.black_bars([noisy.astype(np.uint8)])
    assert found == tuple(bar + 2 if bar else 0 for bar in bars)  # with the soft edge


def test_a_dark_sky_and_a_black_frame_are_no_bars(picture: np.ndarray) -> None:
    night = picture.copy()
    night[:80] = 10
    assert measure.black_bars([night]) == (0, 0, 0, 0)
    assert measure.black_bars([np.zeros_like(picture)]) == (0, 0, 0, 0)


def test_bars_are_what_is_black_in_all_frames(picture: np.ndarray) -> None:
    framed = picture // 2 + 60
    framed[:20] = framed[-20:] = 16
    dark = np.full_like(framed, 16)
    assert measure.black_bars([framed, dark]) == (22, 22, 0, 0)


def test_subtitles_are_found_and_texture_is_not(picture: np.ndarray) -> None:
    soft = texture(240, 427, 2) // 2 + 30
    background = cv2.resize(soft, (1280, 720), interpolation=cv2.INTER_CUBIC)
    titled = background.copy()
    for colour, thickness in (((0, 0, 0), 7), ((255, 255, 255), 2)):
        cv2.putText(
            titled, "What do you think of this?", (300, 650), cv2.FONT_HERSHEY_SIMPLEX, 1.2,
            colour, thickness, cv2.LINE_AA,
        )  # fmt: skip
    assert measure.text_share([titled]) > 0.004
    assert measure.text_share([background]) == 0
    assert measure.text_share([picture]) == 0
    assert measure.text_share([titled, background]) == 0  # it does not stay


def distance(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_the_hash_survives_what_leaves_the_picture_the_same() -> None:
    picture = texture(240, 320, 3)
    small = cv2.resize(picture, (160, 120), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 50])
    brighter = np.clip(picture * 0.8 + 30, 0, 255).astype(np.uint8)
    own = measure.perceptual_hash(picture)
    assert len(own) == 16
    for copy in (cv2.imdecode(data, cv2.IMREAD_COLOR), brighter):
        assert distance(own, measure.perceptual_hash(np.asarray(copy, np.uint8))) <= 4
    assert distance(own, measure.perceptual_hash(texture(240, 320, 4))) > 12
