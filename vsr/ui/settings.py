"""The settings of the page as options of a run, and as the equal command line."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from vsr.config import DEFAULT_MODEL, NO_MODEL, UpscaleConfig
from vsr.errors import ConfigError
from vsr.option_values import FILM, OF_FILM, parse_time

PREVIEW_SECONDS = 2.0
SIZES = ("4x (the model's)", "2x", "3x", "720p", "1080p", "1440p", "2160p")
"""Choices of the output's size; another factor or height may be typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The choices on the page, as its fields give them."""

    model: str = DEFAULT_MODEL
    size: str = SIZES[0]
    repairs: Sequence[str] = ()
    only_repair: bool = False
    start: str | None = ""
    duration: str | None = ""
    texture_strength: float = UpscaleConfig().texture_strength
    codec: str = ""
    crf: str | None = ""
    lossless: bool = False
    deinterlace: str = UpscaleConfig().deinterlace
    tolerant: bool = False

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Return the settings with these values, in the order of the fields."""
        return cls(**{one.name: value for one, value in zip(fields(cls), values, strict=True)})

    def values(self) -> list[Any]:
        """Return the values of the fields in their order."""
        return [getattr(self, one.name) for one in fields(self)]

    def options(self) -> dict[str, Any]:
        """Return the fields of UpscaleConfig that differ from its defaults.

        Raises ConfigError for a value that no run can have.
        """
        values: dict[str, Any] = {
            "model": NO_MODEL if self.only_repair else self.model,
            **({} if self.only_repair else _size(self.size)),
            "restore": _repairs(self.repairs, self.only_repair),
            "start": _seconds(self.start, "start") or 0.0,
            "duration": _seconds(self.duration, "duration"),
            "codec": self.codec or None,
            "crf": _whole(self.crf, "crf"),
            "lossless": self.lossless,
            "deinterlace": self.deinterlace,
            "tolerant": self.tolerant,
        }
        if not self.only_repair:
            values["texture_strength"] = float(self.texture_strength)
        config = UpscaleConfig(**values)
        default = UpscaleConfig()
        return {
            name: getattr(config, name)
            for name in values
            if getattr(config, name) != getattr(default, name)
        }


def command_line(name: str, options: Mapping[str, Any], *, preview: bool = False) -> str:
    """Return the command that does the same as the page: `vsr upscale film.mkv --height 1080`."""
    is_repair = options.get("model") == NO_MODEL
    words = ["vsr", "restore" if is_repair else "upscale", name]
    for one in fields(UpscaleConfig):
        value = options.get(one.name)
        if one.name not in options or (one.name == "model" and is_repair):
            continue
        if is_repair and one.name == "restore" and value == FILM:
            continue  # the default of vsr restore
        flag = f"--{one.name.replace('_', '-')}"
        words += [flag] if value is True else [flag, _text(value)]
    if preview:
        words += ["--preview", f"{PREVIEW_SECONDS:g}s"]
    return shlex.join(words)


def _text(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _size(text: str) -> dict[str, float | int]:
    """Return the option for `2x` (a factor) or `1080p` (the height)."""
    if text == SIZES[0]:
        return {}
    plain = text.strip().lower().replace("×", "x")
    try:
        if plain.endswith("p"):
            return {"height": int(plain[:-1])}
        return {"scale": float(plain.removesuffix("x"))}
    except ValueError:
        raise ConfigError(
            f"the size {text!r} is not understood; it can be a factor as 2x, or a height as 1080p"
        ) from None


def _repairs(chosen: Sequence[str], only_repair: bool) -> str | None:
    if only_repair and not chosen:
        raise ConfigError("nothing is chosen to repair; choose one repair at least")
    if set(chosen) == set(OF_FILM):
        return FILM
    return ",".join(chosen) or None


def _seconds(text: str | None, name: str) -> float | None:
    return parse_time(text, name=name) if text and text.strip() else None


def _whole(text: str | None, name: str) -> int | None:
    if not text or not text.strip():
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{name} = {text} is not a whole number") from None
