"""YAML of a bounded size: what aliases repeat counts again."""

import pytest

from vsr.runtime.yaml_text import load_yaml


def bomb(levels: int) -> str:
    """A text of so many lists, of which each repeats the one before it nine times."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    return "\n".join(lines)


def test_a_text_that_aliases_make_too_large_is_refused() -> None:
    for levels in (5, 9, 30):
        with pytest.raises(ValueError, match="more than 10000 values"):
            load_yaml(bomb(levels))


def test_aliases_that_repeat_little_are_replaced() -> None:
    assert load_yaml("a: &a [1, 2]\nb: *a\nc: [*a, *a]") == {
        "a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]],
    }  # fmt: skip
    assert load_yaml(bomb(2))["a1"] == [[1] * 9] * 9
