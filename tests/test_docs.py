"""The documentation: every link leads somewhere, and every file that it names exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vsr.cli.arguments import option_strings
from vsr.cli.parsers import make_parsers
from vsr.evaluation.benchmark.tables import filled

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACES = ("vsr", "docs", "tests", "tools", "configs", "data_prep", ".ci")

# As in `python -m vsr upscale IN OUT --scale 2`, up to the end of the code or a comment.
COMMANDS = "upscale|restore|plan|info|compare|models|convert|train|evaluate|benchmark"
COMMAND = re.compile(rf"\bvsr ({COMMANDS})\b([^`#\n]*)")
QUOTE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(rf"(?<![\w/.])(?:{'|'.join(map(re.escape, PLACES))})/[\w./*-]*[\w/]")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual viewers make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_or_a_heading(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = {found.rstrip("/") for found in NAMED.findall(page.read_text())}
    assert not {file for file in named if not list(ROOT.glob(file))}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_a_page_shows_has_these_options(page: Path) -> None:
    _, parsers = make_parsers()
    for command, rest in COMMAND.findall(page.read_text()):
        flags = {flag.partition("=")[0] for flag in rest.split() if flag.startswith("--")}
        assert flags <= set(option_strings(parsers[command])), f"vsr {command}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_tables_of_a_page_are_those_of_the_benchmark(page: Path) -> None:
    text = page.read_text()
    assert filled(text, ROOT / "docs" / "benchmark") == text, "run tools/benchmark_tables.py"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages <= {link.split("/")[-1] for link in LINK.findall(index)}


def test_the_errors_that_the_docs_explain_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    cells = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    quoted = [part for cell in cells for text in QUOTE.findall(cell) for part in text.split(" … ")]
    texts = [text for path in (ROOT / "vsr").rglob("*.py") for text in strings(path)]
    assert quoted
    assert not [part for part in quoted if not any(part in text for text in texts)]


def strings(path: Path) -> Iterator[str]:
    """The strings of a file; a null stands for each value of a formatted one."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.JoinedStr(values=parts):
                texts = (part.value if isinstance(part, ast.Constant) else "\0" for part in parts)
                yield "".join(map(str, texts))
            case ast.Constant(value=str(text)):
                yield text
            case _:
                pass


def test_a_package_index_shows_the_readme_without_pictures_and_dead_links() -> None:
    """The metadata of the distribution is made by the same replacements."""
    import tomllib

    hook = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]
    text = (ROOT / "README.md").read_text()
    for one in hook["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    assert "docs/images" not in text
    assert all(link.startswith(("#", "http")) for link in LINK.findall(text))
    assert "## Two commands" in text
