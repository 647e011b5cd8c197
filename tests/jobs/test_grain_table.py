"""Films in AV1 whose player adds the grain: clean pictures, told grain, and its table."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.video.writing.test_film_grain import parsed
from vsr.config import NO_MODEL, UpscaleConfig
from vsr.errors import ConfigError, OutputError
from vsr.jobs.cluster.driver import upscale_on
from vsr.jobs.job import Job
from vsr.jobs.upscale import upscale
from vsr.runtime.executor import WorkerOptions, open_executor

CONFIG = UpscaleConfig(model=NO_MODEL, restore="grain", codec="av1", crf=10, grain_table=True)
HEIGHT, WIDTH, FRAMES = 192, 256, 14
LEVELS = 8.0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shots of soft grey pictures, the first with grain."""
    path = tmp_path_factory.mktemp("grain") / "film.mkv"
    rng = np.random.default_rng(0)
    columns = np.linspace(60, 160, WIDTH, dtype=np.float32)[None].repeat(HEIGHT, 0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=WIDTH, height=HEIGHT, pix_fmt="gray")
        stream.time_base = Fraction(1, 25)
        for number in range(FRAMES):
            picture = columns if number < FRAMES // 2 else 255 - columns.T.repeat(2, 1)[:HEIGHT]
            picture = cv2.resize(picture, (WIDTH, HEIGHT))
            if number < FRAMES // 2:
                picture = picture + rng.normal(0, LEVELS, picture.shape)
            pixels = np.rint(picture).clip(0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="gray")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def lumas(path: Path, *, adds_grain: bool) -> np.ndarray:
    """The luma of a film as a player shows it, with the grain that it is told to add or without."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if not adds_grain:
            stream.codec_context.options = {"export_side_data": "film_grain"}
        frames = [frame.to_ndarray()[:HEIGHT] for frame in container.decode(stream)]
    return np.stack(frames).astype(float)


@pytest.fixture(scope="module")
def output(film: Path) -> Path:
    path = film.with_name("out.mkv")
    upscale(film, path, CONFIG)
    return path


def test_the_pictures_are_clean_and_the_player_adds_the_grain(output: Path, film: Path) -> None:
    clean, shown = (lumas(output, adds_grain=adds) for adds in (False, True))
    source = lumas(film, adds_grain=False)
    middle = FRAMES // 4
    high = [frame - cv2.GaussianBlur(frame, (0, 0), 4) for frame in (clean[middle], source[middle])]
    assert high[0].std() < 0.5 * high[1].std()
    added = shown[middle] - clean[middle]
    assert clean[middle].mean() == pytest.approx(source[middle].mean(), abs=1)  # the same range
    assert added.std() == pytest.approx(LEVELS, rel=0.15)
    assert np.array_equal(shown[-1], clean[-1])


def test_the_table_beside_it_has_the_shot_with_grain(output: Path) -> None:
    (entry,) = parsed(output.with_suffix(".grain.tbl").read_text())
    assert entry["E"][:2] == [0, FRAMES // 2 * 10_000_000 // 25]
    assert max(entry["sY"][1::2]) > 0


def test_no_clip_length_changes_the_file(output: Path, film: Path) -> None:
    other = film.with_name("other.mkv")
    upscale(film, other, replace(CONFIG, max_clip_frames=5))
    assert other.read_bytes() == output.read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"grain": 0}, "--grain 0 wants none"),
        ({"restore": "dust"}, "needs the repair grain"),
        ({"restore": None}, "needs the repair grain"),
    ],
)
def test_a_table_of_no_grain_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(CONFIG, **options)


def test_a_codec_without_grain_is_refused(film: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="give --codec av1"):
        Job.of(film, tmp_path / "out.mp4", replace(CONFIG, codec="x264")).check_output()


def test_a_table_that_is_there_is_kept(film: Path, tmp_path: Path) -> None:
    (tmp_path / "out.grain.tbl").write_text("mine")
    with pytest.raises(OutputError, match="replace it with --overwrite"):
        upscale(film, tmp_path / "out.mkv", CONFIG)


def test_workers_that_send_no_grain_are_refused(film: Path, tmp_path: Path) -> None:
    with (
        open_executor(WorkerOptions()) as executor,
        pytest.raises(ConfigError, match="leave out one of"),
    ):
        upscale_on(executor, film, tmp_path / "out.mkv", CONFIG)
