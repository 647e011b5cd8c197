"""Text of other people's files, as a terminal may show it."""

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that turn the direction of the text."""


def printable(text: str) -> str:
    """Return the text with every control character as its escape: `\\x1b` for the key Esc."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
