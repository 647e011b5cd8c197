"""Values of options: their ranges and forms, checked before anything is read."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path

from vsr.errors import ConfigError

FILM = "film"
"""The name of the repairs of old films that leave a sound film as it is."""
OF_FILM = ("weave", "flicker", "dust", "grain")
REPAIRS = (*OF_FILM, "scratches", "fading", "colour", "holes")
"""All repairs of old films; those that can change a sound film must be named."""
GUIDES, PICTURE_GUIDES = ("lightness", "structure"), ("colour", "inpaint")
"""Guides of models of several steps: those of the small frames, and those that take a picture."""
NAME_FIELDS = ("stem", "scale", "ending")
"""The fields of `UpscaleConfig.name`: `film`, `x4` and `mkv` for film.mkv."""
STREAM_KINDS = ("audio", "subtitle", "video", "data", "attachment")
"""The kinds of streams of a film that `UpscaleConfig.without` leaves out."""

_LOWEST_RATE, _HIGHEST_RATE = Fraction(1, 100), Fraction(1000)
_LARGEST_REDUCTION = 8
_SMALLEST_SIDE = 16
_STRONGEST_GRAIN = 1.5
_SIZE = re.compile(r"(\d{1,5})p?", re.IGNORECASE)


GROUPS = (
    "input and output",
    "model",
    "quality",
    "texture",
    "speed and memory",
    "encoding",
    "film",
    "advanced",
)
"""The groups of options in the help of the command line, in this order."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One option on the command line: its group, the name of its value, and its line of help.

    `value` is empty for a switch; `TIME` means that a time as `1:02:03.5` is accepted.
    """

    group: str
    value: str
    help: str


def nearest(name: str, known: Sequence[str]) -> str:
    """Return "; did you mean X?" with the name of `known` that is closest, or an empty string."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def in_range(name: str, value: float | None, low: float, high: float = math.inf) -> None:
    """Raise ConfigError for a value outside its range."""
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        allowed = f"at least {low}" if high == math.inf else f"from {low} to {high}"
        raise ConfigError(f"{name} = {value} is out of range; it can be {allowed}")


def parse_keyframes(value: str) -> int | None:
    """Return the distance of key frames; None for auto."""
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) < 1:
        raise ConfigError(f"keyframes = {value}; give auto, or a number of frames of at least 1")
    return int(value)


def parse_rate(value: str | None) -> Fraction | None:
    """Return the frame rate of an option; None where it is not given."""
    if value is None:
        return None
    try:
        rate = Fraction(value)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise ConfigError(
            f"fps = {value} is not a frame rate; it can be a number as 18 or 23.976, or a fraction "
            f"as 24000/1001, from {_LOWEST_RATE} to {_HIGHEST_RATE}"
        )
    return rate


