"""Loading YAML of bounded size: an alias can repeat a part that itself consists of aliases."""

from typing import Any

import yaml

_MOST_VALUES = 10_000
"""Values of a file with all aliases replaced; the longest config of ours has about 100."""


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises yaml.YAMLError for other text, and ValueError for one that aliases make too large.
    """
    check_aliases(text)
    return yaml.safe_load(text)


def check_aliases(text: str) -> None:
    """Raise ValueError if a text has too many values, those that an alias repeats counted again."""
    sizes: dict[str, int] = {}
    open_parts: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        match event:
            case yaml.CollectionStartEvent():
                open_parts.append((event.anchor, 1))
                continue
            case yaml.CollectionEndEvent():
                anchor, size = open_parts.pop()
            case yaml.ScalarEvent():
                anchor, size = event.anchor, 1
            case yaml.AliasEvent():
                anchor, size = None, sizes.get(event.anchor, 1)
            case _:
                continue
        if anchor is not None:
            sizes[anchor] = size
        outer, total = open_parts[-1]
        open_parts[-1] = outer, total + size
        if total + size > _MOST_VALUES:
            raise ValueError(
                f"it has more than {_MOST_VALUES} values, with those that aliases (*name) repeat; "
                "write the values out"
            )
