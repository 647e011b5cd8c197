"""Times as exact fractions of a second."""

import re
from fractions import Fraction

_DURATION_TAG = re.compile(r"([0-9]{1,5}):([0-5]?[0-9]):([0-5]?[0-9](?:\.[0-9]{1,12})?)")


def exact_seconds(value: float | Fraction) -> Fraction:
    """The decimal number that was meant: 0.1 is 1/10, not the nearest binary number."""
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


def tagged_duration(text: str) -> Fraction | None:
    """Return the seconds of Matroska's `hours:minutes:seconds` tag; None for any other text."""
    found = _DURATION_TAG.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds = (Fraction(part) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds
