"""The size and the name of what is made."""

from pathlib import Path

import pytest

from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.jobs.target import default_output, film_output, named
from vsr.upscaling.sizes import Size, clip_length, log_size, longest_shorter_side, output_size

SOURCE = Size(height=144, width=180)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (UpscaleConfig(), Size(576, 720)),
        (UpscaleConfig(scale=1.0), Size(144, 180)),
        (UpscaleConfig(scale=2.5), Size(360, 450)),
        (UpscaleConfig(height=288), Size(288, 360)),
        (UpscaleConfig(height=576), Size(576, 720)),
        (UpscaleConfig(scale=1.01), Size(146, 182)),
    ],
)
def test_the_size_is_the_scaled_one_in_even_numbers(config: UpscaleConfig, size: Size) -> None:
    assert output_size(SOURCE, config) == size


@pytest.mark.parametrize("height", [143, 577])
def test_a_height_outside_one_to_four_times_the_source_is_refused(height: int) -> None:
    with pytest.raises(ConfigError, match="from 144 to 576"):
        output_size(SOURCE, UpscaleConfig(height=height))


def test_a_scale_above_the_models_own_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scale = 4.1 is out of range; it can be from 1 to 4"):
        output_size(SOURCE, UpscaleConfig(scale=4.1))


@pytest.mark.parametrize(
    ("source", "config", "size"),
    [
        (Size(720, 1280), UpscaleConfig(), Size(2160, 3840)),
        (Size(1280, 720), UpscaleConfig(), Size(3840, 2160)),
        (Size(720, 1280), UpscaleConfig(scale=4), Size(2880, 5120)),
        (Size(720, 1280), UpscaleConfig(width=5000), Size(2812, 5000)),
        (Size(720, 1280), UpscaleConfig(height=2500), Size(2500, 4444)),
        (Size(720, 1280), UpscaleConfig(max_size="none"), Size(2880, 5120)),
        (Size(720, 1280), UpscaleConfig(max_size="1080p"), Size(1080, 1920)),
        (Size(720, 1280), UpscaleConfig(max_size="1080", scale=4), Size(1080, 1920)),
        (Size(2880, 5120), UpscaleConfig(), Size(2880, 5120)),
        (Size(144, 180), UpscaleConfig(width=300), Size(240, 300)),
    ],
)
def test_the_shorter_side_is_capped_unless_a_size_is_asked_for(
    source: Size, config: UpscaleConfig, size: Size
) -> None:
    assert output_size(source, config) == size


def test_a_cap_is_said_with_the_way_to_lift_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    log_size(Size(720, 1280), UpscaleConfig())
    assert "3840x2160 instead of 5120x2880" in caplog.text
    assert "--max-size" in caplog.text
    caplog.clear()
    log_size(SOURCE, UpscaleConfig())
    assert not caplog.text


@pytest.mark.parametrize("width", [179, 721])
def test_a_width_outside_one_to_four_times_the_source_is_refused(width: int) -> None:
    with pytest.raises(ConfigError, match=r"width = .* from 180 to 720"):
        output_size(SOURCE, UpscaleConfig(width=width))


@pytest.mark.parametrize("native", [1, 2, 8])
def test_the_scale_is_the_models_own_unless_another_is_asked_for(native: int) -> None:
    assert output_size(SOURCE, UpscaleConfig(), native=native) == Size(144 * native, 180 * native)
    assert default_output(Path("/a.mkv"), UpscaleConfig(), native=native).name == f"a_x{native}.mkv"
    with pytest.raises(ConfigError, match=f"from 144 to {144 * native}"):
        output_size(SOURCE, UpscaleConfig(height=144 * native + 2), native=native)


@pytest.mark.parametrize(
    ("source", "config", "name"),
    [
        ("film.mp4", UpscaleConfig(), "film_x4.mp4"),
        ("film.MOV", UpscaleConfig(), "film_x4.mov"),
        ("film.part1.mkv", UpscaleConfig(scale=2.0), "film.part1_x2.mkv"),
        ("film.mp4", UpscaleConfig(height=1080), "film_1080p.mp4"),
        ("film.mp4", UpscaleConfig(width=1920), "film_1920w.mp4"),
        ("film.webm", UpscaleConfig(), "film_x4.webm"),
        ("film.avi", UpscaleConfig(), "film_x4.mkv"),
        ("film", UpscaleConfig(), "film_x4.mkv"),
        ("film.mp4", UpscaleConfig(lossless=True), "film_x4.mkv"),
        ("film.mp4", UpscaleConfig(codec="prores"), "film_x4.mkv"),
        ("film.mov", UpscaleConfig(codec="prores"), "film_x4.mov"),
        ("film.mp4", UpscaleConfig(codec="png"), "film_x4"),
    ],
)
def test_an_output_without_a_name_lies_beside_the_source_in_a_container_that_holds_it(
    tmp_path: Path, source: str, config: UpscaleConfig, name: str
) -> None:
    assert default_output(tmp_path / source, config) == tmp_path.resolve() / name


