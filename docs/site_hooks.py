"""Hooks of the documentation site: links that lead out of `docs` become text, and the changelog.

In a clone these links lead to files; on the site there is nothing behind them.
"""

import re
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
_OUT = re.compile(r"(?<!!)\[([^\]]+)\]\(\.\./[^)\s]*\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the text of a page as the site shows it."""
    if page.file.src_uri == "changelog.md":
        markdown = (_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        markdown = markdown.replace("](docs/", "](")
    return _OUT.sub(r"\1", markdown)
