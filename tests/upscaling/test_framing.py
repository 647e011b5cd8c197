"""The computed part and size of a shot's frames, and their place in the output."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vsr.config import UpscaleConfig
from vsr.option_values import parse_reduction
from vsr.upscaling.framing import Framing, reduces_soft_frames, shot_analysis
from vsr.upscaling.sizes import Size
from vsr.video.reading.bars import Bars
from vsr.video.reading.shot_traits import ShotTraits

BARS = Bars(top=11, bottom=13, left=4, right=6, color=(1, 2, 3))


def framing(
    source: Size, size: Size, traits: ShotTraits, *, factor: float | None = None
) -> Framing:
    return Framing.of(source, size, traits, native=4, factor=factor)


@pytest.mark.parametrize(
    ("scale", "reduction", "computed"),
    [
        (2, 2, Size(180, 320)),
        (2, 4, Size(180, 320)),  # not below what the network can enlarge to the output
        (2, 1.5, Size(240, 427)),
        (4, 2, Size(360, 640)),
        (1, 4, Size(90, 160)),
        (1, 2, Size(180, 320)),
        (3.5, 2, Size(360, 640)),  # a seventh less is not worth it
    ],
)
def test_frames_are_reduced_to_their_detail_but_not_below_what_the_output_needs(
    scale: float, reduction: float, computed: Size
) -> None:
    source, size = Size(360, 640), Size(round(360 * scale), round(640 * scale))
    assert framing(source, size, ShotTraits(reduction=reduction)).computed == computed


def test_a_factor_that_is_asked_for_is_taken_and_the_rest_is_interpolated() -> None:
    source, size = Size(360, 640), Size(1440, 2560)
    found = framing(source, size, ShotTraits(), factor=2)
    assert found.computed == Size(180, 320)
    assert "the rest of the way is bicubic" in str(found)
    large = found.finish(np.zeros((1, 720, 1280, 3), np.uint8))
    assert large.shape[1:3] == (1440, 2560)


@pytest.mark.parametrize("scale", [1, 1.7, 2, 4])
def test_bars_come_back_at_exactly_their_colour_with_their_edge_rows(scale: float) -> None:
    source = Size(72, 96)
    size = Size(2 * round(36 * scale), 2 * round(48 * scale))
    found = framing(source, size, ShotTraits(BARS))
    frames = np.full((2, 72, 96, 3), 200, np.uint8)
    prepared = found.prepare(frames)
    assert prepared.shape[1:3] == (48, 86)
    large = found.finish(np.full((2, 4 * 48, 4 * 86, 3), 200, np.uint8))
    assert large.shape[1:3] == (size.height, size.width)
    rows, columns = found.large_bars.inner(size.height, size.width)
    assert (large[:, rows, columns] == 200).all()
    outside = np.ones((size.height, size.width), bool)
    outside[rows, columns] = False
    assert (large[:, outside] == (1, 2, 3)).all()
    for side in ("top", "bottom", "left", "right"):
        assert abs(getattr(found.large_bars, side) - scale * getattr(BARS, side)) <= 1
        assert getattr(found.large_bars, side) % 2 == 0


def test_a_plain_framing_changes_nothing_and_has_no_remarks() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    found = framing(Size(8, 8), Size(32, 32), ShotTraits())
    assert np.array_equal(found.prepare(frames), frames)
    assert not found.remarks()


def test_a_smaller_scale_without_a_reduction_says_what_it_costs() -> None:
    found = framing(Size(360, 640), Size(720, 1280), ShotTraits())
    assert "as long as scale 4" in str(found)


@pytest.mark.parametrize(
    ("lines", "config", "detail"),
    [
        (360, UpscaleConfig(scale=2), True),
        (288, UpscaleConfig(scale=2), False),
        (288, UpscaleConfig(scale=2, reduce="auto"), True),
        (360, UpscaleConfig(scale=2, reduce="off"), False),
        (360, UpscaleConfig(scale=2, reduce="1.5"), False),
        (360, UpscaleConfig(scale=4), False),
        (360, UpscaleConfig(scale=2, preset="upscale-a-video"), False),
    ],
)
def test_detail_is_looked_for_where_it_can_save_something(
    lines: int, config: UpscaleConfig, detail: bool
) -> None:
    scale = int(config.scale or 4)
    source, size = Size(lines, 640), Size(scale * lines, scale * 640)
    assert shot_analysis(source, size, config, 4).detail is detail


def test_published_presets_are_computed_with_their_bars() -> None:
    source, size = Size(360, 640), Size(1440, 2560)
    assert shot_analysis(source, size, UpscaleConfig(), 4).bars
    published = UpscaleConfig(preset="upscale-a-video")
    assert not shot_analysis(source, size, published, 4).bars


@pytest.mark.parametrize(
    ("changes", "is_lossless", "clean"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"clean": "on"}, True, False),  # all frames are; nothing is to be found
        ({"clean": "off"}, True, False),
        ({"noise_level": 20}, True, False),
        ({"preset": "upscale-a-video"}, True, False),
        ({"restore": "dust"}, True, False),
    ],
)
def test_clean_frames_are_looked_for_in_lossless_sources_by_models_that_know_them(
    tmp_path: Path, changes: dict[str, Any], is_lossless: bool, clean: bool
) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    config = UpscaleConfig(model=str(tmp_path), **changes)
    sizes = Size(288, 384), Size(1152, 1536)
    assert not shot_analysis(*sizes, config, 4, is_lossless=is_lossless).clean
    (tmp_path / "clean.safetensors").touch()
    assert shot_analysis(*sizes, config, 4, is_lossless=is_lossless).clean is clean


@pytest.mark.parametrize(("mode", "factor"), [(None, None), ("auto", None), ("off", 1), ("2", 2)])
def test_the_reduction_is_a_factor_or_left_to_the_frames(mode: str | None, factor: float) -> None:
    config = UpscaleConfig(reduce=mode)
    assert parse_reduction(mode) == factor
    assert reduces_soft_frames(config, 720) is (factor is None)
    assert reduces_soft_frames(config, 288) is (mode == "auto")
