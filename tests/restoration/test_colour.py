"""Colour from references: chroma follows the motion, luma stays, wherever work begins."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.restoration.scenes import HEIGHT, WIDTH, pan
from tools.colour_figures import ciede2000, difference
from vsr.errors import InputError
from vsr.restoration.chroma import chroma_of, coloured, has_colours
from vsr.restoration.colour_shot import ShotColour, wanting
from vsr.restoration.images import as_image, as_pixels, luma_of
from vsr.restoration.plan import RepairPlan
from vsr.restoration.references import ColourReferences
from vsr.restoration.repair_pictures import RepairPictures
from vsr.restoration.stage import Restorer
from vsr.video.images import encode_png
from vsr.video.reading.reader import Frame

WHITE = np.zeros(1, np.uint8)
PLAN = RepairPlan(colour=1.0)


def painted(clip: np.ndarray, hues: np.ndarray) -> np.ndarray:
    """The clip with hues that follow its tones and, more softly, another clip; with its luma."""
    luma = np.stack([luma_of(np.ascontiguousarray(image)) for image in clip])
    soft = np.stack([cv2.GaussianBlur(image[..., 0], (0, 0), 3) for image in hues]) - 0.5
    hue = np.stack([0.15 * np.sin(9 * luma) + 0.6 * soft, 0.15 * np.cos(7 * luma) - 0.6 * soft], -1)
    pairs = zip(luma, hue.astype(np.float32), strict=True)
    return np.stack([coloured(*pair) for pair in pairs])


def scene(frames: int, seed: int) -> np.ndarray:
    moving = [pan(frames, speed=2.0, seed=s).astype(np.float32) for s in (seed, seed + 50)]
    return painted(*moving)


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return scene(12, 3)


def grey(clip: np.ndarray, shown: Fraction = Fraction(1, 25)) -> list[Frame]:
    planes = (np.rint(luma_of(np.ascontiguousarray(image)) * 255) for image in clip)
    return [
        Frame(np.repeat(p.astype(np.uint8)[..., None], 3, 2), i, shown)
        for i, p in enumerate(planes)
    ]


def references(folder: Path, clip: np.ndarray, names: dict[str, int]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, number in names.items():
        (folder / f"{name}.png").write_bytes(encode_png(as_pixels(clip[number], WHITE)))
    return folder


def run(folder: Path, frames: list[Frame], **options) -> list[np.ndarray]:
    pictures = RepairPictures(ColourReferences(folder))
    marked = ((frame, number == 0) for number, frame in enumerate(frames))
    return [f.pixels for f, _ in Restorer(PLAN, pictures=pictures, **options).frames(marked)]


def mean_difference(found: list[np.ndarray], clip: np.ndarray) -> float:
    return float(np.mean([difference(as_image(a), b) for a, b in zip(found, clip, strict=True)]))


def test_the_difference_of_colours_is_the_published_one() -> None:
    """Pairs of table 1 of Sharma, Wu and Dalal 2005."""
    first = [[50, 2.6772, -79.7751], [50, -1, 2], [50, 2.5, 0], [22.7233, 20.0904, -46.6940]]
    second = [[50, 0, -82.7485], [50, 0, 0], [73, 25, -18], [23.0331, 14.9730, -42.5619]]
    found = ciede2000(np.array(first), np.array(second))
    np.testing.assert_allclose(found, [2.0425, 2.3669, 27.1492, 2.0373], atol=1e-4)


def test_luma_is_kept_and_colours_stay_in_range(clip: np.ndarray) -> None:
    luma = np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10)
    chroma = np.random.default_rng(0).uniform(-0.7, 0.7, (6, 10, 2)).astype(np.float32)
    image = coloured(luma, chroma)
    assert image.min() >= -1e-6
    assert image.max() <= 1 + 1e-6
    np.testing.assert_allclose(luma_of(image), luma, atol=1e-6)
    np.testing.assert_allclose(coloured(luma_of(clip[0]), chroma_of(clip[0])), clip[0], atol=1e-6)


@pytest.mark.parametrize("names", [{"0": 0}, {"000011": 11}, {"0": 0, "11": 11}])
def test_colours_follow_the_motion(tmp_path: Path, clip: np.ndarray, names: dict) -> None:
    frames = grey(clip)
    found = run(references(tmp_path, clip, names), frames)
    pasted = [
        as_pixels(coloured(luma_of(i), chroma_of(clip[min(names.values())])), WHITE) for i in clip
    ]
    mean = mean_difference(found, clip)
    assert mean < 5
    assert mean < 0.4 * mean_difference(pasted, clip)
    for made, frame in zip(found, frames, strict=True):
        apart = luma_of(as_image(made)) - luma_of(as_image(frame.pixels))
        assert np.abs(apart).max() < 0.75 / 255


def test_the_frame_of_a_reference_has_its_colours(tmp_path: Path, clip: np.ndarray) -> None:
    found = run(references(tmp_path, clip, {"5": 5}), grey(clip))
    assert difference(as_image(found[5]), clip[5]) < 0.5


def test_a_reference_is_found_by_its_time_and_may_be_larger(
    tmp_path: Path, clip: np.ndarray
) -> None:
    frames = grey(clip, Fraction(1, 10))
    large = np.stack([cv2.resize(i, (2 * WIDTH, 2 * HEIGHT)) for i in clip])
    by_time = run(references(tmp_path / "a", large, {"00-00-00.450": 4}), frames)
    by_number = run(references(tmp_path / "b", clip, {"4": 4}), frames)
    pairs = zip(by_time, by_number, strict=True)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in pairs) < 3


@pytest.mark.parametrize("needed", [3, 7])
def test_colours_are_the_same_wherever_work_goes_on(
    tmp_path: Path, clip: np.ndarray, needed: int
) -> None:
    folder = references(tmp_path, clip, {"1": 1, "6": 6})
    whole = run(folder, grey(clip))
    resumed = run(folder, grey(clip), first_needed=lambda shot, first: first + needed)
    assert all(np.array_equal(a, b) for a, b in zip(whole[needed:], resumed[needed:], strict=True))


def test_a_reference_that_is_off_by_some_pixels_is_moved_onto_its_frame(
    tmp_path: Path, clip: np.ndarray
) -> None:
    """As one that was made before the weave was taken out."""
    shift = np.float32([[1, 0, 3], [0, 1, -2]])
    moved = np.stack([cv2.warpAffine(i, shift, (WIDTH, HEIGHT), borderMode=1) for i in clip])
    found = run(references(tmp_path, moved, {"5": 5}), grey(clip))
    assert difference(as_image(found[5])[8:-8, 8:-8], clip[5][8:-8, 8:-8]) < 1


def test_a_shot_without_a_reference_stays_grey(tmp_path: Path, clip: np.ndarray) -> None:
    pictures = RepairPictures(ColourReferences(references(tmp_path, clip, {"1": 1})))
    frames = grey(clip)
    marked = ((frame, number in (0, 4)) for number, frame in enumerate(frames))
    found = [f.pixels for f, _ in Restorer(PLAN, pictures=pictures).frames(marked)]
    assert not np.array_equal(found[3], frames[3].pixels)
    assert all(np.array_equal(found[i], frames[i].pixels) for i in range(4, len(frames)))


def test_what_nothing_shows_gets_the_colours_of_like_tones(
    tmp_path: Path, clip: np.ndarray
) -> None:
    """The last frame is another place, of the same tones and hues."""
    other = scene(1, 9)
    both = np.concatenate([clip[:3], other])
    shot = ShotColour(ColourReferences(references(tmp_path, both, {"100": 0})), 100)
    found = [f.pixels for frame in grey(both) for f in shot.push(frame)]
    found += [f.pixels for f in shot.flush()]
    plain = as_image(grey(both)[-1].pixels)
    assert difference(as_image(found[-1]), other[0]) < 0.85 * difference(plain, other[0])
    assert shot._lost[3] > 0.5


def test_the_log_names_the_frames_that_want_a_reference() -> None:
    assert wanting({0: 0.1, 1: 0.4, 2: 0.6, 3: 0.2, 7: 1.0}, 100) == [
        "frames 101 to 102 want a colour reference, best of frame 102: 50% of the picture has the "
        "colours of like tones nearby",
        "frame 107 wants a colour reference: none is near in the shot, and they stay grey",
    ]


def test_toned_films_have_no_colours_and_coloured_ones_do(clip: np.ndarray) -> None:
    luma = luma_of(clip[0])
    sepia = coloured(luma, np.stack([0.3 * luma * (1 - luma), -0.3 * luma * (1 - luma)], 2))
    assert not has_colours(np.repeat(luma[..., None], 3, 2))
    assert not has_colours(sepia)
    assert has_colours(as_image(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)))


@pytest.mark.parametrize(
    ("shape", "is_grey", "said"),
    [((HEIGHT, WIDTH - 20), True, "another shape than the film's"), (None, False, "of its own")],
)
def test_a_reference_that_does_not_fit_is_refused(
    tmp_path: Path, shape: tuple[int, int] | None, is_grey: bool, said: str
) -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 1, (2, 12, 18, 3)).astype(np.float32)
    films = np.stack([cv2.resize(i, (WIDTH, HEIGHT)) for i in noise])
    given = films if shape is None else films[:, : shape[0], : shape[1]]
    folder = references(tmp_path, given, {"1": 1})
    frames = grey(films) if is_grey else [
        Frame(as_pixels(i, WHITE), n, Fraction(1, 25)) for n, i in enumerate(films)
    ]  # fmt: skip
    with pytest.raises(InputError, match=said):
        run(folder, frames)