def check_one_size(**sizes: float | None) -> None:
    """Raise ConfigError if more than one of these sizes is given."""
    given = [f"{name} = {value:g}" for name, value in sizes.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: give one of them")


def parse_size(value: str | None) -> int | None:
    """Return the pixels of `1080p`, the value of max_size; None for "none"."""
    if value is None or value == "none":
        return None
    found = _SIZE.fullmatch(value.strip())
    if found is None or int(found[1]) < _SMALLEST_SIDE:
        raise ConfigError(
            f"max_size = {value} is not a size; it can be the shorter side of the output as 1080p, "
            f"from {_SMALLEST_SIDE}p, or none"
        )
    return int(found[1])


def parse_reduction(value: str | None) -> float | None:
    """Return the factor of the option reduce, 1 for "off"; None for "auto"."""
    if value is None or value == "auto":
        return None
    try:
        factor = 1.0 if value == "off" else float(value)
    except ValueError:
        factor = 0.0
    if not 1 <= factor <= _LARGEST_REDUCTION:
        raise ConfigError(
            f"reduce = {value} is not understood; it can be auto, off, or a factor from 1 to "
            f"{_LARGEST_REDUCTION}"
        )
    return factor


def check_pattern(pattern: str | None) -> None:
    """Raise ConfigError for a pattern of names with a folder, or with other fields."""
    if pattern is None:
        return
    try:
        name = pattern.format(**dict.fromkeys(NAME_FIELDS, "film"))
    except (LookupError, ValueError, AttributeError):
        name = ""
    if not name or name in (".", "..") or any(mark in name for mark in "/\\\0"):
        fields = ", ".join(f"{{{field}}}" for field in NAME_FIELDS)
        raise ConfigError(
            f'name = {pattern!r} is no pattern of file names; it can be as "{{stem}}_4k", with the '
            f"fields {fields}; give a folder as the output"
        )


def parse_steps(value: str | int | Sequence[int] | None) -> tuple[int, ...] | None:
    """Return the numbers of steps of an option; None where it is not given."""
    if value is None:
        return None
    if isinstance(value, str):
        parts = [] if value.strip() == "none" else value.split(",")
    else:
        parts = [value] if isinstance(value, int) else list(value)
    try:
        steps = tuple(int(part) for part in parts)
    except ValueError:
        steps = (-1,)
    if any(step < 0 for step in steps):
        raise ConfigError(
            f"propagation_steps = {value} is not a list of steps; it can be none, or step numbers "
            "from 0, as 0,2,4"
        )
    return steps


def parse_streams(value: str | None) -> tuple[tuple[str, int | None], ...]:
    """Return the pairs of `audio:2,subtitle`; the number, from 1, is None for all of a kind."""
    pairs: list[tuple[str, int | None]] = []
    for part in [] if value is None else value.split(","):
        kind, colon, number = part.strip().partition(":")
        if kind not in STREAM_KINDS or (colon and not (number.isdecimal() and int(number[:6]))):
            raise ConfigError(
                f"without = {value} names no streams; it can be {', '.join(STREAM_KINDS)}, each "
                "alone or with a number from 1, as audio:2,subtitle"
            )
        pairs.append((kind, int(number[:6]) if colon else None))
    return tuple(pairs)


def parse_repairs(value: str | None) -> dict[str, float]:
    """Return the strengths of `film`, or of `dust=0.8,flicker`; later names replace earlier."""
    found: dict[str, float] = {}
    for part in [] if value is None else value.split(","):
        name, _, number = part.strip().partition("=")
        if name not in (FILM, *REPAIRS):
            raise ConfigError(
                f"restore = {value} has an unknown repair {name!r}; it can be {FILM}, or any of "
                f"{', '.join(REPAIRS)}{nearest(name, (FILM, *REPAIRS))}"
            )
        try:
            strength = float(number) if number else 1.0
        except ValueError:
            strength = math.nan
        if not 0 <= strength <= 1:
            raise ConfigError(
                f"restore = {value}: the strength of {name} can be from 0 (off) to 1 (whole)"
            )
        found |= dict.fromkeys(OF_FILM if name == FILM else (name,), strength)
    return found


def parse_grain(value: str | float) -> float:
    """Return the share of the grain that the output has: `keep` is 1."""
    if value == "keep":
        return 1.0
    try:
        share = float(value)
    except ValueError:
        share = math.nan
    if not 0 <= share <= _STRONGEST_GRAIN:
        raise ConfigError(
            f"grain = {value} is not known; give keep for the film's own, or a strength from 0 "
            f"(none) to {_STRONGEST_GRAIN}"
        )
    return share


def check_grain(grain: str | float, repairs: Mapping[str, float], *, is_told: bool) -> None:
    """Raise ConfigError for an unknown share of grain, or one that cannot be told to a player."""
    share = parse_grain(grain)
    if is_told and not repairs.get("grain"):
        raise ConfigError("a grain table needs the repair grain: give --restore grain, or film")
    if is_told and not share:
        raise ConfigError(
            "a grain table tells a player what grain to add, and --grain 0 wants none: leave out "
            "one of --grain and --grain-table"
        )


def check_folders(
    repairs: Mapping[str, float], *, colour_references: str | None, masks: str | None
) -> None:
    """Raise ConfigError for a folder without the repair that takes it, or `colour` without one."""
    if colour_references is None and repairs.get("colour"):
        raise ConfigError("the repair colour needs pictures: give --colour-references FOLDER")
    folders = {"colour": ("--colour-references", colour_references), "holes": ("--masks", masks)}
    for repair, (option, folder) in folders.items():
        if folder is not None and not repairs.get(repair):
            raise ConfigError(
                f"{option} is for the repair {repair}: add it, as --restore film,{repair}"
            )


@dataclass(frozen=True, slots=True)
class GuideChoice:
    """A guide by name, with its picture if it takes one, and its weight in (0, 1]."""

    name: str
    path: Path | None
    weight: float


def parse_guides(value: str | None) -> tuple[GuideChoice, ...]:
    """Return the guides of `colour=REF.png,inpaint=MASK.png:0.5,structure`."""
    if value is None:
        return ()
    return tuple(_guide(part.strip(), value) for part in value.split(","))


def _guide(part: str, value: str) -> GuideChoice:
    before, colon, number = part.rpartition(":")
    is_weighted = bool(colon) and re.fullmatch(r"[0-9.]+", number) is not None
    name, _, path = (before if is_weighted else part).partition("=")
    weight = float(number) if is_weighted and number.count(".") < 2 else 1.0
    if name not in (*GUIDES, *PICTURE_GUIDES):
        raise ConfigError(
            f"guide = {value} has an unknown guide {name!r}; it can be any of {', '.join(GUIDES)}, "
            f"and with a picture {', '.join(f'{one}=FILE' for one in PICTURE_GUIDES)}"
            f"{nearest(name, (*GUIDES, *PICTURE_GUIDES))}"
        )
    if (name in PICTURE_GUIDES) != bool(path):
        need = "needs a picture, as" if name in PICTURE_GUIDES else "takes no picture: write"
        example = f"{name}=FILE.png" if name in PICTURE_GUIDES else name
        raise ConfigError(f"guide = {value}: {name} {need} {example}")
    if not 0 < weight <= 1:
        raise ConfigError(f"guide = {value}: the weight of {name} can be above 0 to 1")
    return GuideChoice(name, Path(path) if path else None, weight)


def parse_lora(value: str) -> tuple[Path, float]:
    """Return file and weight of `FILE` or `FILE=WEIGHT`; raises ConfigError for no weight."""
    before, equals, number = value.rpartition("=")
    if not equals or Path(value).exists():
        return Path(value), 1.0
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not before or not math.isfinite(weight):
        raise ConfigError(f"lora = {value}: the weight can be a number, as {before or 'FILE'}=0.8")
    return Path(before), weight


def parse_time(value: str | float, *, name: str) -> float:
    """Return the seconds of `90`, `2.5`, `2s`, `0:10` or `1:02:03.5`, the value of option `name`.

    Raises ConfigError for anything else.
    """
    *whole, last = str(value).strip().removesuffix("s").split(":")
    try:
        parts = [*map(int, whole), float(last)]
    except ValueError:
        parts = []
    clock = all(part.isdigit() for part in whole) and all(0 <= part < 60 for part in parts[1:])
    if not 1 <= len(parts) <= 3 or not clock:
        raise ConfigError(
            f"{name} = {value} is not a time; it can be seconds as 90, 2.5 or 2s, or a clock time "
            "as 0:10 or 1:02:03.5"
        )
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))
