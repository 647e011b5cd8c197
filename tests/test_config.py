"""The config checks what it is given; the flags are made from it."""

from dataclasses import fields

import pytest

from vsr.config import UpscaleConfig, nearest
from vsr.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", 0.5),
        ("scale", float("nan")),
        ("height", 0),
        ("steps", 0),
        ("noise_level", -1),
        ("guidance_scale", -0.1),
        ("seed", -1),
        ("segment_length", 0),
        ("max_clip_frames", 0),
        ("tile", 1),
        ("crf", 64),
        ("start", -1.0),
        ("duration", 0.0),
        ("duration", -1.0),
        ("propagation_steps", "1,x"),
        ("propagation_steps", "-1"),
        ("propagation_steps", [0, -1]),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        UpscaleConfig(**{name: value})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("given", "steps"),
    [(None, None), ("none", ()), ("0,2, 4", (0, 2, 4)), (3, (3,)), ([1, 2], (1, 2)), ([], ())],
)
def test_propagation_steps_are_read_as_a_list_of_steps(
    given: str | int | list[int] | None, steps: tuple[int, ...] | None
) -> None:
    assert UpscaleConfig(propagation_steps=given).propagation == steps


def test_height_and_scale_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="one of them"):
        UpscaleConfig(height=100, scale=2.0)


def test_lossless_and_another_codec_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="lossless"):
        UpscaleConfig(lossless=True, codec="x264")


def test_every_option_has_a_line_of_help() -> None:
    hints = UpscaleConfig.__annotations__
    assert all(hints[field.name].__metadata__[0] for field in fields(UpscaleConfig))


def test_the_nearest_name_is_suggested_and_a_far_one_is_not() -> None:
    assert nearest("noise_lvel", ["noise_level", "seed"]) == "; did you mean noise_level?"
    assert nearest("zzz", ["noise_level", "seed"]) == ""
