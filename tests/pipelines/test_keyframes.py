"""Pictures of a folder or of a network become keys, and nothing else of them is shown."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.propagation.scenes import SCALE, moving, small, soft
from vsr.errors import InputError
from vsr.pipelines.keyframes import KeyframeTexture
from vsr.propagation.keyframes import KeyframeConfig
from vsr.video.key_pictures import FilmFrame, KeyPictures

CONFIG = KeyframeConfig(strength=1.0)


def pixels(frames: torch.Tensor) -> np.ndarray:
    return ((frames.permute(0, 2, 3, 1) + 1) * 127.5).round().clamp(0, 255).byte().numpy()


@pytest.fixture(scope="module")
def large() -> torch.Tensor:
    return moving(6, (0, 3))


def film(large: torch.Tensor) -> list[FilmFrame]:
    return [FilmFrame(i, i / 25, frame) for i, frame in enumerate(pixels(small(large)))]


def picture(path: Path, image: np.ndarray) -> None:
    cv2.imwrite(str(path), np.ascontiguousarray(image[..., ::-1]))


def gain(out: np.ndarray, large: torch.Tensor, number: int) -> float:
    """The error of a frame by that of the base."""
    inside = (slice(48, -48), slice(48, -48))
    sharp, base = (
        pixels(x[number : number + 1])[0].astype(float)[inside] for x in (large, soft(large))
    )
    return (
        float(np.square(out[number][inside] - sharp).mean() / np.square(base - sharp).mean()) ** 0.5
    )


@pytest.mark.parametrize("name", ["000003.png", "3.png", "00-00-00.120.png"])
def test_a_picture_is_carried_to_all_frames(name: str, large: torch.Tensor, tmp_path: Path) -> None:
    picture(tmp_path / name, pixels(large)[3])
    texture = KeyframeTexture(CONFIG, SCALE, pictures=KeyPictures(tmp_path))
    out, _ = texture(film(large), pixels(soft(large)), state=None)
    assert all(gain(out, large, number) < 0.65 for number in range(6))
    assert texture.drawn == 0


def test_clips_with_frames_ahead_give_what_a_whole_shot_gives(
    large: torch.Tensor, tmp_path: Path
) -> None:
    picture(tmp_path / "4.png", pixels(large)[4])
    frames, base = film(large), pixels(soft(large))
    whole, _ = KeyframeTexture(CONFIG, SCALE, pictures=KeyPictures(tmp_path))(
        frames, base, state=None
    )
    texture = KeyframeTexture(CONFIG, SCALE, pictures=KeyPictures(tmp_path))
    first, state = texture(frames[:2], base[:2], state=None, ahead=frames[2:])
    state = texture.from_bytes(texture.to_bytes(state))
    rest, _ = texture(frames[2:], base[2:], state=state)
    assert np.array_equal(np.concatenate([first, rest]), whole)


def test_a_picture_of_another_size_is_resized_and_one_of_another_shape_refused(
    large: torch.Tensor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = pixels(large)[0]
    picture(tmp_path / "0.png", cv2.resize(image, None, fx=2, fy=2))
    texture = KeyframeTexture(CONFIG, SCALE, pictures=KeyPictures(tmp_path))
    with caplog.at_level("INFO"):
        texture(film(large)[:1], pixels(soft(large))[:1], state=None)
    assert "is resized from" in caplog.text
    picture(tmp_path / "0.png", image[:100])
    with pytest.raises(InputError, match="another shape"):
        texture(film(large)[:1], pixels(soft(large))[:1], state=None)


def test_pictures_without_a_frame_are_named(large: torch.Tensor, tmp_path: Path) -> None:
    for name in ("0.png", "99.png"):
        picture(tmp_path / name, pixels(large)[0])
    pictures = KeyPictures(tmp_path)
    KeyframeTexture(CONFIG, SCALE, pictures=pictures)(
        film(large)[:1], pixels(soft(large))[:1], state=None
    )
    assert [path.name for path in pictures.unused()] == ["99.png"]


def test_a_network_draws_the_first_frame_once(large: torch.Tensor) -> None:
    seen: list[tuple[int, ...]] = []

    def draws(frames: np.ndarray) -> np.ndarray:
        seen.append(frames.shape)
        return pixels(large[:1])

    texture = KeyframeTexture(CONFIG, SCALE, draws=draws)
    out, state = texture(film(large)[:3], pixels(soft(large))[:3], state=None)
    assert seen == [(1, 48, 64, 3)]
    assert texture.drawn == 1 and texture.frames == 3
    assert gain(out, large, 2) < 0.65
    assert state is not None and state.frames == 3


def test_sixteen_bits_stay_sixteen_bits(large: torch.Tensor) -> None:
    texture = KeyframeTexture(CONFIG, SCALE, draws=lambda frames: pixels(large[:1]))
    frame = FilmFrame(0, 0.0, pixels(small(large))[0].astype(np.uint16) * 257)
    out, _ = texture([frame], pixels(soft(large))[:1].astype(np.uint16) * 257, state=None)
    assert out.dtype == np.uint16
    assert gain((out / 257)[[0]], large, 0) < 0.65


def test_a_grey_film_stays_grey(large: torch.Tensor) -> None:
    grey = large.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    texture = KeyframeTexture(CONFIG, SCALE, draws=lambda frames: pixels(grey[:1]))
    out, _ = texture(film(grey)[:2], pixels(soft(grey))[:2], state=None)
    assert int(np.ptp(out.astype(int), axis=-1).max()) <= 1


def test_an_i_frame_of_the_film_becomes_a_key(large: torch.Tensor) -> None:
    texture = KeyframeTexture(
        replace(CONFIG, longest=6, budget=1 / 3), SCALE, draws=lambda frames: pixels(large[:1])
    )
    still = [replace(film(large)[0], number=i, is_intra=i == 4) for i in range(5)]
    texture(still, np.repeat(pixels(soft(large[:1])), 5, axis=0), state=None)
    assert texture.drawn == 2


def test_a_network_of_another_scale_is_resized(large: torch.Tensor) -> None:
    half = cv2.resize(pixels(large)[0], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    texture = KeyframeTexture(CONFIG, SCALE, draws=lambda frames: half[None])
    out, _ = texture(film(large)[:1], pixels(soft(large))[:1], state=None)
    assert out.shape == (1, 4 * 48, 4 * 64, 3)


def test_a_shot_of_one_frame_is_drawn_whole(large: torch.Tensor) -> None:
    asked: list[tuple[int, ...]] = []

    def draws(frames: np.ndarray) -> np.ndarray:
        asked.append(frames.shape)
        return np.repeat(np.repeat(frames, SCALE, axis=1), SCALE, axis=2)

    texture = KeyframeTexture(CONFIG, SCALE, draws=draws)
    for frame, base in zip(film(large), pixels(soft(large)), strict=True):
        out, _ = texture([frame], base[None], state=None)  # every frame is a cut
        assert out.shape == base[None].shape and not np.array_equal(out, base[None])
    assert asked == [(1, *frame.pixels.shape) for frame in film(large)]
    assert texture.drawn == texture.frames == len(large)
