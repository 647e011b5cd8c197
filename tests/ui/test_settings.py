"""The settings of the page are the options of a run, and its command line is equal to them."""

import shlex
from dataclasses import fields
from typing import Any

import pytest

from vsr.cli.parsers import make_parsers
from vsr.config import UpscaleConfig
from vsr.errors import ConfigError
from vsr.option_values import OF_FILM, REPAIRS
from vsr.ui.settings import Settings, command_line

BY_PICTURES = ("colour",)
SETTINGS = [
    Settings(),
    Settings(model="realesrgan-x4plus", size="2x", repairs=["dust"]),
    Settings(size="1080p", codec="x265", crf="14", start="0:10", duration="2.5"),
    Settings(size="1.5", lossless=True, tolerant=True, texture_strength=80),
    Settings(only_repair=True, repairs=["weave", "flicker", "dust"]),
    Settings(only_repair=True, repairs=["scratches", "dust"], deinterlace="off"),
    Settings(start=None, duration=None, crf=None, repairs=["weave", "flicker", "dust"]),
]


def parsed(line: str) -> dict[str, Any]:
    """The options of a command line, as the command reads them."""
    command, *words = shlex.split(line)[1:]
    _, parsers = make_parsers()
    found = parsers[command].parse_args(words)
    values = {one.name: found[one.name] for one in fields(UpscaleConfig) if one.name in found}
    return {"model": "none", **values} if command == "restore" else values


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_command_line_gives_the_options_of_the_page(settings: Settings) -> None:
    options = settings.options()
    line = command_line("film.mkv", options)
    assert UpscaleConfig(**parsed(line)) == UpscaleConfig(**options)


def test_the_command_line_has_only_what_differs_from_the_defaults() -> None:
    assert command_line("film.mkv", Settings().options()) == "vsr upscale film.mkv"
    repair = Settings(only_repair=True, repairs=OF_FILM)
    assert command_line("film.mkv", repair.options()) == "vsr restore film.mkv"


def test_a_name_with_spaces_is_quoted_for_the_shell() -> None:
    assert command_line("my film; rm.mkv", {}) == "vsr upscale 'my film; rm.mkv'"


@pytest.mark.parametrize(
    "settings",
    [
        Settings(size="huge"),
        Settings(size="0.5x"),
        Settings(start="soon"),
        Settings(crf="90"),
        Settings(crf="best"),
        Settings(only_repair=True),
        Settings(lossless=True, codec="x264"),
    ],
)
def test_settings_that_no_run_can_have_are_one_line(settings: Settings) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.options()
    assert "\n" not in str(caught.value)


def test_values_and_settings_turn_into_each_other() -> None:
    assert all(Settings.of(one.values()) == one for one in SETTINGS)


def test_the_page_has_all_repairs_but_those_by_pictures_of_frames():
    pytest.importorskip("gradio")
    from vsr.ui.page import REPAIR_LABELS

    assert tuple(REPAIR_LABELS) == tuple(name for name in REPAIRS if name not in BY_PICTURES)