def test_the_frames_of_a_folder_become_a_video(tmp_path: Path) -> None:
    folder = tmp_path / "shot.01"
    folder.mkdir()
    assert default_output(folder, UpscaleConfig()).name == "shot.01_x4.mkv"


def test_a_link_names_the_output_and_says_where_it_lies(tmp_path: Path, source: Path) -> None:
    (tmp_path / "archive").mkdir()
    film = tmp_path / "archive" / "0001.mp4"
    film.write_bytes(source.read_bytes())
    link = tmp_path / "holiday.mp4"
    link.symlink_to(film)
    assert default_output(link, UpscaleConfig()) == tmp_path / "holiday_x4.mp4"


def test_the_folder_at_hand_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert named(Path()) == tmp_path.resolve()
    assert named(Path("film.mkv")) == tmp_path / "film.mkv"


def test_an_output_that_is_a_folder_gets_the_default_name_in_it(
    tmp_path: Path, source: Path
) -> None:
    config = UpscaleConfig(scale=2)
    assert film_output(source, tmp_path, config) == tmp_path / "clip_x2.mp4"
    assert film_output(source, tmp_path / "a.mkv", config) == tmp_path / "a.mkv"
    assert film_output(source, tmp_path, UpscaleConfig(codec="png")) == tmp_path
    assert film_output(source, None, config) is None


def test_another_container_than_the_source_has_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        default_output(tmp_path / "film.avi", UpscaleConfig())
    assert ".avi does not hold x264" in caplog.text


@pytest.mark.parametrize(
    ("source", "model", "length"),
    [
        (Size(144, 180), "compact", 16),
        (Size(720, 1280), "compact", 8),
        (Size(2160, 3840), "compact", 4),
        (Size(144, 180), "realesrgan-x4plus", 16),
        (Size(360, 640), "realesrgan-x4plus", 7),
        (Size(1080, 1920), "realesrgan-x4plus", 4),
    ],
)
def test_clips_of_large_frames_are_shorter(source: Size, model: str, length: int) -> None:
    assert clip_length(source, UpscaleConfig(model=model)) == length
    assert clip_length(source, UpscaleConfig(max_clip_frames=9)) == 9


@pytest.mark.parametrize(
    ("source", "config", "name"),
    [
        ("cat.gif", UpscaleConfig(), "cat_x4.gif"),
        ("cat.apng", UpscaleConfig(), "cat_x4.apng"),
        ("cat.jpg", UpscaleConfig(), "cat_x4.png"),
        ("cat.png", UpscaleConfig(), "cat_x4.png"),
        ("cat.gif", UpscaleConfig(codec="x264"), "cat_x4.mkv"),
        ("cat.mp4", UpscaleConfig(codec="gif"), "cat_x4.gif"),
        ("cat.gif", UpscaleConfig(lossless=True), "cat_x4.mkv"),
    ],
)
def test_animations_and_pictures_stay_what_they_are(
    tmp_path: Path, source: str, config: UpscaleConfig, name: str
) -> None:
    assert default_output(tmp_path / source, config) == tmp_path.resolve() / name


def test_a_container_that_cannot_hold_all_streams_gives_way_to_one_that_can(
    tmp_path: Path, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """AAC is what WebM cannot hold."""
    webm = tmp_path / "film.webm"
    webm.write_bytes(source.read_bytes())
    with caplog.at_level("INFO"):
        assert default_output(webm, UpscaleConfig()).name == "film_x4.mkv"
    assert ".webm does not hold all streams of film.webm: writing" in caplog.text


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        (UpscaleConfig(), 2160),
        (UpscaleConfig(scale=2), None),
        (UpscaleConfig(width=640), None),
        (UpscaleConfig(max_size="none"), None),
        (UpscaleConfig(max_size="1080P"), 1080),
        (UpscaleConfig(max_size="1080p", scale=2), 1080),
    ],
)
def test_the_largest_size_is_that_of_4k_video_unless_one_is_given(
    config: UpscaleConfig, longest: int | None
) -> None:
    assert longest_shorter_side(config) == longest
