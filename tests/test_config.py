"""The config checks what it is given; the flags are made from it."""

from dataclasses import fields
from fractions import Fraction

import pytest

from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.option_values import GROUPS, Flag, nearest, parse_time


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", 0.5),
        ("scale", float("nan")),
        ("height", 0),
        ("width", 0),
        ("max_size", "4K"),
        ("max_size", "0p"),
        ("reduce", "0.5"),
        ("reduce", "9"),
        ("reduce", "some"),
        ("steps", 0),
        ("noise_level", -1),
        ("guidance_scale", -0.1),
        ("seed", -1),
        ("segment_length", 0),
        ("max_clip_frames", 0),
        ("tile", 1),
        ("crf", 64),
        ("fps", "0"),
        ("fps", "nan"),
        ("fps", "-25"),
        ("fps", "1e9"),
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
    with pytest.raises(ConfigError, match="width = 100 and height = 50"):
        UpscaleConfig(width=100, height=50)


def test_lossless_and_another_codec_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="lossless"):
        UpscaleConfig(lossless=True, codec="x264")


def test_every_option_has_a_line_of_help() -> None:
    hints = UpscaleConfig.__annotations__
    flags: list[Flag] = [hints[field.name].__metadata__[0] for field in fields(UpscaleConfig)]
    assert all(flag.help and flag.group in GROUPS for flag in flags)


def test_help_names_the_default_that_a_flag_has() -> None:
    hints = UpscaleConfig.__annotations__
    for field in fields(UpscaleConfig):
        if field.default not in (None, False):
            default = f"{field.default:g}" if isinstance(field.default, float) else field.default
            assert f"(default: {default}" in hints[field.name].__metadata__[0].help, field.name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("2.5", 2.5),
        ("2s", 2.0),
        ("0:10", 10.0),
        ("90:00", 5400.0),
        ("1:02:03.5", 3723.5),
        (12, 12.0),
        ("-1", -1.0),
    ],
)
def test_times_are_read_as_seconds_or_as_a_clock(text: str | float, seconds: float) -> None:
    assert parse_time(text, name="start") == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [("18", Fraction(18)), ("23.976", Fraction("23.976")), ("24000/1001", Fraction(24000, 1001))],
)
def test_a_frame_rate_is_a_number_or_a_fraction(text: str, rate: Fraction) -> None:
    assert UpscaleConfig(fps=text).frame_rate == rate


@pytest.mark.parametrize("text", ["", "soon", "1:60", "1:75:00", "1:2:3:4", "-0:10", "0:-5", ":5"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a time"):
        parse_time(text, name="start")


def test_the_nearest_name_is_suggested_and_a_far_one_is_not() -> None:
    assert nearest("noise_lvel", ["noise_level", "seed"]) == "; did you mean noise_level?"
    assert nearest("zzz", ["noise_level", "seed"]) == ""
