"""Errors of others in words."""

import pytest

from vsr.errors import first_line


@pytest.mark.parametrize(
    ("text", "line"), [("one\ntwo", "one"), ("\n one \ntwo", "one"), ("", "ValueError")]
)
def test_the_first_line_of_an_error_is_its_class_if_it_says_nothing(text: str, line: str) -> None:
    assert first_line(ValueError(text)) == line
